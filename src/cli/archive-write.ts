import { finished } from 'node:stream/promises'
import type { Writable } from 'node:stream'
import { pack } from 'tar-stream'
import { encodeDescription } from '../core/fragment-codec.ts'
import type { ContentHash } from '../core/ids.ts'
import type { StoredEntry } from '../core/ports.ts'
import { type ByteProgress, NO_PROGRESS } from './progress.ts'
import type { Fragments } from './fragments.ts'
import { ARCHIVE_FORMAT, END_NAME, MANIFEST_NAME, payloadName } from './archive-format.ts'

export interface ArchiveCounts {
  readonly fragments: number
  /** Of payloads in the archive: equal ones once. */
  readonly payloadBytes: number
}

/** Writes the fragments under `keys`, or all. What leaves meanwhile is left out. */
export async function writeArchive(
  own: Fragments,
  keys: readonly string[] | null,
  target: Writable,
  showProgress: (totalBytes: number) => ByteProgress = () => NO_PROGRESS,
): Promise<ArchiveCounts> {
  const tar = pack()
  const done = finished(tar.pipe(target), { readable: false })
  const member = async (name: string, bytes: Uint8Array): Promise<void> => {
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    tar.entry({ name }, Buffer.from(bytes), (error) => (error == null ? resolve() : reject(error)))
    await Promise.race([promise, done])
  }
  const written = new Set<ContentHash>()
  let [fragments, payloadBytes] = [0, 0]
  await member(MANIFEST_NAME, jsonBytes({ what: 'membrane fragments', format: ARCHIVE_FORMAT }))
  const entries = await longestLivedFirst(own, keys)
  const progress = showProgress(entries.reduce((sum, entry) => sum + entry.payloadBytes, 0))
  for (const { key } of entries) {
    const found = await own.get(key)
    if (found === null) continue
    const { contentHash, expiresAtMs, hints, description } = found
    const text = new TextDecoder().decode(encodeDescription(description))
    const head = { key, contentHash, payloadBytes: found.payloadBytes, expiresAtMs, hints, description: text }
    await member(`fragments/${fragments}.json`, jsonBytes(head))
    fragments += 1
    progress.add(found.payloadBytes)
    if (written.has(contentHash)) continue
    written.add(contentHash)
    payloadBytes += found.payloadBytes
    await member(payloadName(contentHash), found.payload)
  }
  progress.end()
  await member(END_NAME, jsonBytes({ fragments }))
  tar.finalize()
  await done
  return { fragments, payloadBytes }
}

interface ArchivedEntry {
  readonly key: string
  readonly payloadBytes: number
  readonly expiresAtMs: number
}

/** Equal bytes come once, with the first that has them: whoever imports when that one has expired would lack them. */
async function longestLivedFirst(own: Fragments, keys: readonly string[] | null): Promise<readonly ArchivedEntry[]> {
  const expiries: ArchivedEntry[] = []
  const add = ({ key, expiresAtMs, payloadBytes }: Pick<StoredEntry, 'key' | 'expiresAtMs' | 'payloadBytes'>): void =>
    void expiries.push({ key, payloadBytes, expiresAtMs: expiresAtMs ?? Number.MAX_SAFE_INTEGER })
  if (keys === null) for await (const entry of own.list()) add(entry)
  else
    for (const key of keys) {
      const entry = await own.head(key)
      if (entry !== null) add(entry)
    }
  return expiries.toSorted((a, b) => b.expiresAtMs - a.expiresAtMs)
}

function jsonBytes(value: unknown): Uint8Array {
  return new TextEncoder().encode(`${JSON.stringify(value)}\n`)
}
