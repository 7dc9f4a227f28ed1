/** What the prefill bench compares. */

/** An engine that prefills from an empty context. Times are the caller's to take. */
export interface PrefillEngine {
  readonly name: string
  prefill(tokenIds: Uint32Array): Promise<void>
  /** One token after what was prefilled, and all scores of the next; null where it only prefills. */
  readonly decode: ((tokenId: number) => Promise<void>) | null
  close(): Promise<void>
}

export function threadsText(threads: number): string {
  return threads === 1 ? '1 thread' : `${threads} threads`
}
