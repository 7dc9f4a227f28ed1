/** Lets so many reads of one place go on at a time; the others wait for their turn in the order in which they came. */
import { throwIfAborted } from '../core/cancel.ts'

export class ReadSlots {
  readonly #slotsOfPlace: number
  readonly #taken = new Map<string, number>()
  readonly #waiting = new Map<string, ((hasSlot: boolean) => void)[]>()

  constructor(slotsOfPlace: number) {
    this.#slotsOfPlace = slotsOfPlace
  }

  /** Gives what frees the slot again. Throws ABORTED when the signal is given before there is one. */
  async take(place: string, signal: AbortSignal): Promise<() => void> {
    throwIfAborted(signal)
    const taken = this.#taken.get(place) ?? 0
    const free = (): void => {
      const next = this.#waiting.get(place)?.shift()
      // Handed over as it is freed, so that nobody who comes later gets it.
      if (next === undefined) this.#taken.set(place, (this.#taken.get(place) ?? 1) - 1)
      else next(true)
    }
    if (taken < this.#slotsOfPlace) this.#taken.set(place, taken + 1)
    else if ((await this.#turn(place, signal)) && signal.aborted) free()
    throwIfAborted(signal)
    return free
  }

  /** Whether there is a slot; not when the caller gave up waiting. */
  async #turn(place: string, signal: AbortSignal): Promise<boolean> {
    const waiting = this.#waiting.get(place) ?? []
    this.#waiting.set(place, waiting)
    const { promise, resolve } = Promise.withResolvers<boolean>()
    waiting.push(resolve)
    const leave = (): void => {
      const index = waiting.indexOf(resolve)
      if (index >= 0) waiting.splice(index, 1)
      resolve(false)
    }
    signal.addEventListener('abort', leave)
    const hasSlot = await promise
    signal.removeEventListener('abort', leave)
    return hasSlot
  }
}
