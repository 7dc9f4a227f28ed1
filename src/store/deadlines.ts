/**
 * Things that end at some time, found again when it has come. Times are rounded up to a bucket, so that adding and
 * taking cost the same however many there are; an item may be taken up to a bucket late, never early.
 */
export class Deadlines<T> {
  readonly #bucketMs: number
  readonly #buckets = new Map<number, T[]>()
  /** No bucket lies before this one. */
  #first = Infinity

  constructor(bucketMs: number) {
    this.#bucketMs = bucketMs
  }

  add(item: T, atMs: number): void {
    const bucket = Math.ceil(atMs / this.#bucketMs)
    const items = this.#buckets.get(bucket)
    if (items === undefined) this.#buckets.set(bucket, [item])
    else items.push(item)
    this.#first = Math.min(this.#first, bucket)
  }

  /** Takes out what ended by now, in no order. An item that was added twice comes twice. */
  take(nowMs: number): readonly T[] {
    const last = Math.floor(nowMs / this.#bucketMs)
    if (last < this.#first) return NOTHING
    const ended: T[] = []
    // Time passes a bucket after the other; only after a long pause are there fewer buckets than time that passed.
    if (last - this.#first < this.#buckets.size)
      for (let index = this.#first; index <= last; index++) this.#move(index, ended)
    else for (const index of this.#buckets.keys()) if (index <= last) this.#move(index, ended)
    this.#first = this.#buckets.size === 0 ? Infinity : last + 1
    return ended
  }

  #move(index: number, ended: T[]): void {
    for (const item of this.#buckets.get(index) ?? NOTHING) ended.push(item)
    this.#buckets.delete(index)
  }
}

const NOTHING: readonly never[] = []
