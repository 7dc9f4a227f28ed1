/**
 * Work that goes on after its caller was answered. Its first failure is kept for whoever waits for all of it.
 */
export class BackgroundTasks {
  readonly #tasksMax: number
  readonly #running = new Set<Promise<void>>()
  /** Called when there is room again. A race of all tasks would cost each waiter all of them. */
  readonly #waitingForRoom: (() => void)[] = []
  #error: unknown = null

  /** Beyond so many at once, `room` waits. */
  constructor(tasksMax: number) {
    this.#tasksMax = tasksMax
  }

  get isIdle(): boolean {
    return this.#running.size === 0
  }

  start(work: () => Promise<unknown>): void {
    const task: Promise<void> = work()
      .catch((error: unknown) => void (this.#error ??= error))
      .then(() => {
        this.#running.delete(task)
        if (this.#running.size > this.#tasksMax) return
        for (const goOn of this.#waitingForRoom.splice(0)) goOn()
      })
    this.#running.add(task)
  }

  /** Ends when no more are under way than the limit. */
  async room(): Promise<void> {
    while (this.#running.size > this.#tasksMax)
      await new Promise<void>((resolve) => void this.#waitingForRoom.push(resolve))
  }

  /** Ends when none is under way; what failed until then is forgotten. */
  async drain(): Promise<void> {
    while (this.#running.size > 0) await Promise.all(this.#running)
    this.#error = null
  }

  /** Ends when none is under way, and throws the first failure since this was last called. */
  async settle(): Promise<void> {
    while (this.#running.size > 0) await Promise.all(this.#running)
    const error = this.#error
    this.#error = null
    if (error !== null) throw error
  }
}
