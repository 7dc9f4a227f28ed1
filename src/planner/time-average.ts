/** HOT: a number that changes in steps, averaged over time. It is kept apart from all per-job sums, so that laws can be checked. */
export class TimeAverage {
  #value = 0
  #changedSeconds = 0
  #area = 0

  get value(): number {
    return this.#value
  }

  add(change: number, nowSeconds: number): void {
    this.set(this.#value + change, nowSeconds)
  }

  set(value: number, nowSeconds: number): void {
    this.#area += this.#value * (nowSeconds - this.#changedSeconds)
    this.#value = value
    this.#changedSeconds = nowSeconds
  }

  /** Integral over time up to now. */
  area(nowSeconds: number): number {
    return this.#area + this.#value * (nowSeconds - this.#changedSeconds)
  }
}
