/** Takes bytes off a socket in the amounts that a protocol wants, straight into their place. */
import type { Socket } from 'node:net'

/** Of bytes that came before they were asked for; then the sender waits. */
const AHEAD_BYTES_MAX = 256 * 1024

/** Bytes earn their sender the time that they may take at a megabit a second: it holds room meanwhile. */
const SENDER_BYTES_PER_SECOND_MIN = 125_000

/** One `fill` at a time. */
export class SocketReader {
  readonly #socket: Socket
  readonly #nowMs: () => number
  #ahead: Buffer[] = []
  #aheadBytes = 0
  #target: Uint8Array | null = null
  #filled = 0
  #hasEnded = false
  #resolve: (isFilled: boolean) => void = () => {}
  /** Since when something is half there, moved on by what has come of it. */
  #halfSinceMs: number | null = null

  constructor(socket: Socket, nowMs: () => number) {
    this.#socket = socket
    this.#nowMs = nowMs
    socket.on('data', (segment: Buffer) => this.#arrived(segment))
    const ended = (): void => {
      this.#hasEnded = true
      if (this.#target !== null) this.#settle(false)
    }
    socket.once('end', ended).once('close', ended)
  }

  /** Milliseconds for which less came of what is half there than a slow sender sends; 0 when nothing is half there. */
  get halfMs(): number {
    return this.#halfSinceMs === null ? 0 : this.#nowMs() - this.#halfSinceMs
  }

  /** False when the peer ended before `target` was full. `isStarted`: what came before belongs to it. */
  fill(target: Uint8Array, isStarted: boolean): Promise<boolean> {
    this.#target = target
    this.#filled = 0
    this.#halfSinceMs = isStarted ? this.#nowMs() : null
    return new Promise((resolve) => {
      this.#resolve = resolve
      const ahead = this.#ahead
      this.#ahead = []
      this.#aheadBytes = 0
      for (const segment of ahead) this.#arrived(segment)
      this.#socket.resume()
      if (this.#target === target && target.length === 0) this.#settle(true)
      else if (this.#target === target && this.#hasEnded) this.#settle(false)
    })
  }

  /** HOT: one copy, into its place. */
  #arrived(segment: Buffer): void {
    const target = this.#target
    let taken = 0
    if (target !== null) {
      taken = segment.copy(target, this.#filled)
      this.#filled += taken
      if (this.#halfSinceMs === null) this.#halfSinceMs = this.#nowMs()
      else this.#halfSinceMs = Math.min(this.#nowMs(), this.#halfSinceMs + (1000 * taken) / SENDER_BYTES_PER_SECOND_MIN)
      if (this.#filled === target.length) this.#settle(true)
    }
    if (taken === segment.length) return
    this.#ahead.push(taken === 0 ? segment : segment.subarray(taken))
    this.#aheadBytes += segment.length - taken
    if (this.#aheadBytes > AHEAD_BYTES_MAX) this.#socket.pause()
  }

  #settle(isFilled: boolean): void {
    this.#target = null
    this.#halfSinceMs = null
    this.#resolve(isFilled)
  }
}
