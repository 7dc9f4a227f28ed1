/** One link, shared by all that want to send over it. */
import { abortedError } from '../core/cancel.ts'
import { assert, MembraneError } from '../core/errors.ts'
import { LIMITS } from '../core/limits.ts'
import type { Alarm, Stopwatch } from '../core/ports.ts'

/** What somebody waits for decides how much of a link it gets; a flow is named `kind` or `kind:anything`. */
export const FLOW_WEIGHTS = { prefill: 4, sync: 2, replication: 1 } as const
/** A key of FLOW_WEIGHTS. */
export type FlowKind = keyof typeof FLOW_WEIGHTS
/** One stream of one kind. */
export type FlowName = FlowKind | `${FlowKind}:${string}`

/** A link that was left idle for longer than this sends no more at once than in this time: alarms come that late. */
const BURST_SECONDS = 0.01

interface Waiting {
  readonly bytes: number
  readonly grant: () => void
}

interface Flow {
  /** Where it would end if the link gave each flow its share bit by bit: bytes that it had, per unit of its weight. */
  hadUntil: number
  /** The first come first. */
  readonly waiting: Set<Waiting>
}

/**
 * Start-time fair queueing: of the flows that wait, the one goes first that has had the least for its weight. What an
 * idle flow leaves goes to the others, and an idle flow saves nothing up. Flows that keep waiting share in proportion to
 * their weights, but for one message each.
 */
export class FairLink {
  readonly #alarm: Alarm
  readonly #stopwatch: Stopwatch
  #bytesPerSecond: number | null = null
  readonly #flows = new Map<FlowName, Flow>()
  /** What the flow that went last had had: who comes anew begins here. */
  #linkHadUntil = 0
  #waiters = 0
  #waitingBytes = 0
  #freeAtSeconds = 0
  #cancelAlarm: (() => void) | null = null

  constructor(alarm: Alarm, stopwatch: Stopwatch) {
    this.#alarm = alarm
    this.#stopwatch = stopwatch
  }

  /** Bytes that wait for their turn. */
  get waitingBytes(): number {
    return this.#waitingBytes
  }

  /**
   * Null, as in the beginning, for no shaping: all that wait go at once. Where the capacity is what was measured, hand in
   * somewhat more: a link that is held to its estimate is never seen to be faster.
   */
  setBytesPerSecond(bytesPerSecond: number | null): void {
    if (bytesPerSecond !== null && !(bytesPerSecond > 0 && bytesPerSecond < Infinity))
      throw new MembraneError('INVALID_CONFIG', `A link carries more than 0 bytes per second, found ${bytesPerSecond}.`)
    const now = this.#stopwatch.seconds()
    // What is on its way takes longer on a slower link.
    if (bytesPerSecond !== null && this.#bytesPerSecond !== null && this.#freeAtSeconds > now)
      this.#freeAtSeconds = now + ((this.#freeAtSeconds - now) * this.#bytesPerSecond) / bytesPerSecond
    this.#bytesPerSecond = bytesPerSecond
    this.#cancelAlarm?.()
    this.#cancelAlarm = null
    this.#serve()
  }

  /**
   * Resolves when these bytes may be sent. Throws ABORTED, and RATE_LIMITED when too many wait already. Large messages
   * make others wait: ask for some megabytes at a time.
   */
  admit(name: FlowName, bytes: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted === true) {
        reject(abortedError(signal))
        return
      }
      if (this.#waiters >= LIMITS.fairLinkWaitersMax) {
        reject(tooMany())
        return
      }
      const flow = this.#joined(name)
      const leave = (): void => {
        if (signal === undefined || !flow.waiting.delete(waiting)) return
        this.#left(waiting)
        reject(abortedError(signal))
      }
      const grant = (): void => {
        signal?.removeEventListener('abort', leave)
        resolve()
      }
      const waiting: Waiting = { bytes, grant }
      flow.waiting.add(waiting)
      this.#waiters += 1
      this.#waitingBytes += bytes
      signal?.addEventListener('abort', leave, { once: true })
      if (this.#cancelAlarm === null) this.#serve()
    })
  }

  /** The flow, which has had no less than who went last, if it was idle. */
  #joined(name: FlowName): Flow {
    const isIdle = this.#waiters === 0 && this.#freeAtSeconds < this.#stopwatch.seconds() - BURST_SECONDS
    if (isIdle) this.#flows.clear()
    let flow = this.#flows.get(name)
    if (flow === undefined) {
      flow = { hadUntil: 0, waiting: new Set() }
      this.#flows.set(name, flow)
    }
    if (flow.waiting.size === 0) flow.hadUntil = Math.max(flow.hadUntil, this.#linkHadUntil)
    return flow
  }

  #left(waiting: Waiting): void {
    this.#waiters -= 1
    this.#waitingBytes -= waiting.bytes
  }

  /** Lets all go whose time has come, and sets an alarm for the next one. */
  #serve(): void {
    const now = this.#stopwatch.seconds()
    this.#freeAtSeconds = Math.max(this.#freeAtSeconds, now - BURST_SECONDS)
    while (this.#waiters > 0 && (this.#bytesPerSecond === null || this.#freeAtSeconds <= now)) this.#grantNext()
    if (this.#waiters === 0) return
    this.#cancelAlarm = this.#alarm.after(this.#freeAtSeconds - now, () => {
      this.#cancelAlarm = null
      this.#serve()
    })
  }

  #grantNext(): void {
    let best: { readonly name: FlowName; readonly flow: Flow; readonly first: Waiting } | null = null
    for (const [name, flow] of this.#flows) {
      const [first] = flow.waiting
      // What it has had says nothing any more.
      if (first === undefined && flow.hadUntil <= this.#linkHadUntil) this.#flows.delete(name)
      else if (first !== undefined && (best === null || flow.hadUntil < best.flow.hadUntil))
        best = { name, flow, first }
    }
    assert(best !== null, 'somebody waits')
    const { name, flow, first } = best
    flow.waiting.delete(first)
    this.#left(first)
    this.#linkHadUntil = flow.hadUntil
    flow.hadUntil += first.bytes / weightOf(name)
    if (this.#bytesPerSecond !== null) this.#freeAtSeconds += first.bytes / this.#bytesPerSecond
    first.grant()
  }
}

function weightOf(flow: FlowName): number {
  const kind = flow.split(':', 1)[0] as FlowKind
  return FLOW_WEIGHTS[kind]
}

function tooMany(): MembraneError {
  return new MembraneError('RATE_LIMITED', 'Too many transfers wait for their share of the link.', {
    details: { waitersMax: LIMITS.fairLinkWaitersMax },
    remedy: 'Try again when some of them are over.',
  })
}
