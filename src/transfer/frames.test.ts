import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { zstdCodec } from '../server/zstd.ts'
import { encodeFrames, FRAME_BYTES, FrameReader, framesBytesMax } from './frames.ts'

const pause = async (): Promise<void> => {}

/** Numbers whose upper bytes shrink, as those of BF16 do. */
function numbers(length: number): Uint8Array {
  return Uint8Array.from({ length }, (_, index) =>
    index % 2 === 0 ? (index * 2_654_435_761) >>> 24 : 63 + (index % 4),
  )
}

describe('frames', () => {
  test('give back what went in, however they arrive, and no sooner', async () => {
    const lengths = fc.constantFrom(1, 2, 1000, FRAME_BYTES - 1, FRAME_BYTES, FRAME_BYTES + 1, 2.5 * FRAME_BYTES)
    await fc.assert(
      fc.asyncProperty(
        lengths,
        fc.boolean(),
        fc.array(fc.nat(500_000), { maxLength: 8 }),
        async (length, isPacked, cuts) => {
          const bytes = numbers(length)
          const packed = await encodeFrames(bytes, isPacked ? zstdCodec : null, pause)
          expect(packed.length).toBeLessThanOrEqual(framesBytesMax(length))
          const [memory, into] = [new Uint8Array(packed.length), new Uint8Array(length)]
          const reader = new FrameReader(memory, into, zstdCodec)
          let [at, ready] = [0, 0]
          for (const piece of [...cuts, packed.length]) {
            const end = Math.min(packed.length, at + piece)
            memory.set(packed.subarray(at, end), at)
            ready += reader.arrived(end - at)
            at = end
            expect(Buffer.compare(into.subarray(0, ready), bytes.subarray(0, ready))).toBe(0)
            expect(reader.isDone).toBe(at === packed.length)
          }
          expect(ready).toBe(length)
        },
      ),
      { numRuns: 30 },
    )
  })

  test('of numbers take less than they hold', async () => {
    const packed = await encodeFrames(numbers(2 * FRAME_BYTES), zstdCodec, pause)
    expect(packed.length).toBeLessThan(1.2 * FRAME_BYTES)
  })

  test('rest between one and the next', async () => {
    let pauses = 0
    await encodeFrames(numbers(3 * FRAME_BYTES), null, async () => void (pauses += 1))
    expect(pauses).toBe(2)
  })

  test('that lie are refused', async () => {
    const packed = await encodeFrames(numbers(1000), null, pause)
    const read = (bytes: Uint8Array, intoBytes: number) => () =>
      new FrameReader(bytes, new Uint8Array(intoBytes), zstdCodec).arrived(bytes.length)
    const lying = packed.slice()
    new DataView(lying.buffer).setUint32(0, 1_000_000, true)
    expect(read(lying, 1000)).toThrow('does not fit')
    expect(read(packed, 999)).toThrow('a chunk of 999 bytes was expected')
    expect(read(new Uint8Array([...packed, ...packed].slice(0, packed.length + 4)), 1000)).toThrow('malformed')
    expect(read(new Uint8Array(2000), 1000)).toThrow('more than 1000 take')
    const short = new FrameReader(packed, new Uint8Array(1000), zstdCodec)
    short.arrived(packed.length - 1)
    expect(short.isDone).toBe(false)
  })
})
