/** Calls about the cluster: for whoever may observe. */
import { z } from 'zod'
import { type CallOptions, type ControlChannel } from './client-control.ts'

const LINK = z.object({
  datacentre: z.string(),
  bytesPerSecond: z.number(),
  rttSeconds: z.number(),
  lossRatio: z.number(),
  utilisation: z.number(),
})
const EVENT = z.object({ atMs: z.number(), text: z.string() })
const ROUTING = z.object({
  thresholdTokens: z.number(),
  plannedTokens: z.number(),
  regime: z.string(),
  why: z.string(),
  decisions: z.array(EVENT),
  changes: z.array(EVENT),
})
// Fields of newer nodes are passed over.
const VIEW = z.object({
  cluster: z.string(),
  engine: z.string(),
  self: z.string(),
  members: z.array(
    z.object({
      node: z.string(),
      state: z.enum(['alive', 'suspect', 'gone', 'left']),
      sinceMs: z.number(),
      incarnation: z.number(),
      address: z.string(),
      datacentre: z.string(),
      roles: z.array(z.string()),
      version: z.string(),
      startedMs: z.number(),
      isDraining: z.boolean(),
      capacityBytes: z.number().nullable(),
      storedBytes: z.number(),
      fragments: z.number(),
      eventLoopRatio: z.number(),
      running: z.number(),
      prefill: z.object({ model: z.string(), waitSeconds: z.number() }).nullable(),
      links: z.array(LINK),
    }),
  ),
  membership: z.record(z.string(), z.number()),
  directory: z.record(z.string(), z.number()),
  replication: z.record(z.string(), z.number().nullable()),
  reads: z.record(z.string(), z.number()),
  prefill: z.record(z.string(), z.number()),
  routing: ROUTING.nullable(),
  notes: z.array(z.string()),
})

/** A cluster, as one of its nodes sees it: bytes, seconds, shares from 0 to 1, milliseconds since 1970. */
export type ClusterView = Readonly<z.output<typeof VIEW>>

/** See the top of this file. */
export class ClusterCalls {
  readonly #control: ControlChannel

  constructor(control: ControlChannel) {
    this.#control = control
  }

  /** All nodes, as the one that is asked sees them. Throws CLUSTER_OFF where it is alone, and FORBIDDEN. */
  view(options: CallOptions = {}): Promise<ClusterView> {
    return this.#control.json(VIEW, { ...options, method: 'GET', path: '/v1/cluster' })
  }
}
