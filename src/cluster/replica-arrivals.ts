/** What is said of offered fragments after the offer was answered: that some have arrived, and what became of others. */
import { LIMITS } from '../core/limits.ts'
import type { Alarm } from '../core/ports.ts'
import type { ReplicaOutcome } from './replication.ts'

/** Waits for the word of a node that something has arrived there. */
export class Arrivals {
  readonly #waiting = new Map<string, Set<() => void>>()

  tell(node: string): void {
    for (const end of Array.from(this.#waiting.get(node) ?? [])) end()
  }

  /** Ends with the word, with the signal, or when the time is over. */
  wait(
    node: string,
    { alarm, seconds, signal }: { readonly alarm: Alarm; readonly seconds: number; readonly signal: AbortSignal },
  ): Promise<void> {
    if (signal.aborted) return Promise.resolve()
    return new Promise((resolve) => {
      const waiting = this.#waiting.get(node) ?? new Set()
      this.#waiting.set(node, waiting)
      const end = (): void => {
        cancel()
        signal.removeEventListener('abort', end)
        waiting.delete(end)
        if (waiting.size === 0) this.#waiting.delete(node)
        resolve()
      }
      const cancel = alarm.after(seconds, end)
      signal.addEventListener('abort', end)
      waiting.add(end)
    })
  }
}

/** What became of fetches that brought nothing: each is told once. */
export class KeptOutcomes {
  readonly #outcomes = new Map<string, ReplicaOutcome>()

  keep(name: string, outcome: ReplicaOutcome): void {
    this.#outcomes.delete(name)
    this.#outcomes.set(name, outcome)
    if (this.#outcomes.size <= LIMITS.replicaNotesMax) return
    const [oldest] = this.#outcomes.keys()
    if (oldest !== undefined) this.#outcomes.delete(oldest)
  }

  take(name: string): ReplicaOutcome | null {
    const outcome = this.#outcomes.get(name) ?? null
    this.#outcomes.delete(name)
    return outcome
  }
}
