/** The links to other datacentres, as this node uses them: measured by what travels, and shared by what wants to. */
import type { Alarm, Stopwatch } from '../core/ports.ts'
import { FairLink, type FlowName } from '../cluster/fair-link.ts'
import { LinkMeasures } from '../cluster/measure-links.ts'
import type { LinkReport } from '../cluster/member.ts'
import type { Membership } from '../cluster/membership.ts'
import type { FetchLinks } from './cluster-fetch.ts'

export interface ClusterLinksParts {
  readonly membership: Membership
  readonly alarm: Alarm
  readonly stopwatch: Stopwatch
}

/** A link that is held to what it was measured at would never be seen to be faster. */
const HEADROOM = 1.25

/** See the top of this file. Within a datacentre nobody waits, and nothing is measured. */
export class ClusterLinks implements FetchLinks {
  readonly measures: LinkMeasures
  readonly #parts: ClusterLinksParts
  readonly #shared = new Map<string, FairLink>()

  constructor(parts: ClusterLinksParts) {
    this.#parts = parts
    this.measures = new LinkMeasures(parts.stopwatch)
  }

  /** What this node tells others; from now on each link is shared at its measured bandwidth. */
  reports(): readonly LinkReport[] {
    const reports = this.measures.reports()
    for (const { datacentre, bytesPerSecond } of reports)
      this.#link(datacentre).setBytesPerSecond(HEADROOM * bytesPerSecond)
    return reports
  }

  /** Bytes that wait for their turn on any link. */
  get waitingBytes(): number {
    return [...this.#shared.values()].reduce((sum, { waitingBytes }) => sum + waitingBytes, 0)
  }

  /** Ends when so many bytes may come from a node. Throws ABORTED, and RATE_LIMITED when too many wait. */
  async admit(node: string, flow: FlowName, bytes: number, signal?: AbortSignal): Promise<void> {
    const datacentre = this.#otherDatacentre(node)
    if (datacentre !== null) await this.#link(datacentre).admit(flow, bytes, signal)
  }

  readonly fetched = (node: string, bytes: number, seconds: number): void => {
    const datacentre = this.#otherDatacentre(node)
    if (datacentre !== null) this.measures.transferred(datacentre, bytes, seconds)
  }

  readonly failed = (node: string): void => {
    const datacentre = this.#otherDatacentre(node)
    if (datacentre !== null) this.measures.probed(datacentre, null)
  }

  #otherDatacentre(node: string): string | null {
    const { membership } = this.#parts
    const datacentre = membership.member(node)?.datacentre
    return datacentre === undefined || datacentre === membership.self.datacentre ? null : datacentre
  }

  #link(datacentre: string): FairLink {
    const { alarm, stopwatch } = this.#parts
    const link = this.#shared.get(datacentre) ?? new FairLink(alarm, stopwatch)
    this.#shared.set(datacentre, link)
    return link
  }
}
