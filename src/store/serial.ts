/** Runs tasks of one name one after another, and tasks of other names beside them. */
export class SerialTasks {
  readonly #last = new Map<string, Promise<unknown>>()

  run<T>(name: string, task: () => Promise<T>): Promise<T> {
    const previous = this.#last.get(name)
    const current = previous === undefined ? task() : previous.then(task, task)
    this.#last.set(name, current)
    const forget = (): void => {
      if (this.#last.get(name) === current) this.#last.delete(name)
    }
    current.then(forget, forget)
    return current
  }

  /** Ends when every task that has been given has ended, in whatever way. */
  async settle(): Promise<void> {
    while (this.#last.size > 0) await Promise.allSettled(this.#last.values())
  }
}
