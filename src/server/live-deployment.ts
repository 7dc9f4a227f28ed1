/** Who can prefill a prompt for this datacentre, and over which links, as the cluster says now. Pure. */
import type { LinkReport, Member, PrefillReport } from '../cluster/member.ts'
import { ASSUMED_RATES } from '../policy/measured-rates.ts'

/** A link on which so many probes fail is taken for dead. */
const DEAD_LOSS_RATIO = 0.5

/** Whatever a node says of a link, plans are made with numbers that can be divided and added up. */
const BYTES_PER_SECOND_MIN = 1
const BYTES_PER_SECOND_MAX = 1e13

/** Another datacentre that computes for this one. */
export interface RemoteSite {
  readonly datacentre: string
  readonly bytesPerSecond: number
  /** Nobody has sent anything large over this link yet: its bandwidth is assumed. */
  readonly isMeasured: boolean
  readonly rttSeconds: number
  /** Share of the link that all nodes of this datacentre use together, 0 to 1. */
  readonly utilisation: number
  readonly nodes: readonly PrefillReport[]
}

/** A node here with an engine for the model. */
export interface LocalNode {
  readonly node: string
  readonly report: PrefillReport
  readonly isPrefill: boolean
  readonly isDecode: boolean
}

export interface LiveDeployment {
  /** In order of their names. */
  readonly locals: readonly LocalNode[]
  /** Of those that prefill. */
  readonly prefilling: readonly PrefillReport[]
  /** In order of their names, with at least one node each. */
  readonly sites: readonly RemoteSite[]
  /** Why there is no site; null when there is one. */
  readonly whyAlone: string | null
}

export interface DeploymentQuestion {
  readonly model: string
  readonly self: Member
  readonly members: readonly Member[]
  /** Of this node: fresher than what it last told the others. */
  readonly prefill: PrefillReport | null
  readonly links: readonly LinkReport[]
}

/** Only nodes that are alive, stay, and compute this very model count. */
export function liveDeployment({ model, self, members, prefill, links }: DeploymentQuestion): LiveDeployment {
  const isSelf = (member: Member): boolean => member.node === self.node
  const reportOf = (member: Member): PrefillReport | null => {
    const report = isSelf(member) ? prefill : member.telemetry.prefill
    return report?.model === model ? report : null
  }
  const linksOf = (member: Member): readonly LinkReport[] => (isSelf(member) ? links : member.telemetry.links)
  const useful = members.filter(({ state, isDraining }) => state === 'alive' && !isDraining)
  const here = useful.filter(({ datacentre }) => datacentre === self.datacentre)
  const locals = here.flatMap((member) => localOf(member, reportOf(member)) ?? [])
  const remotes = useful.filter((member) => member.datacentre !== self.datacentre && member.roles.includes('prefill'))
  const engines = new Map<string, PrefillReport[]>()
  for (const member of remotes) {
    const report = reportOf(member)
    if (report === null) continue
    const nodes = engines.get(member.datacentre)
    if (nodes === undefined) engines.set(member.datacentre, [report])
    else nodes.push(report)
  }
  const dead: string[] = []
  const sites: RemoteSite[] = []
  for (const [datacentre, nodes] of [...engines].sort(([a], [b]) => (a < b ? -1 : 1))) {
    const own = links.find((link) => link.datacentre === datacentre)
    if (own !== undefined && own.lossRatio >= DEAD_LOSS_RATIO) dead.push(lossText(own))
    else sites.push({ datacentre, nodes, ...linkOf(here.flatMap(linksOf), own, datacentre) })
  }
  const whyAlone = sites.length > 0 ? null : (dead[0] ?? noRemoteText(remotes.length, model))
  const prefilling = locals.filter(({ isPrefill }) => isPrefill).map(({ report }) => report)
  return { locals, prefilling, sites, whyAlone }
}

/** Who says neither prefill nor decode does both, for prompts of its own. */
function localOf(member: Member, report: PrefillReport | null): LocalNode | null {
  if (report === null) return null
  const [isPrefill, isDecode] = [member.roles.includes('prefill'), member.roles.includes('decode')]
  const isNeither = !isPrefill && !isDecode
  return { node: member.node, report, isPrefill: isPrefill || isNeither, isDecode: isDecode || isNeither }
}

/** What the nodes here know of the link together: each sees only its own use of it. */
function linkOf(
  reports: readonly LinkReport[],
  own: LinkReport | undefined,
  datacentre: string,
): Pick<RemoteSite, 'bytesPerSecond' | 'isMeasured' | 'rttSeconds' | 'utilisation'> {
  const used = ({ bytesPerSecond, utilisation }: LinkReport): number => bytesPerSecond * utilisation
  const ofLink = reports.filter((report) => report.datacentre === datacentre && report.bytesPerSecond > 0)
  // Who sends most knows the link best.
  const busiest = ofLink.reduce<LinkReport | null>(
    (best, next) => (best && used(best) >= used(next) ? best : next),
    null,
  )
  const best = own !== undefined && own.bytesPerSecond > 0 ? own : busiest
  if (best === null) {
    const { bytesPerSecond, latencySeconds } = ASSUMED_RATES.otherPlaces
    return { bytesPerSecond, isMeasured: false, rttSeconds: own?.rttSeconds ?? latencySeconds, utilisation: 0 }
  }
  const usedBytesPerSecond = ofLink.reduce((sum, report) => sum + used(report), 0)
  return {
    bytesPerSecond: Math.max(BYTES_PER_SECOND_MIN, Math.min(BYTES_PER_SECOND_MAX, best.bytesPerSecond)),
    isMeasured: true,
    rttSeconds: best.rttSeconds,
    utilisation: Math.min(1, usedBytesPerSecond / best.bytesPerSecond),
  }
}

function lossText({ datacentre, lossRatio }: LinkReport): string {
  return `the link to ${datacentre} is taken for dead: ${Math.round(lossRatio * 100)} % of the last probes failed`
}

function noRemoteText(remotes: number, model: string): string {
  return remotes === 0
    ? 'no node of another datacentre computes for others'
    : `of ${remotes} nodes in other datacentres that compute for others, none has an engine for ${model}`
}
