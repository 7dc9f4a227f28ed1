import type { Readable } from 'node:stream'
import { extract } from 'tar-stream'
import { MembraneError } from '../core/errors.ts'
import { parseFragmentKey } from '../core/fragment-key.ts'
import type { ContentHash } from '../core/ids.ts'
import type { Fragments } from './fragments.ts'
import {
  ARCHIVED_HEAD_BYTES_MAX,
  type ArchivedFragment,
  brokenArchive,
  checkEnd,
  checkManifest,
  END_NAME,
  MANIFEST_NAME,
  parseArchivedFragment,
  payloadName,
} from './archive-format.ts'
import type { ArchiveCounts } from './archive-write.ts'

export interface ImportCounts extends ArchiveCounts {
  readonly stored: number
  readonly present: number
  /** Those that a bound kept out. */
  readonly refused: number
  /** Those that had expired before. */
  readonly expired: number
}

/**
 * Puts every fragment of an archive, each verified and whole or not at all. Throws INVALID_REQUEST for what is no
 * archive, STORE_FORMAT for one of a newer version, CONTENT_MISMATCH for a payload that its hash does not name; what
 * came before stays.
 */
export async function readArchive(source: Readable, own: Fragments, nowMs: number): Promise<ImportCounts> {
  const reading = new ArchiveImport(own, nowMs)
  const tar = extract()
  source.on('error', (error) => tar.destroy(error)).pipe(tar)
  try {
    for await (const entry of tar) {
      await reading.take(entry.header.name, entry.header.size ?? 0, entry as AsyncIterable<Uint8Array>)
      entry.resume()
    }
    return reading.end()
  } catch (error) {
    if (error instanceof MembraneError) throw error
    throw brokenArchive(error instanceof Error ? error.message : String(error), error)
  }
}

class ArchiveImport {
  readonly #own: Fragments
  readonly #nowMs: number
  readonly #counts = { fragments: 0, payloadBytes: 0, stored: 0, present: 0, refused: 0, expired: 0 }
  /** Where equal bytes that came before can be read again. */
  readonly #keyOfContent = new Map<ContentHash, string>()
  /** Content that came and that a bound did not let stay: fragments that have the same bytes share its fate. */
  readonly #notKept = new Set<ContentHash>()
  #isArchive = false
  #isEnded = false
  /** Its payload comes next, unless it came before. */
  #waiting: ArchivedFragment | null = null

  constructor(own: Fragments, nowMs: number) {
    this.#own = own
    this.#nowMs = nowMs
  }

  async take(name: string, sizeBytes: number, bytes: AsyncIterable<Uint8Array>): Promise<void> {
    if (!this.#isArchive) {
      if (name !== MANIFEST_NAME)
        throw brokenArchive(`It begins with ${JSON.stringify(name)} instead of ${MANIFEST_NAME}`)
      checkManifest(await collect(bytes, name, sizeBytes))
      this.#isArchive = true
      return
    }
    if (this.#isEnded) throw brokenArchive(`It goes on after its ${END_NAME}`)
    if (name === END_NAME) {
      await this.#putWaiting()
      checkEnd(await collect(bytes, name, sizeBytes), this.#counts.fragments)
      this.#isEnded = true
      return
    }
    if (/^fragments\/\d+\.json$/.test(name)) {
      await this.#putWaiting()
      this.#waiting = parseArchivedFragment(name, await collect(bytes, name, sizeBytes))
      return
    }
    const waiting = this.#waiting
    if (waiting === null || name !== payloadName(waiting.contentHash))
      throw brokenArchive(`It has a member ${JSON.stringify(name)} where a fragment or its payload was expected`)
    this.#waiting = null
    this.#counts.payloadBytes += sizeBytes
    await this.#put(waiting, bytes)
  }

  end(): ImportCounts {
    if (!this.#isArchive) throw brokenArchive('It is empty')
    if (!this.#isEnded)
      throw brokenArchive(`It was cut short after ${this.#counts.fragments} fragments, which have been imported`)
    return this.#counts
  }

  /** The payload of this one came with an earlier fragment. */
  async #putWaiting(): Promise<void> {
    const waiting = this.#waiting
    if (waiting === null) return
    this.#waiting = null
    const before = this.#keyOfContent.get(waiting.contentHash)
    const found = before === undefined ? null : await this.#own.get(before)
    if (
      found === null &&
      (before !== undefined || this.#notKept.has(waiting.contentHash)) &&
      !this.#isExpired(waiting)
    ) {
      this.#counts.fragments += 1
      this.#counts.refused += 1
      return
    }
    if (found === null && !this.#isExpired(waiting))
      throw brokenArchive(`The payload of ${waiting.key} is neither after it nor before it`)
    await this.#put(waiting, found?.payload ?? new Uint8Array(0))
  }

  async #put(fragment: ArchivedFragment, payload: AsyncIterable<Uint8Array> | Uint8Array): Promise<void> {
    this.#counts.fragments += 1
    if (this.#isExpired(fragment)) {
      this.#counts.expired += 1
      return
    }
    const { key, contentHash, payloadBytes, expiresAtMs, hints, description } = fragment
    const request = { description, payload, contentHash, payloadBytes, hints, expiresAtMs }
    const foreignKey = foreignKeyOf(key)
    const { outcome } = await this.#own.put(foreignKey === null ? request : { ...request, foreignKey })
    if (outcome === 'refused') {
      this.#counts.refused += 1
      this.#notKept.add(contentHash)
    } else {
      this.#counts[outcome === 'present' ? 'present' : 'stored'] += 1
      this.#keyOfContent.set(contentHash, key)
    }
  }

  #isExpired({ expiresAtMs }: ArchivedFragment): boolean {
    return expiresAtMs !== null && expiresAtMs <= this.#nowMs
  }
}

/** All of a small member. */
async function collect(bytes: AsyncIterable<Uint8Array>, name: string, sizeBytes: number): Promise<Uint8Array> {
  if (sizeBytes > ARCHIVED_HEAD_BYTES_MAX)
    throw brokenArchive(`${name} takes ${sizeBytes} bytes, expected at most ${ARCHIVED_HEAD_BYTES_MAX}`)
  const chunks: Uint8Array[] = []
  for await (const chunk of bytes) chunks.push(chunk)
  return Buffer.concat(chunks)
}

function foreignKeyOf(key: string): Uint8Array | null {
  const name = parseFragmentKey(key)
  return 'block' in name || typeof name.name === 'string' ? null : name.name
}
