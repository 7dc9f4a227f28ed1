import { describe, expect, test } from 'vitest'
import { LinkCompression } from './link-compression.ts'

const MB = 1024 * 1024
const REQUEST_BYTES = 4 * MB

/** A link of so many bytes a second to a sender that packs at 1 GB/s what shrinks by `ratio`; what was asked for packed. */
function fetches(
  count: number,
  { bytesPerSecond, dtype = 'BF16', ratio = 1.4 }: { bytesPerSecond: number; dtype?: string | null; ratio?: number },
): { readonly packed: readonly boolean[]; readonly link: LinkCompression } {
  const time = { now: 0 }
  const link = new LinkCompression({ seconds: () => time.now })
  const packed = Array.from({ length: count }, () => {
    const isPacked = link.begin(dtype)
    const wireBytes = isPacked ? REQUEST_BYTES / ratio : REQUEST_BYTES
    time.now += wireBytes / bytesPerSecond
    const seconds = REQUEST_BYTES / 1e9
    const compressed = isPacked ? { compressSeconds: seconds, decompressSeconds: seconds } : null
    link.end({ plainBytes: REQUEST_BYTES, wireBytes, compressed })
    // Between two fetches nothing is carried, which says nothing of the link.
    time.now += 10
    return isPacked
  })
  return { packed, link }
}

describe('what a slow link carries', () => {
  test('is asked for as it is at first, tried once, and packed from then on', () => {
    const { packed, link } = fetches(20, { bytesPerSecond: 50e6 })
    expect(packed.slice(0, 4)).toEqual([false, false, false, false])
    expect(packed.slice(4)).toEqual(Array(16).fill(true))
    expect(link.report).toEqual({
      plainBytes: 16 * REQUEST_BYTES,
      wireBytes: expect.closeTo((16 * REQUEST_BYTES) / 1.4),
    })
  })

  test('is not packed when it does not shrink, but for a trial', () => {
    expect(fetches(20, { bytesPerSecond: 50e6, ratio: 1.02 }).packed.filter(Boolean)).toHaveLength(1)
  })

  test('is never packed when it is no 16-bit number', () => {
    for (const dtype of ['F32', 'I8', null])
      expect(fetches(20, { bytesPerSecond: 50e6, dtype }).packed.filter(Boolean)).toHaveLength(0)
  })
})

test('a link that is faster than packing is tried now and then, and carries bytes as they are', () => {
  const { packed } = fetches(300, { bytesPerSecond: 5e9 })
  const tried = packed.flatMap((isPacked, index) => (isPacked ? [index] : []))
  expect(tried).toEqual([4, 132, 260])
})

test('nothing is learned from a fetch that failed', () => {
  const time = { now: 0 }
  const link = new LinkCompression({ seconds: () => time.now })
  for (let index = 0; index < 20; index += 1) {
    expect(link.begin('BF16')).toBe(false)
    time.now += 1
    link.end(null)
  }
})
