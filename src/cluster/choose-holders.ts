/** Whom to ask for which blocks of a prompt, of all nodes that say that they hold some of them. */
import type { Holding } from './block-directory.ts'
import type { Member } from './member.ts'

export interface HolderQuestion {
  /** What the directory said, for the same names. */
  readonly holdings: readonly Holding[]
  readonly members: readonly Member[]
  readonly self: Member
}

/** Blocks `[start, end)` of the names that were asked for. */
export interface ChosenHolder {
  readonly member: Member
  readonly start: number
  readonly end: number
}

/** Each costs a round trip, and what most of them add is little. */
const HOLDERS_MAX = 4

/**
 * The nearest holders first: each is asked for the blocks from the first to the last that it holds and nobody nearer
 * does. At most four, of which those that hold the leading blocks come first: what follows a gap has to wait for it to
 * be computed. Nobody who is gone, and never this node.
 */
export function chooseHolders({ holdings, members, self }: HolderQuestion): readonly ChosenHolder[] {
  const byName = new Map(members.map((member) => [member.node, member]))
  const candidates = holdings
    .flatMap(({ node, tiers }) => {
      const member = byName.get(node)
      const isOther = member !== undefined && node !== self.node
      return isOther && (member.state === 'alive' || member.state === 'suspect') ? [{ member, tiers }] : []
    })
    .sort((a, b) => distance(a.member, self) - distance(b.member, self) || (a.member.node < b.member.node ? -1 : 1))
  const isCovered = new Uint8Array(holdings[0]?.tiers.length ?? 0)
  const chosen: ChosenHolder[] = []
  for (const { member, tiers } of candidates) {
    let start = -1
    let end = 0
    for (let index = 0; index < isCovered.length; index++) {
      if (tiers[index] === 0 || isCovered[index] === 1) continue
      isCovered[index] = 1
      if (start < 0) start = index
      end = index + 1
    }
    if (start >= 0) chosen.push({ member, start, end })
  }
  return chosen.toSorted((a, b) => a.start - b.start).slice(0, HOLDERS_MAX)
}

/** Those that may be dead last, then those that are leaving, then other datacentres, then the busier. */
function distance({ state, isDraining, datacentre, telemetry }: Member, self: Member): number {
  return (
    (state === 'alive' ? 0 : 8) +
    (isDraining ? 4 : 0) +
    (datacentre === self.datacentre ? 0 : 2) +
    telemetry.eventLoopRatio
  )
}
