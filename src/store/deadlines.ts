/**
 * Things that end at some time, found again when it has come. Times are rounded up to a bucket, so that adding and
 * taking cost the same however many there are; an item may be taken up to a bucket late, never early.
 */
export class Deadlines<T> {
  readonly #bucketMs: number
  readonly #buckets = new Map<number, T[]>()
  #earliestBucket = Infinity

  constructor(bucketMs: number) {
    this.#bucketMs = bucketMs
  }

  add(item: T, atMs: number): void {
    const bucket = Math.ceil(atMs / this.#bucketMs)
    const items = this.#buckets.get(bucket)
    if (items === undefined) this.#buckets.set(bucket, [item])
    else items.push(item)
    this.#earliestBucket = Math.min(this.#earliestBucket, bucket)
  }

  /** Takes out what ended by now, in no order. An item that was added twice comes twice. */
  take(nowMs: number): readonly T[] {
    const bucket = Math.floor(nowMs / this.#bucketMs)
    if (bucket < this.#earliestBucket) return NOTHING
    const ended: T[] = []
    this.#earliestBucket = Infinity
    for (const [index, items] of this.#buckets) {
      if (index > bucket) {
        this.#earliestBucket = Math.min(this.#earliestBucket, index)
        continue
      }
      for (const item of items) ended.push(item)
      this.#buckets.delete(index)
    }
    return ended
  }
}

const NOTHING: readonly never[] = []
