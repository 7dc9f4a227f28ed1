/**
 * What hints make of an entry, as one byte: its priority, whether its chain is closed, whether it is pinned. All of a
 * rank leave before any of the next: first what is closed, then by priority.
 */
import { type EvictionPriority, NORMAL_PRIORITY } from './evict.ts'

/** Closed, low, normal, high. Those that are pinned have none. */
export const RANKS = 4
export const PINNED_RANK = 4

/** Priorities are kept so that 0, what a new array is full of, is the normal one. */
const PRIORITY_MASK = 3
const CLOSED = 4
const PINNED = 8
const RANK_OF_HINTS = Uint8Array.from({ length: 16 }, (_, hints) => {
  if ((hints & PINNED) !== 0) return PINNED_RANK
  return (hints & CLOSED) === 0 ? 1 + ((hints & PRIORITY_MASK) ^ NORMAL_PRIORITY) : 0
})

/** The hints of each slot. */
export class Hints {
  readonly #hints: Uint8Array

  constructor(capacity: number) {
    this.#hints = new Uint8Array(capacity)
  }

  /** 0 to `RANKS` - 1, or `PINNED_RANK`. */
  rank(slot: number): number {
    return RANK_OF_HINTS[this.#hints[slot] ?? 0] ?? 0
  }

  reset(slot: number): void {
    this.#hints[slot] = 0
  }

  prioritize(slot: number, priority: EvictionPriority): void {
    this.#hints[slot] = ((this.#hints[slot] ?? 0) & ~PRIORITY_MASK) | (priority ^ NORMAL_PRIORITY)
  }

  isClosed(slot: number): boolean {
    return ((this.#hints[slot] ?? 0) & CLOSED) !== 0
  }

  close(slot: number): void {
    this.#hints[slot] = (this.#hints[slot] ?? 0) | CLOSED
  }

  reopen(slot: number): void {
    this.#hints[slot] = (this.#hints[slot] ?? 0) & ~CLOSED
  }

  pin(slot: number, isPinned: boolean): void {
    const hints = this.#hints[slot] ?? 0
    this.#hints[slot] = isPinned ? hints | PINNED : hints & ~PINNED
  }
}

export function rankOf(priority: EvictionPriority): number {
  return 1 + priority
}
