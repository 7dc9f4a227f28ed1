import { describe, expect, it } from 'vitest'
import { parseModelFingerprint } from '../core/ids.ts'
import { loadContentHashers } from '../hashing/content-hashers.ts'
import { decodePeerMessage, encodePeerMessage, peerMessage } from './peer-calls.ts'
import { encodePrefillFrame, type PrefillFrame, readPrefillFrames } from './prefill-frames.ts'
import { prefillMessage, prefillRequestOf } from './prefill-request.ts'

const { b3 } = (await loadContentHashers()).hashers
const FRAMES: readonly PrefillFrame[] = [
  {
    kind: 'piece',
    layers: { start: 0, end: 2 },
    span: { start: 16, end: 48 },
    tensors: Uint8Array.from({ length: 999 }, (_, at) => at),
  },
  { kind: 'piece', layers: { start: 2, end: 3 }, span: { start: 16, end: 48 }, tensors: new Uint8Array(5).fill(7) },
  { kind: 'end', seconds: 1.5, overlapSeconds: 0.25, reusedTokens: 16 },
]

function bytesOf(frames: readonly PrefillFrame[]): Uint8Array {
  return Buffer.concat(frames.flatMap((frame) => encodePrefillFrame(frame, b3)))
}

async function* cut(bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size)
}

async function read(bytes: Uint8Array, size = 64): Promise<readonly PrefillFrame[]> {
  const frames: PrefillFrame[] = []
  for await (const frame of readPrefillFrames(cut(bytes, size), b3)) frames.push(frame)
  return frames
}

describe('frames of a prefill', () => {
  it.each([1, 3, 64, 5000])('come back as they were, however the stream is cut: %i bytes', async (size) => {
    expect(await read(bytesOf(FRAMES), size)).toEqual(FRAMES)
    const error = { kind: 'error', code: 'COMPUTE_FULL', sentence: 'Too many wait – ask later.' } as const
    expect(await read(bytesOf([error]), size)).toEqual([error])
  })

  it('are refused when the stream ends before its end, wherever', async () => {
    const bytes = bytesOf(FRAMES)
    for (let end = 0; end < bytes.length; end += 7)
      await expect(read(bytes.subarray(0, end)), `cut at ${end}`).rejects.toMatchObject({ code: 'PEER_UNAVAILABLE' })
  })

  it('are refused when a byte was changed, wherever', async () => {
    const bytes = bytesOf(FRAMES)
    for (let at = 0; at < bytes.length; at += 5) {
      const damaged = bytes.slice()
      damaged[at] = (damaged[at] ?? 0) ^ 0x10
      await expect(read(damaged), `changed at ${at}`).rejects.toThrow()
    }
  })

  it('of a kind that is not known are passed over', async () => {
    const [start = new Uint8Array(0)] = encodePrefillFrame({ kind: 'error', code: 'A', sentence: 'B' }, b3)
    const hash = b3.start()
    hash.update(Uint8Array.of(9))
    hash.update(start.subarray(37))
    const unknown = start.slice()
    unknown[4] = 9
    unknown.set(Buffer.from(hash.contentHash().replace(/^.*:/, ''), 'hex'), 5)
    expect(await read(Buffer.concat([unknown, bytesOf(FRAMES)]))).toEqual(FRAMES)
  })

  it('larger than allowed are refused before they are read', async () => {
    const endless = new Uint8Array(8)
    new DataView(endless.buffer).setUint32(0, 2 ** 31, true)
    await expect(read(endless)).rejects.toMatchObject({ code: 'PEER_UNAVAILABLE' })
  })
})

describe('a request for a prefill', () => {
  const request = {
    model: parseModelFingerprint('ab'.repeat(32)),
    tokenIds: Uint32Array.from({ length: 48 }, (_, at) => at * 70_000),
    hashes: { chain: 'blake3', digestBytes: 32, count: 3, bytes: Uint8Array.from({ length: 96 }, (_, at) => at) },
    span: { start: 16, end: 48 },
  }

  it('comes back as it was', () => {
    expect(prefillRequestOf(decodePeerMessage(encodePeerMessage(prefillMessage(request))))).toEqual(request)
  })

  it('is refused when its parts do not fit', () => {
    const { fields, bytes } = prefillMessage(request)
    expect(() => prefillRequestOf(peerMessage('probe', fields, bytes))).toThrow()
    expect(() => prefillRequestOf(peerMessage('prefill', fields, bytes.subarray(1)))).toThrow()
    expect(() => prefillRequestOf(peerMessage('prefill', { ...fields, start: 48 }, bytes))).toThrow()
    expect(() => prefillRequestOf(peerMessage('prefill', { ...fields, tokens: 2 ** 60 }, bytes))).toThrow()
  })
})
