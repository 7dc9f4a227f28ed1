/** The text of an answer as it comes, up to the first of some texts that end it. */
export class StoppedText {
  readonly #stop: readonly string[]
  readonly #onText: ((text: string) => void) | undefined
  /** Said. */
  #text = ''
  /** Not said yet: a stop text may begin in it. */
  #held = ''
  #isStopped = false

  constructor(stop: readonly string[], onText: ((text: string) => void) | undefined) {
    this.#stop = stop
    this.#onText = onText
  }

  /** What has been said: without the text that ended it. */
  get text(): string {
    return this.#text
  }

  get isStopped(): boolean {
    return this.#isStopped
  }

  add(piece: string): void {
    if (this.#isStopped) return
    this.#held += piece
    const end = this.#stopStart()
    if (end !== null) {
      this.#isStopped = true
      this.#say(end)
      this.#held = ''
      return
    }
    this.#say(this.#held.length - this.#beginsLength())
  }

  /** The last piece: nothing comes after it. */
  end(piece: string): void {
    this.add(piece)
    this.#say(this.#held.length)
  }

  #say(length: number): void {
    const piece = this.#held.slice(0, length)
    this.#held = this.#held.slice(length)
    this.#text += piece
    if (piece !== '') this.#onText?.(piece)
  }

  #stopStart(): number | null {
    const starts = this.#stop.map((stop) => this.#held.indexOf(stop)).filter((start) => start >= 0)
    return starts.length === 0 ? null : Math.min(...starts)
  }

  /** The longest end of what is held with which a stop text begins. */
  #beginsLength(): number {
    const longest = Math.max(0, ...this.#stop.map((stop) => stop.length - 1))
    for (let length = Math.min(longest, this.#held.length); length > 0; length -= 1) {
      const end = this.#held.slice(-length)
      if (this.#stop.some((stop) => stop.startsWith(end))) return length
    }
    return 0
  }
}
