import { bytesPerSecondFromGbps } from '../core/units.ts'
import type { EventSchedule } from './event-schedule.ts'
import { JobQueue } from './job-queue.ts'
import type { JobTable } from './sim-jobs.ts'
import { SharedLink } from './sim-link.ts'
import type { TransferOptions } from './sim-options.ts'
import type { SimulationRecord } from './sim-record.ts'
import { Staging } from './sim-staging.ts'

export interface HandoffOptions {
  readonly schedule: EventSchedule
  /** The event sources of the link, of its other direction, and of round trips that end. */
  readonly sources: { readonly link: number; readonly copy: number; readonly delivery: number }
  readonly jobs: JobTable
  readonly record: SimulationRecord
  readonly transfer: TransferOptions
  readonly bytesPerSecond: number
  readonly stagingBytesMax: number
}

/** What happens around a handoff. */
export interface HandoffHost {
  /** What a job's KV takes where it is decoded; asked only where staging is bounded. */
  kvBytes(job: number): number
  /** The job that a local server holds. */
  jobOf(source: number): number
  /** The KV of a job is complete where it is decoded. */
  kvReady(job: number): void
  /** A prefix is where the job will be prefilled. */
  prefixArrived(job: number): void
  /** A local server that stood still has room for its KV. */
  releaseLocal(source: number): void
  /** A prefix will not arrive. */
  reroute(job: number): void
}

/** What a job's KV is at, so that the end of a flow or a prefill knows what comes next. */
const IDLE = 0
/** A prefix is on its way to the cluster that will prefill. */
const COPYING = 1
/** All layers but the last stream while they are computed; then with the prefill done, or with the stream done. */
const STREAMING = 2
const STREAMING_PREFILLED = 3
const STREAMED = 4
/** The last flow of the transfer. */
const SENDING = 5

/**
 * HOT: how KV gets from where it is prefilled to where it is decoded, and prefixes to where they are prefilled.
 *
 *   remote prefill -> [staging] -> transfer -> [round trip] -+-> complete
 *   local prefill  -> [staging] -----------------------------+
 */
export class Handoff {
  readonly link: SharedLink
  /** The other direction of the link: prefixes that are copied to the remote cluster. */
  readonly reverseLink: SharedLink
  readonly staging: Staging
  readonly #schedule: EventSchedule
  readonly #deliverySource: number
  readonly #jobs: JobTable
  readonly #record: SimulationRecord
  readonly #transfer: TransferOptions
  readonly #host: HandoffHost
  /** Jobs on the last part of their round trip; all take as long, so they arrive in order. */
  readonly #inDelivery = new JobQueue()

  constructor(options: HandoffOptions, host: HandoffHost) {
    const { schedule, sources, transfer, bytesPerSecond } = options
    this.#schedule = schedule
    this.#deliverySource = sources.delivery
    this.#jobs = options.jobs
    this.#record = options.record
    this.#transfer = transfer
    this.#host = host
    const flowBytesPerSecondMax =
      transfer.flowGbpsMax === null ? undefined : bytesPerSecondFromGbps(transfer.flowGbpsMax)
    this.link = new SharedLink({ schedule, source: sources.link, bytesPerSecond, flowBytesPerSecondMax })
    this.reverseLink = new SharedLink({ schedule, source: sources.copy, bytesPerSecond, flowBytesPerSecondMax })
    this.staging = new Staging(options.stagingBytesMax)
  }

  setBytesPerSecond(bytesPerSecond: number, nowSeconds: number): void {
    this.link.setBytesPerSecond(bytesPerSecond, nowSeconds)
    this.reverseLink.setBytesPerSecond(bytesPerSecond, nowSeconds)
  }

  /** How long `bytes` more take over the link: behind the backlog, no faster than one flow may be, and a round trip. */
  transferSeconds(bytes: number, nowSeconds: number): number {
    const { rttSeconds, flowGbpsMax } = this.#transfer
    const ownSeconds = flowGbpsMax === null ? 0 : bytes / bytesPerSecondFromGbps(flowGbpsMax)
    const sharedSeconds = (this.link.backlogBytes(nowSeconds) + bytes) / Math.max(this.link.bytesPerSecond, 1)
    return Math.max(ownSeconds, sharedSeconds) + rttSeconds
  }

  /** What of a transfer is left when its prefill ends: all of it, or with layer-wise transfer what did not overlap. */
  afterPrefillSeconds(bytes: number, prefillSeconds: number, nowSeconds: number): number {
    const { mode, layers, rttSeconds } = this.#transfer
    const seconds = this.transferSeconds(bytes, nowSeconds)
    if (mode !== 'layerwise') return seconds
    const lastSeconds = (seconds - rttSeconds) / layers
    return Math.max(0, seconds - rttSeconds - lastSeconds - prefillSeconds) + lastSeconds + rttSeconds
  }

  /** Copies a prefix that the other cluster holds to the one that the job's row names. */
  copyPrefix(job: number, prefixBytes: number, nowSeconds: number): void {
    const jobs = this.#jobs
    jobs.phase[job] = COPYING
    jobs.flowStartSeconds[job] = nowSeconds
    this.#record.bytesCopied += prefixBytes
    ;(jobs.isRemote[job] === 1 ? this.reverseLink : this.link).start(job, prefixBytes, nowSeconds)
  }

  /** A job waits for its prefill: whatever was sent for it before, its KV is nowhere now. */
  awaitPrefill(job: number): void {
    this.#jobs.phase[job] = IDLE
  }

  /** A remote prefill starts. ASSUMPTION: layerwise-transfer. All layers but the last; without room for them, everything is sent after the prefill. */
  remoteStarts(job: number, nowSeconds: number): void {
    const { mode, layers } = this.#transfer
    if (mode !== 'layerwise' || layers < 2 || !this.#reserve(job)) return
    const bytes = this.#jobs.transferBytes[job] ?? 0
    this.#record.transfer.waitSeconds.record(0)
    this.#jobs.phase[job] = STREAMING
    this.#flow(job, bytes - bytes / layers, nowSeconds)
  }

  /** A remote prefill has ended. */
  remoteEnds(job: number, nowSeconds: number): void {
    const jobs = this.#jobs
    const phase = jobs.phase[job]
    if (phase === STREAMING) jobs.phase[job] = STREAMING_PREFILLED
    else if (phase === STREAMED) this.#sendLastLayer(job, nowSeconds)
    else {
      jobs.queuedSeconds[job] = nowSeconds
      if (this.#reserve(job)) this.#startTransfer(job, nowSeconds)
      else this.staging.waitToSend(job)
    }
  }

  /** A local prefill has ended; false when its KV has nowhere to go: the server must stand still until `releaseLocal`. */
  localEnds(job: number, source: number, nowSeconds: number): boolean {
    if (this.#reserve(job)) return true
    this.#jobs.queuedSeconds[job] = nowSeconds
    this.staging.waitOnServer(source)
    return false
  }

  /** The link, or its other direction, has carried the flow of a job. */
  flowEnds(job: number, nowSeconds: number): void {
    const jobs = this.#jobs
    const phase = jobs.phase[job]
    const flowSeconds = nowSeconds - (jobs.flowStartSeconds[job] ?? 0)
    if (phase === COPYING) {
      this.#record.copySecondsSum += flowSeconds
      this.#host.prefixArrived(job)
      return
    }
    this.#record.transfer.serviceSecondsSum += flowSeconds
    if (phase === STREAMING) jobs.phase[job] = STREAMED
    else if (phase === STREAMING_PREFILLED) this.#sendLastLayer(job, nowSeconds)
    else if (this.#transfer.rttSeconds > 0) this.#beginDelivery(job, nowSeconds + this.#transfer.rttSeconds)
    else this.#host.kvReady(job)
  }

  /** The event of a round trip that ends. */
  deliver(): void {
    const job = this.#inDelivery.shift()
    const next = this.#inDelivery.peek()
    this.#schedule.set(
      this.#deliverySource,
      next < 0 ? Number.POSITIVE_INFINITY : (this.#jobs.kvReadySeconds[next] ?? 0),
    )
    this.#host.kvReady(job)
  }

  /** A job's KV leaves staging, for a slot or because it is of no use; who waits for room goes on. */
  unstage(job: number, nowSeconds: number): void {
    if (!this.staging.isBounded) return
    this.staging.release(this.#host.kvBytes(job))
    for (;;) {
      const waiting = this.staging.firstWaiting(
        (sender) => this.#jobs.queuedSeconds[sender] ?? 0,
        (source) => this.#host.jobOf(source),
      )
      if (waiting === null || !this.#reserve(waiting.job)) return
      this.staging.takeWaiting(waiting)
      if (waiting.kind === 'send') this.#startTransfer(waiting.job, nowSeconds)
      else this.#host.releaseLocal(waiting.source)
    }
  }

  /** The server of a remote prefill is lost: what has streamed of it is of no use. */
  breakPrefill(job: number, nowSeconds: number): void {
    const phase = this.#jobs.phase[job]
    if (phase === STREAMING) this.#breakFlow(job, nowSeconds)
    else if (phase === STREAMED) this.unstage(job, nowSeconds)
  }

  /** The whole remote cluster is gone: adds to `orphans` what it was sending, or about to send, and will never complete. */
  breakTransfers(orphans: number[], nowSeconds: number): void {
    // Before flows break off and make room for them.
    orphans.push(...this.staging.dropSenders())
    for (const job of this.link.jobsInFlight()) {
      if (this.#jobs.phase[job] !== COPYING && !orphans.includes(job)) orphans.push(job)
      this.#breakFlow(job, nowSeconds)
    }
  }

  #reserve(job: number): boolean {
    return this.staging.reserve(this.staging.isBounded ? this.#host.kvBytes(job) : 0)
  }

  #startTransfer(job: number, nowSeconds: number): void {
    this.#record.transfer.waitSeconds.record(nowSeconds - (this.#jobs.queuedSeconds[job] ?? 0))
    this.#send(job, this.#jobs.transferBytes[job] ?? 0, nowSeconds)
  }

  #sendLastLayer(job: number, nowSeconds: number): void {
    this.#send(job, (this.#jobs.transferBytes[job] ?? 0) / this.#transfer.layers, nowSeconds)
  }

  #send(job: number, bytes: number, nowSeconds: number): void {
    this.#jobs.phase[job] = SENDING
    this.#flow(job, bytes, nowSeconds)
  }

  #flow(job: number, bytes: number, nowSeconds: number): void {
    this.#jobs.flowStartSeconds[job] = nowSeconds
    this.#record.bytesSent += bytes
    this.link.start(job, bytes, nowSeconds)
  }

  #beginDelivery(job: number, arrivesSeconds: number): void {
    this.#jobs.kvReadySeconds[job] = arrivesSeconds
    if (this.#inDelivery.count === 0) this.#schedule.set(this.#deliverySource, arrivesSeconds)
    this.#inDelivery.push(job)
  }

  #breakFlow(job: number, nowSeconds: number): void {
    const jobs = this.#jobs
    const bytesLeft = this.link.breakOff(job, nowSeconds)
    const flowSeconds = nowSeconds - (jobs.flowStartSeconds[job] ?? 0)
    if (jobs.phase[job] === COPYING) {
      // The rest of the prefix is computed.
      this.#record.bytesCopied -= bytesLeft
      this.#record.copySecondsSum += flowSeconds
      this.#host.reroute(job)
      return
    }
    this.#record.bytesSent -= bytesLeft
    this.#record.transfer.serviceSecondsSum += flowSeconds
    this.unstage(job, nowSeconds)
  }
}
