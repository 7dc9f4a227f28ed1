/**
 * Looks at the ways to other datacentres: a small message every few seconds says how long a round trip takes and whether
 * it is answered; one of a megabyte says how fast a link is on which nothing else has travelled for a while.
 */
import { randomBytes } from 'node:crypto'
import { MembraneError } from '../core/errors.ts'
import type { Alarm, Stopwatch } from '../core/ports.ts'
import { countField } from '../cluster/fields.ts'
import type { LinkMeasures } from '../cluster/measure-links.ts'
import type { Member } from '../cluster/member.ts'
import type { Membership } from '../cluster/membership.ts'
import { type PeerCalls, type PeerHandlers, peerMessage } from '../cluster/peer-calls.ts'

export interface LinkProbesParts {
  readonly membership: Membership
  readonly calls: PeerCalls
  readonly measures: LinkMeasures
  readonly alarm: Alarm
  readonly stopwatch: Stopwatch
}

const ECHO = 'echo'
const PROBE_SECONDS = 2
const PROBE_TIMEOUT_SECONDS = 2
/** Half a second of a link of 16 Mbps; several round trips of congestion control on a fast one. */
const BANDWIDTH_BYTES = 1024 * 1024
const BANDWIDTH_SECONDS = 60
const BANDWIDTH_TIMEOUT_SECONDS = 10

/** Sends back as many bytes as are asked for; they do not compress. What it gives ends it. */
export function answerEchoes(handlers: PeerHandlers): () => void {
  const bytes = randomBytes(BANDWIDTH_BYTES)
  return handlers.on(ECHO, async ({ fields }) =>
    peerMessage(ECHO, {}, bytes.subarray(0, countField(fields, 'bytes', BANDWIDTH_BYTES))),
  )
}

/** Probes from now on; what it gives ends it. */
export function probeLinks(parts: LinkProbesParts): () => void {
  const probes = new LinkProbes(parts)
  probes.begin()
  return () => probes.end()
}

class LinkProbes {
  readonly #parts: LinkProbesParts
  readonly #nextBandwidthSeconds = new Map<string, number>()
  readonly #abort = new AbortController()
  #cancel = (): void => undefined
  #round = 0

  constructor(parts: LinkProbesParts) {
    this.#parts = parts
  }

  begin(): void {
    for (const [datacentre, members] of this.#others()) {
      // One after the other: links are of datacentres, and one node that is ill is not the link.
      const member = members[this.#round % members.length]
      if (member !== undefined) void this.#probe(datacentre, member)
    }
    this.#round += 1
    this.#cancel = this.#parts.alarm.after(PROBE_SECONDS, () => this.begin())
  }

  end(): void {
    this.#cancel()
    this.#abort.abort()
  }

  #others(): ReadonlyMap<string, readonly Member[]> {
    const { membership } = this.#parts
    const { datacentre: own } = membership.self
    const living = membership.members().filter(({ state, datacentre }) => state === 'alive' && datacentre !== own)
    return Map.groupBy(living, ({ datacentre }) => datacentre)
  }

  async #probe(datacentre: string, member: Member): Promise<void> {
    const { measures, stopwatch } = this.#parts
    const seconds = await this.#echo(member, 0, PROBE_TIMEOUT_SECONDS)
    if (this.#abort.signal.aborted) return
    measures.probed(datacentre, seconds)
    const isDue = stopwatch.seconds() >= (this.#nextBandwidthSeconds.get(datacentre) ?? 0)
    if (seconds === null || !isDue) return
    this.#nextBandwidthSeconds.set(datacentre, stopwatch.seconds() + BANDWIDTH_SECONDS)
    const took = await this.#echo(member, BANDWIDTH_BYTES, BANDWIDTH_TIMEOUT_SECONDS)
    // Without the round trip, which small messages measure.
    if (took !== null) measures.transferred(datacentre, BANDWIDTH_BYTES, Math.max(took - seconds, took / 2))
  }

  async #echo({ address }: Member, bytes: number, timeoutSeconds: number): Promise<number | null> {
    const { calls, stopwatch } = this.#parts
    const { signal } = this.#abort
    const began = stopwatch.seconds()
    try {
      await calls.call(address, peerMessage(ECHO, { bytes }), { tenant: null, timeoutSeconds, signal })
      return stopwatch.seconds() - began
    } catch (error) {
      if (!(error instanceof MembraneError)) throw error
      return null
    }
  }
}
