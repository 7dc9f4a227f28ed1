import fc from 'fast-check'
import type { MethodDefinition } from '@grpc/proto-loader'
import { describe, expect, test } from 'vitest'
import { decodeChunk, encodeChunk } from './grpc-chunk.ts'
import type { ChunkMessage } from './grpc-messages.ts'
import { loadMembraneService } from './grpc-service.ts'

/** The generated code, of a message with the same two fields. */
const generated = loadMembraneService().declared['membrane.Membrane'] as unknown as Record<
  string,
  MethodDefinition<object, object>
>
const { requestSerialize, requestDeserialize } = generated['Put'] ?? {}

const chunk = fc.record({
  data: fc.uint8Array({ maxLength: 20_000 }),
  offset: fc.oneof(fc.constant(0), fc.nat(300), fc.maxSafeNat()),
})

function decodedByGenerated(bytes: Buffer): ChunkMessage {
  const { data, offset } = requestDeserialize?.(bytes) as ChunkMessage
  return { data: new Uint8Array(data), offset }
}

describe('a chunk', () => {
  test('is what the generated code reads', () => {
    fc.assert(
      fc.property(chunk, ({ data, offset }) => {
        expect(decodedByGenerated(encodeChunk({ data, offset }))).toEqual({ data, offset })
      }),
    )
  })

  test('is read from what the generated code writes, as a view', () => {
    fc.assert(
      fc.property(chunk, ({ data, offset }) => {
        const bytes = requestSerialize?.({ data: Buffer.from(data), offset }) ?? Buffer.alloc(0)
        const decoded = decodeChunk(bytes)
        expect(decoded?.offset).toBe(offset)
        expect(new Uint8Array(decoded?.data ?? [])).toEqual(data)
        expect(decoded?.data.buffer).toBe(bytes.buffer)
      }),
    )
  })

  test('is left to the generated code, or read as that reads it, whatever the bytes', () => {
    const plain = chunk.map(encodeChunk)
    const changed = fc.tuple(plain, fc.nat(), fc.nat(255), fc.nat(30)).map(([bytes, at, value, cut]) => {
      const copy = Buffer.from(bytes)
      copy[at % Math.min(copy.length, 40)] = value
      return copy.subarray(0, copy.length - (cut > 20 ? cut - 20 : 0))
    })
    fc.assert(
      fc.property(fc.oneof(changed, fc.uint8Array({ maxLength: 40 }).map(Buffer.from)), (bytes) => {
        const decoded = decodeChunk(bytes)
        if (decoded === null) return
        expect({ ...decoded, data: new Uint8Array(decoded.data) }).toEqual(decodedByGenerated(bytes))
      }),
      { numRuns: 2000 },
    )
  })

  test.each([
    ['an end within the data', [0x0a, 5, 1, 2]],
    ['an end within the length', [0x0a, 0x80]],
    ['an end within the offset', [0x0a, 1, 7, 0x10, 0x80]],
    ['a third field', [0x0a, 1, 7, 0x10, 1, 0x1a, 0]],
    ['a number that is not exact', [0x0a, 1, 7, 0x10, 255, 255, 255, 255, 255, 255, 255, 255, 127]],
    ['nothing', []],
  ])('with %s is left to the generated code', (_, bytes) => {
    expect(decodeChunk(Buffer.from(bytes))).toBeNull()
  })
})
