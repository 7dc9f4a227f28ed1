/** The fragments of a server as a command sees them. */
import type { ClientEntry } from '../api/client-shapes.ts'
import type { MembraneClient } from '../api/client.ts'
import { MembraneError } from '../core/errors.ts'
import { contextName, fragmentKey } from '../core/fragment-key.ts'
import { isContextKind } from '../core/fragment.ts'
import { LIMITS } from '../core/limits.ts'
import type { ByteSpan, StoredEntry, StoredFragment } from '../core/ports.ts'
import { PRIORITIES, type PriorityName } from '../server/fragment-head.ts'
import type { Described, FabricPutResult } from '../server/tenant-fabric.ts'
import type { Fragments, FragmentsPut, FragmentStream } from './fragments.ts'

/** Looked for in one call. */
const KEYS_AT_ONCE = LIMITS.lookUpKeysMax

/** See the top of this file. */
export class RemoteFragments implements Fragments {
  readonly #client: MembraneClient

  constructor(client: MembraneClient) {
    this.#client = client
  }

  async put(put: FragmentsPut): Promise<FabricPutResult> {
    const { description, payload, contentHash, payloadBytes, hints, expiresAtMs } = put
    const { kind, layout } = description.signature
    // Plain bytes under a key of ours, or under the one that they have by themselves, need no description.
    const isPlain = put.foreignKey !== undefined ? kind === 'opaque' : kind === 'artifact'
    const isDescribed = !isPlain || description.text !== null || description.sequence !== null
    const key = keyOf(put)
    try {
      return await this.#client.put({
        ...(key === null ? {} : { key }),
        payload: payload instanceof Uint8Array ? payload : onceAndAgain(payload, put.again),
        ...(contentHash === undefined ? {} : { contentHash }),
        ...(payloadBytes === undefined ? {} : { payloadBytes }),
        ...(isDescribed ? { description } : { mediaType: layout }),
        // A moment from now: it has expired when it arrives.
        ...(expiresAtMs == null ? {} : { ttlMs: Math.max(1, expiresAtMs - Date.now()) }),
        ...(hints?.isPinned === undefined ? {} : { isPinned: hints.isPinned }),
        ...(hints?.priority === undefined ? {} : { priority: nameOf(hints.priority) }),
      })
    } catch (error) {
      // What a directory answers as an outcome.
      if (!(error instanceof MembraneError) || error.code !== 'STORE_FULL' || key === null || contentHash === undefined)
        throw error
      return { key, contentHash, outcome: 'refused' }
    }
  }

  async get(key: string): Promise<Described<StoredFragment> | null> {
    const [entry, found] = [await this.#client.describe(key), await this.#client.get(key)]
    // Whoever put it anew meanwhile has put other bytes.
    if (entry === null || found === null || entry.contentHash !== found.contentHash) return null
    return { ...describedOf(entry), payload: found.payload }
  }

  async stream(key: string, options: { readonly span?: ByteSpan } = {}): Promise<FragmentStream | null> {
    const found = await this.#client.stream(key, options)
    if (found === null) return null
    const { contentHash, payloadBytes, pieces } = found
    return { key, contentHash, payloadBytes, chunks: pieces }
  }

  async head(key: string): ReturnType<Fragments['head']> {
    return this.#client.head(key)
  }

  async has(keys: readonly string[]): Promise<readonly boolean[]> {
    const answers: boolean[] = []
    for (let start = 0; start < keys.length; start += KEYS_AT_ONCE)
      answers.push(...(await this.#client.has(keys.slice(start, start + KEYS_AT_ONCE), { leaseMs: 0 })).isPresent)
    return answers
  }

  async remove(keys: readonly string[]): Promise<number> {
    let removed = 0
    for (let start = 0; start < keys.length; start += KEYS_AT_ONCE)
      removed += await this.#client.remove(keys.slice(start, start + KEYS_AT_ONCE))
    return removed
  }

  async *list(prefix?: string): AsyncGenerator<Described<StoredEntry>> {
    for await (const entry of this.#client.list(prefix)) yield describedOf(entry)
  }

  async *keys(prefix?: string): AsyncGenerator<string> {
    for await (const { key } of this.#client.list(prefix)) yield key
  }
}

/** Null when the bytes say it. */
function keyOf({ description, foreignKey }: FragmentsPut): string | null {
  const { kind } = description.signature
  if (isContextKind(kind)) return fragmentKey(contextName(description))
  return foreignKey === undefined ? null : fragmentKey({ kind, name: foreignKey })
}

function describedOf({ isPinned, priority, ...entry }: ClientEntry): Described<StoredEntry> {
  return { ...entry, hints: { isPinned, priority: PRIORITIES[priority] } }
}

function nameOf(priority: number): PriorityName {
  if (priority === PRIORITIES.low) return 'low'
  return priority === PRIORITIES.high ? 'high' : 'normal'
}

/** What can be read only once is not sent twice: half of it would be taken for the whole. */
function onceAndAgain(
  pieces: AsyncIterable<Uint8Array>,
  again: (() => AsyncIterable<Uint8Array>) | undefined,
): () => AsyncIterable<Uint8Array> {
  let isRead = false
  return () => {
    if (isRead && again !== undefined) return again()
    if (isRead)
      throw new MembraneError('ABORTED', 'The connection broke while bytes were sent that cannot be read again.', {
        remedy: 'Run the command again.',
      })
    isRead = true
    return pieces
  }
}
