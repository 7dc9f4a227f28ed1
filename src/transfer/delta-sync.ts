/** What to copy from another node, and in which order: only content that is missing, beginnings of prompts first. */
import type { CallOptions } from '../core/compute.ts'
import { MembraneError } from '../core/errors.ts'
import { parseFragmentKey } from '../core/fragment-key.ts'
import type { ContentHash } from '../core/ids.ts'
import { LIMITS } from '../core/limits.ts'
import { decodeEntries, encodeIds } from './entry-messages.ts'
import type { Inventory, InventoryEntry } from './inventory.ts'
import { Reconciliation } from './reconcile.ts'

/** Another node's inventory, over some connection. Both throw STORE_UNAVAILABLE when it does not answer. */
export interface InventoryPeer {
  /** Gives what `answerInventory` answers there. */
  compare(request: Uint8Array, options: CallOptions): Promise<Uint8Array>
  /** Gives what `answerEntries` answers there. */
  entries(request: Uint8Array, options: CallOptions): Promise<Uint8Array>
}

/** What two nodes do not share. Either may have changed meanwhile: proposals. */
export interface InventoryComparison {
  readonly missingHere: readonly InventoryEntry[]
  readonly missingThere: readonly InventoryEntry[]
  /** As of `InventoryDifference`. */
  readonly isComplete: boolean
  /** Of all messages. */
  readonly bytes: number
  readonly roundTrips: number
}

/**
 * Compares, and asks what the missing entries are called. Throws INVALID_REQUEST when the other node answers what it was
 * not asked (as one with another secret does), LIMIT_REACHED when it goes on and on.
 */
export async function compareInventories(
  inventory: Inventory,
  peer: InventoryPeer,
  options: CallOptions = {},
): Promise<InventoryComparison> {
  const reconciliation = new Reconciliation(inventory)
  let bytes = 0
  let roundTrips = 0
  const count = (request: Uint8Array, response: Uint8Array): Uint8Array => {
    bytes += request.length + response.length
    roundTrips += 1
    return response
  }
  for (let request: Uint8Array | null = reconciliation.start(); request !== null; )
    request = reconciliation.next(count(request, await peer.compare(request, options)))
  const { missingHere: ids, missingThere, isComplete } = reconciliation.difference
  const missingHere: InventoryEntry[] = []
  for (let first = 0; first < ids.length; first += LIMITS.inventoryEntriesAskedMax) {
    const asked = ids.slice(first, first + LIMITS.inventoryEntriesAskedMax)
    const request = encodeIds(asked)
    const entries = decodeEntries(count(request, await peer.entries(request, options)), asked.length)
    for (const [index, id] of asked.entries()) {
      const entry = entries[index] ?? null
      if (entry === null) continue
      if (!inventory.isNamed(entry, id))
        throw new MembraneError(
          'INVALID_REQUEST',
          'A node answered with another entry than the one it was asked for.',
          {
            remedy: 'Give all nodes of the fleet the same secret.',
            details: { key: entry.key },
          },
        )
      missingHere.push(entry)
    }
  }
  return { missingHere, missingThere, isComplete, bytes, roundTrips }
}

/** What is to be done to have what is missing. */
export interface SyncPlan {
  /** To be fetched, in this order: each content once. */
  readonly fetch: readonly InventoryEntry[]
  /** To be had without the network, after what is fetched has come: keys whose content is here or among it. */
  readonly link: readonly InventoryEntry[]
  /** Of `fetch`. */
  readonly fetchBytes: number
}

/** How `planSync` goes about it. */
export interface SyncOptions {
  /** Whether this node holds the content, under whatever key. */
  readonly holds: (contentHash: ContentHash) => boolean
  /**
   * Where a key's tokens begin in their prompt, null for what has no prompt. Default: as `fragmentKey` writes it. Whoever
   * puts an owner before keys takes it off here.
   */
  readonly tokenStart?: (key: string) => number | null
}

/**
 * Entries by where they begin in their prompts: a fragment is usable when all before it has come, so whatever has come
 * when a transfer is cut is whole beginnings. What has no prompt comes last; equals in the order of their keys.
 */
export function planSync(
  missing: readonly InventoryEntry[],
  { holds, tokenStart = tokenStartOf }: SyncOptions,
): SyncPlan {
  const placed = missing.map((entry) => ({ entry, start: tokenStart(entry.key) ?? Infinity }))
  placed.sort((one, other) =>
    one.start === other.start ? compareTexts(one.entry.key, other.entry.key) : one.start - other.start,
  )
  const fetched = new Set<ContentHash>()
  const toFetch: InventoryEntry[] = []
  const toLink: InventoryEntry[] = []
  let fetchBytes = 0
  for (const { entry } of placed) {
    const { contentHash, payloadBytes } = entry
    if (fetched.has(contentHash) || holds(contentHash)) {
      toLink.push(entry)
      continue
    }
    fetched.add(contentHash)
    toFetch.push(entry)
    fetchBytes += payloadBytes
  }
  return { fetch: toFetch, link: toLink, fetchBytes }
}

function tokenStartOf(key: string): number | null {
  try {
    const name = parseFragmentKey(key)
    return 'block' in name ? name.tokenStart : null
  } catch (error) {
    // Somebody else's key: it has no place in a prompt.
    if (error instanceof MembraneError) return null
    throw error
  }
}

function compareTexts(one: string, other: string): number {
  if (one === other) return 0
  return one < other ? -1 : 1
}
