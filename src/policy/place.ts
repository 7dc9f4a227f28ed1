/** Where copies of what was stored go: pure, for the simulator and for the nodes that do it. */

/** A node, as placement sees it. */
export interface PlaceCandidate {
  readonly node: string
  readonly datacentre: string
  readonly storedBytes: number
  /** Null for no bound. */
  readonly capacityBytes: number | null
  /** Since its start. */
  readonly ageSeconds: number
  /** It leaves, or may be dead: it keeps what it has, and nothing new goes there. */
  readonly isClosed: boolean
}

export interface PlaceQuestion {
  /** In the order of the ring, from the place of what is stored on. */
  readonly candidates: readonly PlaceCandidate[]
  /** Nodes that have it already. */
  readonly holders: readonly string[]
  /** Of its origin: replicas stay near, but for the last of three or more. */
  readonly datacentre: string
  /** Of all nodes together, the origin's among them. */
  readonly copies: number
  readonly payloadBytes: number
}

export interface PlaceRules {
  /** A node that is fuller than this many times the mean is passed over while others take it. */
  readonly loadFactor: number
  /**
   * A node takes a share that grows with its age until then: an empty node that has just begun would be the emptiest of
   * all, and get everything.
   */
  readonly slowStartSeconds: number
}

/** Bounded loads as in Mirrokni et al., "Consistent Hashing with Bounded Loads"; a quarter above the mean. */
const DEFAULT_PLACE_RULES: PlaceRules = { loadFactor: 1.25, slowStartSeconds: 60 }

/** Those that should get a copy as well, in order of preference: fewer than are missing where there are not as many nodes. */
export function placeCopies(question: PlaceQuestion, rules: PlaceRules = DEFAULT_PLACE_RULES): readonly string[] {
  const { candidates, holders, datacentre, copies, payloadBytes } = question
  const missing = copies - holders.length
  if (missing <= 0) return []
  const open = candidates.filter(
    ({ node, isClosed, storedBytes, capacityBytes }) =>
      !holders.includes(node) && !isClosed && (capacityBytes === null || storedBytes + payloadBytes <= capacityBytes),
  )
  const loads = loadsOf(candidates, rules)
  const isLight = ({ node }: PlaceCandidate): boolean => (loads.get(node) ?? 0) <= rules.loadFactor
  // Whoever is too full still takes it when nobody else does.
  const ordered = [...open.filter(isLight), ...open.filter((candidate) => !isLight(candidate))]
  const near = ordered.filter((candidate) => candidate.datacentre === datacentre)
  const far = ordered.filter((candidate) => candidate.datacentre !== datacentre)
  const hasFar = candidates.some((one) => one.datacentre !== datacentre && holders.includes(one.node))
  // Three copies outlive a datacentre.
  const isFarWanted = copies >= 3 && !hasFar && far.length > 0
  const chosen = [...near.slice(0, missing - (isFarWanted ? 1 : 0)), ...far]
  return chosen.slice(0, missing).map(({ node }) => node)
}

/** How full each is, as multiples of the mean; a young one counts as fuller than it is, and less for the mean. */
function loadsOf(candidates: readonly PlaceCandidate[], { slowStartSeconds }: PlaceRules): ReadonlyMap<string, number> {
  const seen = candidates.map(({ node, storedBytes, capacityBytes, ageSeconds }) => ({
    node,
    fullness: capacityBytes === null || capacityBytes <= 0 ? storedBytes : storedBytes / capacityBytes,
    youth: Math.min(1, Math.max(0, 1 - ageSeconds / slowStartSeconds)),
  }))
  const weights = seen.reduce((sum, { youth }) => sum + (1 - youth), 0)
  const mean = weights === 0 ? 0 : seen.reduce((sum, one) => sum + (1 - one.youth) * one.fullness, 0) / weights
  // Where nothing is stored yet, all that are not young are alike.
  return new Map(seen.map(({ node, fullness, youth }) => [node, (mean === 0 ? 1 : fullness / mean) + 2 * youth]))
}

/** How often others have asked for a fragment lately, and whether one more copy would pay. */
export interface HeatRules {
  /** Reads by one node from another within a minute that earn it a copy of its own. */
  readonly promotedReads: number
  /** A copy beyond those that are wanted goes when nobody has read it for so long. */
  readonly demotedSeconds: number
}

export const DEFAULT_HEAT_RULES: HeatRules = { promotedReads: 3, demotedSeconds: 600 }

/** Whether a node that reads a fragment from others should keep a copy. */
export function isWorthCopy(readsPerMinute: number, rules: HeatRules = DEFAULT_HEAT_RULES): boolean {
  return readsPerMinute >= rules.promotedReads
}

/** Whether a copy beyond those that are wanted may go. */
export function isColdCopy(
  {
    idleSeconds,
    otherCopies,
    copies,
  }: { readonly idleSeconds: number; readonly otherCopies: number; readonly copies: number },
  rules: HeatRules = DEFAULT_HEAT_RULES,
): boolean {
  return otherCopies >= copies && idleSeconds >= rules.demotedSeconds
}
