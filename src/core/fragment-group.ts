/**
 * Hybrid models keep several things for one prompt, each in a pool of its own: attention KV of all tokens, KV of a
 * sliding window, a recurrent state. A prefix can be continued from a block boundary only if every pool has what that
 * boundary needs; short of it, KV of one pool is worth nothing. Boundary b is the one after the first b blocks.
 */
import { MembraneError } from './errors.ts'
import { signatureMetadata } from './fragment-metadata.ts'
import type { FragmentDescription, FragmentGroup, Span } from './fragment.ts'
import type { BlockHash } from './ids.ts'

/**
 * What a pool needs at a boundary: `all-pages` every block before it (attention KV); `trailing-pages` only the last
 * `blocks` of them, or all where there are fewer (a window's KV; with 1, a recurrent state exactly at the boundary).
 */
export type PoolRule = { readonly kind: 'all-pages' } | { readonly kind: 'trailing-pages'; readonly blocks: number }

/** What one pool has of a prompt. */
export interface PoolParts {
  /** A name, such as `kv`, `swa` or `state`. */
  readonly pool: string
  readonly rule: PoolRule
  /** Whether the part of each block is there, from the prompt's first block on; what is beyond the end is missing. */
  readonly present: readonly boolean[]
}

/** How far a prompt can be taken from what is there. */
export interface UsablePrefix {
  /** Blocks, and tokens, that can be taken; 0 when every boundary lacks something. */
  readonly blocks: number
  readonly tokens: number
  /** What is missing to take all blocks of the prompt, as runs of blocks; empty when nothing is. */
  readonly missing: readonly { readonly pool: string; readonly blocks: Span }[]
}

/** The whole blocks of a prompt, of `blockTokens` tokens each. */
export interface PromptBlocks {
  readonly blocks: number
  readonly blockTokens: number
}

/** The longest prefix for which every pool has what its rule asks. Takes time linear in pools times blocks. */
export function usablePrefix(pools: readonly PoolParts[], { blocks, blockTokens }: PromptBlocks): UsablePrefix {
  const boundaries = pools.map((pool) => usableBoundaries(pool, blocks))
  let usable = blocks
  while (usable > 0 && !boundaries.every((isUsable) => isUsable[usable])) usable -= 1
  const missing = pools.flatMap(({ pool, rule, present }) =>
    missingRuns(present, neededAt(rule, blocks)).map((span) => ({ pool, blocks: span })),
  )
  return { blocks: usable, tokens: usable * blockTokens, missing }
}

/** The blocks that a rule needs at a boundary. */
function neededAt(rule: PoolRule, boundary: number): Span {
  return { start: rule.kind === 'all-pages' ? 0 : Math.max(0, boundary - blocksOf(rule)), end: boundary }
}

/** For each boundary from 0 on, whether the pool has what it needs there. */
function usableBoundaries({ rule, present }: PoolParts, blocks: number): readonly boolean[] {
  let run = 0
  const isUsable = [true]
  for (let boundary = 1; boundary <= blocks; boundary++) {
    run = present[boundary - 1] === true ? run + 1 : 0
    const { start, end } = neededAt(rule, boundary)
    isUsable.push(run >= end - start)
  }
  return isUsable
}

function missingRuns(present: readonly boolean[], { start, end }: Span): readonly Span[] {
  const runs: Span[] = []
  for (let block = start; block < end; block++) {
    if (present[block] === true) continue
    const last = runs.at(-1)
    if (last?.end === block) runs[runs.length - 1] = { start: last.start, end: block + 1 }
    else runs.push({ start: block, end: block + 1 })
  }
  return runs
}

function blocksOf({ blocks }: Extract<PoolRule, { kind: 'trailing-pages' }>): number {
  if (Number.isSafeInteger(blocks) && blocks >= 1) return blocks
  throw new MembraneError(
    'INVALID_REQUEST',
    `A pool needs a whole number of trailing blocks, at least 1; found ${blocks}.`,
  )
}

/** `conflict`: these cannot be parts of one group, whatever is still to come. */
export type GroupState =
  | { readonly kind: 'complete' }
  | { readonly kind: 'incomplete'; readonly missingParts: readonly number[] }
  | { readonly kind: 'conflict'; readonly reason: string }

/**
 * Whether descriptions of one group are all of it. Parts may come in any order, and twice if they say the same. They
 * are of one model; those that end at one token end with one block; none ends after a state.
 */
export function groupState(descriptions: readonly FragmentDescription[]): GroupState {
  const group = descriptions[0]?.group
  if (group === undefined || group === null) return conflict('A fragment of a group was expected; found none.')
  const parts = new Map<number, FragmentDescription>()
  const lastBlocks = new Map<number, BlockHash | undefined>()
  for (const description of descriptions) {
    const { signature, blocks } = description
    const reason = conflictWith(group, description) ?? otherPart(parts.get(description.group?.part ?? 0), description)
    if (reason !== null) return conflict(reason)
    if (signature.model !== descriptions[0]?.signature.model) return conflict('The parts are of two models.')
    const { end } = signature.tokens
    if (lastBlocks.has(end) && lastBlocks.get(end) !== blocks.at(-1))
      return conflict(`The parts that end at token ${end} are of two contexts.`)
    lastBlocks.set(end, blocks.at(-1))
    parts.set(description.group?.part ?? 0, description)
  }
  const ends = [...parts.values()].map(({ signature }) => signature.tokens.end)
  const states = [...parts.values()].filter(({ signature }) => signature.kind === 'state')
  const early = states.find(({ signature }) => signature.tokens.end < Math.max(...ends))
  if (early !== undefined)
    return conflict(`A state stands at token ${early.signature.tokens.end}, before the end of another part.`)
  const missingParts = Array.from({ length: group.parts }, (_, part) => part).filter((part) => !parts.has(part))
  return missingParts.length === 0 ? { kind: 'complete' } : { kind: 'incomplete', missingParts }
}

function conflictWith(group: FragmentGroup, { group: other }: FragmentDescription): string | null {
  if (other === null) return 'A fragment belongs to no group.'
  if (other.id !== group.id) return `Parts of two groups: ${group.id} and ${other.id}.`
  if (other.parts !== group.parts)
    return `The parts do not agree on how many they are: ${group.parts} and ${other.parts}.`
  return null
}

function otherPart(before: FragmentDescription | undefined, now: FragmentDescription): string | null {
  if (before === undefined || identity(before) === identity(now)) return null
  return `Part ${now.group?.part} is two fragments.`
}

function identity({ signature, blocks, group }: FragmentDescription): string {
  return [...Object.values(signatureMetadata(signature)), ...blocks, group?.pool].join(' ')
}

function conflict(reason: string): GroupState {
  return { kind: 'conflict', reason }
}
