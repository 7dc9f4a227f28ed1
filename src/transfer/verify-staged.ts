/** The last check before a payload is published: of the bytes as they lie in the sink. */
import { type ContentHash, contentHashAlgorithm } from '../core/ids.ts'
import type { Alarm, ContentHashers } from '../core/ports.ts'
import { chunkSpan } from './chunks.ts'
import type { OpenFragment } from './receiving-fragment.ts'

/** `lost`: these chunks are not what was staged, and are forgotten. `forged`: all are what the manifest says, and it lies. */
export type StagedVerdict =
  | { readonly kind: 'whole' }
  | { readonly kind: 'lost'; readonly chunks: readonly number[] }
  | { readonly kind: 'forged' }

/** A sink in memory never waits, and everybody else would: after so many bytes, a millisecond or two, others run. */
const BYTES_BETWEEN_TURNS = 8 * 1024 * 1024

export async function verifyStaged(
  { staged, received }: OpenFragment,
  { hashers, alarm }: { readonly hashers: ContentHashers; readonly alarm: Alarm },
): Promise<StagedVerdict> {
  const { manifest } = received
  const buffer = new Uint8Array(Math.min(manifest.chunkBytes, manifest.payloadBytes))
  let bytesInTurn = 0
  const readChunk = async (index: number): Promise<Uint8Array> => {
    if (bytesInTurn >= BYTES_BETWEEN_TURNS) {
      bytesInTurn = 0
      await nextTurn(alarm)
    }
    const span = chunkSpan(manifest, index)
    const bytes = await staged.read(span, buffer.subarray(0, span.end - span.start))
    bytesInTurn += bytes.length
    return bytes
  }
  const hasher = hashers[contentHashAlgorithm(manifest.contentHash)]
  const hash = async (): Promise<ContentHash> => {
    // Most fragments are one chunk, and a hasher that takes pieces costs more than the hash of a small one.
    if (received.chunks === 1) return hasher.hash(await readChunk(0))
    const pieces = hasher.start()
    for (let index = 0; index < received.chunks; index++) pieces.update(await readChunk(index))
    return pieces.contentHash()
  }
  if ((await hash()) === manifest.contentHash) return { kind: 'whole' }
  const chunks: number[] = []
  for (let index = 0; index < received.chunks; index++) {
    if (received.isIntact(index, await readChunk(index))) continue
    received.forget(index)
    chunks.push(index)
  }
  return chunks.length > 0 ? { kind: 'lost', chunks } : { kind: 'forged' }
}

function nextTurn(alarm: Alarm): Promise<void> {
  return new Promise((resolve) => {
    alarm.after(0, resolve)
  })
}
