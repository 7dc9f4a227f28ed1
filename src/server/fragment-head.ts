/**
 * The head of a stored fragment: hints of the application for eviction, one byte, then the description. They are kept
 * with the entry because the next process to open the store evicts by them too.
 */
import { MembraneError } from '../core/errors.ts'
import { decodeDescription, encodeDescription } from '../core/fragment-codec.ts'
import { fragmentKey, contextName } from '../core/fragment-key.ts'
import { type FragmentDescription, isContextKind } from '../core/fragment.ts'
import type { EvictionPriority } from '../policy/evict.ts'
import type { EntryTraits } from '../store/bounded-owner.ts'

/** What the application says about keeping a fragment. */
export interface RetentionHints {
  /** Entries of a lower priority leave before those of a higher one: 0 low, 1 normal, 2 high. */
  readonly priority: EvictionPriority
  /** A pinned entry is never evicted; it still expires. */
  readonly isPinned: boolean
}

/** As users write them. */
export const PRIORITIES = { low: 0, normal: 1, high: 2 } as const satisfies Readonly<Record<string, EvictionPriority>>
export type PriorityName = keyof typeof PRIORITIES

export const DEFAULT_RETENTION: RetentionHints = { priority: 1, isPinned: false }

const PRIORITY_BITS = 0b11
const PINNED_BIT = 0b100

export interface FragmentHead {
  readonly hints: RetentionHints
  readonly description: FragmentDescription
}

/** Throws INVALID_FRAGMENT. */
export function encodeHead({ hints, description }: FragmentHead): Uint8Array {
  const encoded = encodeDescription(description)
  const head = new Uint8Array(1 + encoded.length)
  head[0] = bitsOf(hints)
  head.set(encoded, 1)
  return head
}

/** Throws INVALID_FRAGMENT. */
export function decodeHead(head: Uint8Array): FragmentHead {
  return { hints: hintsOf(head), description: decodeDescription(head.subarray(1)) }
}

/** The same description with other hints. Throws INVALID_FRAGMENT. */
export function reviseHead(head: Uint8Array, hints: Partial<RetentionHints>): Uint8Array {
  const revised = head.slice()
  revised[0] = bitsOf({ ...hintsOf(head), ...hints })
  return revised
}

function bitsOf({ priority, isPinned }: RetentionHints): number {
  return priority | (isPinned ? PINNED_BIT : 0)
}

function hintsOf([bits = 0xff]: Uint8Array): RetentionHints {
  const priority = bits & PRIORITY_BITS
  if ((priority !== 0 && priority !== 1 && priority !== 2) || bits > (PRIORITY_BITS | PINNED_BIT))
    throw new MembraneError('INVALID_FRAGMENT', `A head begins with hints, found ${bits}.`)
  return { priority, isPinned: (bits & PINNED_BIT) !== 0 }
}

/** Seconds of prefill per token at a position, relative to the first token; 1 where nothing is known. */
export type PrefillDensity = (description: FragmentDescription) => number

/** What eviction knows of a fragment; nothing special of one whose head cannot be read, which is null. */
export function traitsOfHead(head: FragmentHead | null, densityOf: PrefillDensity): EntryTraits {
  if (head === null) return { ...DEFAULT_RETENTION, chainName: null, parentName: null, density: 1 }
  const { hints, description } = head
  return { ...hints, ...chainOf(description), density: densityOf(description) }
}

/** Fragments of one chain and one part of the model (layers, heads, group part) build upon each other. */
function chainOf(description: FragmentDescription): Pick<EntryTraits, 'chainName' | 'parentName'> {
  if (!isContextKind(description.signature.kind)) return { chainName: null, parentName: null }
  // A child knows where its parent ends and not where it starts.
  const name = { ...contextName(description), tokenStart: 0 }
  const { parent } = description
  return { chainName: fragmentKey(name), parentName: parent === null ? null : fragmentKey({ ...name, block: parent }) }
}
