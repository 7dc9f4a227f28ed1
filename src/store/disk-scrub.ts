/** Reads everything that a disk store holds and compares it with its hashes. */
import { MembraneError } from '../core/errors.ts'
import { contentHashAlgorithm } from '../core/ids.ts'
import { LIMITS } from '../core/limits.ts'
import type { ContentHashers, Quarantine, StoredEntry } from '../core/ports.ts'
import type { DiskEntry, DiskIndex } from './disk-index.ts'
import type { DiskReader } from './disk-reader.ts'

/** How a scrub is stopped, and where evidence goes. */
export interface ScrubOptions {
  /** Stops between two chunks; the report is then of what was read. */
  readonly signal?: AbortSignal
  /** Keeps the bytes of damaged payloads. */
  readonly quarantine?: Quarantine
}

/** What a scrub has read and found. */
export interface ScrubReport {
  /** Entries read to the end. */
  readonly entries: number
  readonly payloadBytes: number
  /** Keys whose head or payload was not what was put. They are no longer there. */
  readonly damaged: readonly string[]
  /** Bytes of files in the data directory that belong to no entry and wait for no compaction. */
  readonly orphanBytes: number
  /** False when it was stopped. */
  readonly isComplete: boolean
}

export interface ScrubParts {
  readonly index: DiskIndex
  readonly reader: DiskReader
  readonly hashers: ContentHashers
  /** The payload is not that of its hash. The reader tells the rest itself. */
  readonly onDamaged: (key: string, entry: DiskEntry) => void
  readonly orphanBytes: () => number
  readonly isClosed: () => boolean
}

export async function scrubEntries(parts: ScrubParts, options: ScrubOptions): Promise<ScrubReport> {
  const { index } = parts
  const damaged: string[] = []
  let entries = 0
  let payloadBytes = 0
  const mustStop = () => options.signal?.aborted === true || parts.isClosed()
  const slots = index.slots
  for (let slot = 0; slot < slots && !mustStop(); slot++) {
    const key = index.keyAt(slot)
    const entry = key === undefined ? null : index.get(key)
    if (key === undefined || entry === null) continue
    const verdict = await scrubEntry(parts, key, entry, options)
    if (verdict === 'damaged') damaged.push(key)
    if (verdict !== 'whole') continue
    entries += 1
    payloadBytes += entry.payloadBytes
    await new Promise(setImmediate)
  }
  return { entries, payloadBytes, damaged, orphanBytes: parts.orphanBytes(), isComplete: !mustStop() }
}

type Verdict = 'whole' | 'damaged' | 'gone'

async function scrubEntry(parts: ScrubParts, key: string, entry: DiskEntry, options: ScrubOptions): Promise<Verdict> {
  const { index, reader, hashers } = parts
  const head = reader.head(key, entry)
  if (head === null) return 'damaged'
  const hash = hashers[contentHashAlgorithm(head.contentHash)].start()
  try {
    for await (const chunk of reader.chunks(key, entry, { start: 0, end: entry.payloadBytes })) {
      hash.update(chunk)
      if (options.signal?.aborted === true || parts.isClosed()) return 'gone'
    }
  } catch (error) {
    if (!(error instanceof MembraneError)) throw error
    // The reader has told of what is too short. Otherwise it was removed or replaced meanwhile.
    return error.code === 'CONTENT_MISMATCH' ? 'damaged' : 'gone'
  }
  if (hash.contentHash() === head.contentHash) return 'whole'
  const current = index.get(key)
  if (current?.sequence !== entry.sequence) return 'gone'
  if (options.quarantine !== undefined) await keepEvidence(parts, head, current, options.quarantine)
  parts.onDamaged(key, current)
  return 'damaged'
}

async function keepEvidence(
  { reader }: ScrubParts,
  { key, contentHash }: StoredEntry,
  entry: DiskEntry,
  quarantine: Quarantine,
): Promise<void> {
  const end = Math.min(entry.payloadBytes, LIMITS.scrubEvidenceBytesMax)
  const found = await reader.get(key, entry, { start: 0, end }, {})
  if (found === null) return
  const reason = 'A scrub found that its bytes are not those of its hash.'
  await quarantine.keep({ key, expected: contentHash, reason, payload: found.payload })
}
