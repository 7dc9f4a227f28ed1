/** What one writes at first: block hashes as text, a map from each to a map from each holder to its tier. */
import { blockHashAt, type BlockHashes } from '../src/core/block-hashes.ts'
import type { Tier } from '../src/indices/tiers.ts'

export class NaiveIndex {
  readonly #holders = new Map<string, Map<number, Tier>>()

  add(hashes: readonly string[], start: number, end: number, holder: number, tier: Tier): void {
    for (let index = start; index < end; index++) {
      const hash = hashes[index] ?? ''
      const holders = this.#holders.get(hash)
      if (holders === undefined) this.#holders.set(hash, new Map([[holder, tier]]))
      else holders.set(holder, tier)
    }
  }

  remove(hash: string, holder: number): void {
    const holders = this.#holders.get(hash)
    holders?.delete(holder)
    if (holders?.size === 0) this.#holders.delete(hash)
  }

  /** Length of the run that all hold together, and of each holder's. */
  longestPrefix(hashes: readonly string[]): { readonly blocks: number; readonly runs: ReadonlyMap<number, number> } {
    const runs = new Map<number, number>()
    let blocks = 0
    for (; blocks < hashes.length; blocks++) {
      const holders = this.#holders.get(hashes[blocks] ?? '')
      if (holders === undefined) break
      for (const holder of holders.keys()) if ((runs.get(holder) ?? 0) === blocks) runs.set(holder, blocks + 1)
    }
    return { blocks, runs }
  }
}

export function textsOf(hashes: BlockHashes): string[] {
  return Array.from({ length: hashes.count }, (_, index) => blockHashAt(hashes, index))
}
