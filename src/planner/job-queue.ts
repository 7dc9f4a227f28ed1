/** HOT: first in, first out, for job numbers; a ring that grows by doubling. */
export class JobQueue {
  #jobs = new Int32Array(64)
  #head = 0
  #count = 0

  get count(): number {
    return this.#count
  }

  push(job: number): void {
    if (this.#count === this.#jobs.length) this.#grow()
    this.#jobs[(this.#head + this.#count) & (this.#jobs.length - 1)] = job
    this.#count += 1
  }

  /** The job that waits longest; -1 when none does. */
  peek(): number {
    return this.#count === 0 ? -1 : (this.#jobs[this.#head] ?? -1)
  }

  /** Takes the job that waits longest; there must be one. */
  shift(): number {
    const job = this.#jobs[this.#head] ?? -1
    this.#head = (this.#head + 1) & (this.#jobs.length - 1)
    this.#count -= 1
    return job
  }

  #grow(): void {
    const jobs = new Int32Array(2 * this.#jobs.length)
    const untilEnd = this.#jobs.subarray(this.#head)
    jobs.set(untilEnd)
    jobs.set(this.#jobs.subarray(0, this.#head), untilEnd.length)
    this.#jobs = jobs
    this.#head = 0
  }
}
