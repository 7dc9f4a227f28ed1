/** HOT: blocks of tokens by a hash of nothing but their tokens, looked up at every offset of a prompt: 100 ns a token. */
import type { BlockHash } from '../core/ids.ts'
import { LIMITS } from '../core/limits.ts'

/** A prompt whose KV somebody stored. */
export interface TokenRecord {
  /** Whole blocks. */
  readonly tokenIds: Uint32Array
  /** Hashes of all its blocks: under these its fragments are found. */
  readonly blocks: readonly BlockHash[]
}

/** A block of a record. */
export interface MovedPlace {
  readonly record: TokenRecord
  /** Its first token. */
  readonly start: number
}

/** Any odd number: each step back to earlier tokens multiplies once more. */
const FACTOR = 0x2c1b3c6d

export class MovedPlaces {
  readonly #blockTokens: number
  /** What the first token of a block is multiplied with. */
  readonly #firstFactor: number
  readonly #scopes = new Map<string, Map<number, MovedPlace[]>>()

  constructor(blockTokens: number) {
    this.#blockTokens = blockTokens
    let factor = 1
    for (let token = 1; token < blockTokens; token++) factor = Math.imul(factor, FACTOR)
    this.#firstFactor = factor
  }

  add(scope: string, record: TokenRecord): void {
    const table = this.#scopes.get(scope) ?? new Map<number, MovedPlace[]>()
    this.#scopes.set(scope, table)
    for (let start = 0; start < record.tokenIds.length; start += this.#blockTokens) {
      const hash = this.#hashAt(record.tokenIds, start)
      const places = table.get(hash)
      if (places === undefined) table.set(hash, [{ record, start }])
      else {
        if (places.length >= LIMITS.movedPlacesMax) places.shift()
        places.push({ record, start })
      }
    }
  }

  remove(scope: string, record: TokenRecord): void {
    const table = this.#scopes.get(scope)
    if (table === undefined) return
    for (let start = 0; start < record.tokenIds.length; start += this.#blockTokens) {
      const hash = this.#hashAt(record.tokenIds, start)
      const places = table.get(hash)?.filter((place) => place.record !== record) ?? []
      if (places.length === 0) table.delete(hash)
      else table.set(hash, places)
    }
    if (table.size === 0) this.#scopes.delete(scope)
  }

  /** Blocks that may be equal to the tokens from an offset on; ask for ascending offsets. */
  windows(scope: string, tokenIds: Uint32Array): { at(start: number): readonly MovedPlace[] } {
    const table = this.#scopes.get(scope)
    if (table === undefined) return { at: () => NONE }
    let position = 0
    let hash = this.#hashAt(tokenIds, 0)
    return {
      at: (start) => {
        for (; position < start; position++) {
          const without = hash - Math.imul(mixToken(tokenIds[position] ?? 0), this.#firstFactor)
          hash = (Math.imul(without, FACTOR) + mixToken(tokenIds[position + this.#blockTokens] ?? 0)) | 0
        }
        return table.get(hash) ?? NONE
      },
    }
  }

  #hashAt(tokenIds: Uint32Array, start: number): number {
    let hash = 0
    for (let token = start; token < start + this.#blockTokens; token++)
      hash = (Math.imul(hash, FACTOR) + mixToken(tokenIds[token] ?? 0)) | 0
    return hash
  }
}

const NONE: readonly MovedPlace[] = []

/** Ids are small and follow each other; their bits are spread before they are added up. */
function mixToken(tokenId: number): number {
  const mixed = Math.imul(tokenId ^ (tokenId >>> 15), 0x85ebca6b)
  return mixed ^ (mixed >>> 13)
}
