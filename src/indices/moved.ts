/**
 * Where the tokens of a prompt stood before, at whatever position: in other prompts, for which there is KV. Blocks of
 * known prompts are found by a hash of their tokens alone, at every offset of a new prompt (a rolling hash, as rsync has
 * it), and a match is as long as the tokens themselves are equal: the hash proposes, tokens decide.
 */
import { MembraneError } from '../core/errors.ts'
import type { BlockHash } from '../core/ids.ts'
import { LIMITS } from '../core/limits.ts'
import { type MovedPlace, MovedPlaces, type TokenRecord } from './moved-places.ts'

/** Tokens of a prompt that stand in a record too. */
export interface MovedRun {
  readonly record: TokenRecord
  /** Their first place in the record, and in the prompt. */
  readonly recordStart: number
  readonly promptStart: number
  readonly tokens: number
}

/** Bounds of a `MovedIndex`. */
export interface MovedIndexOptions {
  readonly blockTokens: number
  /** Tokens of all records; beyond, the one that was longest not added or found is forgotten. About 16 bytes each. */
  readonly tokensMax: number
}

/** Sixteen million tokens: some 270 MB; their KV is hundreds of gigabytes. */
export const DEFAULT_MOVED_INDEX: MovedIndexOptions = { blockTokens: 16, tokensMax: 2 ** 24 }

/** What to look for. */
export interface MovedQuery {
  readonly tokenIds: Uint32Array
  /** Hashes of all its full blocks. */
  readonly blocks: readonly BlockHash[]
  /** No run is shorter; at least a block. */
  readonly minTokens: number
}

/** A scope is what may share: a tenant, with one model and adapter. Scopes never see each other's records. */
export class MovedIndex {
  readonly #options: MovedIndexOptions
  readonly #places: MovedPlaces
  /** The one that was longest not used comes first. By scope and last block. */
  readonly #records = new Map<string, Held>()
  #tokens = 0

  /** Throws INVALID_CONFIG. */
  constructor(options: MovedIndexOptions = DEFAULT_MOVED_INDEX) {
    for (const [name, value] of Object.entries(options))
      if (!Number.isSafeInteger(value) || value < 1)
        throw new MembraneError('INVALID_CONFIG', `${name} is a whole number from 1 on; found ${value}.`)
    this.#options = options
    this.#places = new MovedPlaces(options.blockTokens)
  }

  get records(): number {
    return this.#records.size
  }

  /** Of all records. */
  get tokens(): number {
    return this.#tokens
  }

  /**
   * Remembers a prompt; the tokens are copied, those after the last full block left out. A prompt that goes on where a
   * known one ended takes its place. Whether it was taken: one without a full block, or longer than all that may be
   * held, is not. Throws INVALID_REQUEST when the hashes are not as many as the full blocks.
   */
  add(scope: string, tokenIds: Uint32Array, blocks: readonly BlockHash[]): boolean {
    const { blockTokens, tokensMax } = this.#options
    const count = Math.floor(tokenIds.length / blockTokens)
    if (blocks.length !== count)
      throw new MembraneError('INVALID_REQUEST', `${count} block hashes were expected; found ${blocks.length}.`)
    const tokens = count * blockTokens
    if (tokens === 0 || tokens > tokensMax) return false
    if (this.#touch(keyOf(scope, blocks.at(-1)))) return true
    for (let end = count - 1; end > 0; end--) this.#forget(keyOf(scope, blocks[end - 1]))
    const record: TokenRecord = { tokenIds: tokenIds.slice(0, tokens), blocks: [...blocks] }
    this.#records.set(keyOf(scope, blocks.at(-1)), { scope, record })
    this.#tokens += tokens
    this.#places.add(scope, record)
    for (const key of this.#records.keys()) {
      if (this.#tokens <= tokensMax) break
      this.#forget(key)
    }
    return true
  }

  /** Forgets all records of a scope. */
  clear(scope: string): void {
    for (const [key, held] of this.#records) if (held.scope === scope) this.#forget(key)
  }

  /**
   * Runs of the prompt's tokens that stand in records, in order, none overlapping: at each token the longest one that
   * begins there, and no more than LIMITS.movedRunsMax. Not those that stand at the same place behind the same tokens:
   * that is KV of the prompt itself. Throws INVALID_REQUEST for `minTokens` below a block.
   */
  find(scope: string, query: MovedQuery): readonly MovedRun[] {
    const { blockTokens } = this.#options
    const { tokenIds, minTokens } = query
    if (!Number.isSafeInteger(minTokens) || minTokens < blockTokens)
      throw new MembraneError('INVALID_REQUEST', `minTokens is at least a block, ${blockTokens}; found ${minTokens}.`)
    const owns = new Map<TokenRecord, number>()
    const ownTokens = (record: TokenRecord): number => {
      const known = owns.get(record) ?? blockTokens * sameBlocks(record.blocks, query.blocks)
      owns.set(record, known)
      return known
    }
    const runs: MovedRun[] = []
    const windows = this.#places.windows(scope, tokenIds)
    let taken = 0
    for (let at = 0; at + blockTokens <= tokenIds.length && runs.length < LIMITS.movedRunsMax; ) {
      let longest: MovedRun | null = null
      for (const place of windows.at(at)) {
        const own = place.start === at ? ownTokens(place.record) : 0
        const run = at < own ? null : this.#extend(place, tokenIds, { at, first: Math.max(taken, own) })
        if (run !== null && run.tokens > (longest?.tokens ?? minTokens - 1)) longest = run
      }
      if (longest === null) {
        at += 1
        continue
      }
      runs.push(longest)
      this.#touch(keyOf(scope, longest.record.blocks.at(-1)))
      taken = longest.promptStart + longest.tokens
      at = taken
    }
    return runs
  }

  /** As far as the tokens are equal, to both sides, but not into what comes before `first`. Null when not even a block is. */
  #extend({ record, start }: MovedPlace, tokenIds: Uint32Array, { at, first }: Window): MovedRun | null {
    const known = record.tokenIds
    const delta = start - at
    let end = at
    while (end < tokenIds.length && end + delta < known.length && tokenIds[end] === known[end + delta]) end += 1
    if (end < at + this.#options.blockTokens) return null
    let begin = at
    while (begin > first && begin + delta > 0 && tokenIds[begin - 1] === known[begin + delta - 1]) begin -= 1
    return { record, recordStart: begin + delta, promptStart: begin, tokens: end - begin }
  }

  #touch(key: string): boolean {
    const held = this.#records.get(key)
    if (held === undefined) return false
    this.#records.delete(key)
    this.#records.set(key, held)
    return true
  }

  #forget(key: string): void {
    const held = this.#records.get(key)
    if (held === undefined) return
    this.#records.delete(key)
    this.#tokens -= held.record.tokenIds.length
    this.#places.remove(held.scope, held.record)
  }
}

interface Held {
  readonly scope: string
  readonly record: TokenRecord
}

/** The last block's hash stands for all before it. */
function keyOf(scope: string, lastBlock: BlockHash | undefined): string {
  return `${scope}\n${lastBlock}`
}

/** A block of the prompt, and where what may be taken begins. */
interface Window {
  readonly at: number
  readonly first: number
}

/** Leading blocks of two prompts that stand behind the same tokens. */
function sameBlocks(a: readonly BlockHash[], b: readonly BlockHash[]): number {
  let same = 0
  while (same < a.length && a[same] === b[same]) same += 1
  return same
}
