import fc from 'fast-check'
import { createHash } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { runs } from '../../test/effort.ts'
import { parseContentHash } from '../core/ids.ts'
import type { FragmentPut, StoredFragment } from '../core/ports.ts'
import { MemoryStore } from './memory.ts'
import { PayloadMemory } from './payload-memory.ts'

const BYTES = 128 * 1024
const clock = { nowMs: () => 0 }

function putOf(key: string, value: number, memory: PayloadMemory, bytes = BYTES): FragmentPut {
  const payload = memory.take(bytes)
  payload.fill(value)
  const contentHash = parseContentHash(`s256:${createHash('sha256').update(payload).digest('hex')}`)
  return { key, head: new Uint8Array(0), payloadBytes: bytes, contentHash, payload, isGivenAway: true }
}

const isAll = ({ payload }: StoredFragment, value: number): boolean => payload.every((byte) => byte === value)

describe('payload memory', () => {
  test('is what was given, for a payload of that length, and new memory otherwise', () => {
    const memory = new PayloadMemory(4 * BYTES)
    const first = memory.take(BYTES)
    memory.give(first)
    expect(memory.freeBytes).toBe(BYTES)
    expect(memory.take(BYTES - 1)).not.toBe(first)
    expect(memory.take(BYTES)).toBe(first)
    expect(memory.take(BYTES)).not.toBe(first)
    expect(memory.freeBytes).toBe(0)
  })

  test('keeps no more than its bound, nothing small, and no part of something larger', () => {
    const memory = new PayloadMemory(2 * BYTES)
    for (let index = 0; index < 5; index += 1) memory.give(Buffer.allocUnsafeSlow(BYTES))
    expect(memory.freeBytes).toBe(2 * BYTES)
    memory.clear()
    memory.give(Buffer.allocUnsafeSlow(1000))
    memory.give(Buffer.allocUnsafeSlow(2 * BYTES).subarray(0, BYTES))
    expect(memory.freeBytes).toBe(0)
  })

  test('does not keep lengths for ever that nobody asks for', () => {
    const memory = new PayloadMemory(1024 * BYTES)
    for (let index = 0; index < 200; index += 1) memory.give(Buffer.allocUnsafeSlow(BYTES + index))
    expect(memory.freeBytes).toBeLessThan(70 * BYTES)
  })
})

describe('a memory store', () => {
  test('uses the memory of what was replaced again, once nobody reads it', async () => {
    const memory = new PayloadMemory(8 * BYTES)
    const store = new MemoryStore(clock, memory)
    await store.put(putOf('k', 1, memory))
    const reading = await store.get('k')
    await store.put(putOf('k', 2, memory))
    expect(memory.freeBytes).toBe(0)
    expect(reading !== null && isAll(reading, 1)).toBe(true)
    reading?.done?.()
    expect(memory.freeBytes).toBe(BYTES)
    // Said twice, it counts once.
    reading?.done?.()
    expect(memory.freeBytes).toBe(BYTES)
  })

  test('leaves what is read by somebody who never says that he is done', async () => {
    const memory = new PayloadMemory(8 * BYTES)
    const store = new MemoryStore(clock, memory)
    await store.put(putOf('k', 1, memory))
    await store.get('k')
    await store.put(putOf('s', 2, memory))
    const stream = await store.stream('s')
    await store.remove(['k', 's'])
    expect(memory.freeBytes).toBe(0)
    for await (const chunk of stream?.chunks ?? []) expect(chunk.every((byte) => byte === 2)).toBe(true)
  })

  test('never changes bytes under a reader, whatever is put, removed and read, and in which order readers end', async () => {
    const step = fc.oneof(
      fc.record({
        kind: fc.constant('put' as const),
        key: fc.nat({ max: 2 }),
        value: fc.integer({ min: 1, max: 255 }),
      }),
      fc.record({ kind: fc.constant('remove' as const), key: fc.nat({ max: 2 }) }),
      fc.record({ kind: fc.constant('read' as const), key: fc.nat({ max: 2 }) }),
      fc.record({ kind: fc.constant('end' as const), reader: fc.nat() }),
    )
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 40 }), async (steps) => {
        const memory = new PayloadMemory(64 * BYTES)
        const store = new MemoryStore(clock, memory)
        const held = new Map<number, number>()
        const readers: { readonly found: StoredFragment; readonly value: number }[] = []
        for (const one of steps) {
          if (one.kind === 'put') {
            await store.put(putOf(`k${one.key}`, one.value, memory, 64 * 1024))
            held.set(one.key, one.value)
          } else if (one.kind === 'remove') {
            await store.remove([`k${one.key}`])
            held.delete(one.key)
          } else if (one.kind === 'read') {
            const found = await store.get(`k${one.key}`)
            const value = held.get(one.key)
            expect(found === null).toBe(value === undefined)
            if (found !== null && value !== undefined) readers.push({ found, value })
          } else if (readers.length > 0) {
            const [ended] = readers.splice(one.reader % readers.length, 1)
            ended?.found.done?.()
          }
          for (const { found, value } of readers) expect(isAll(found, value)).toBe(true)
        }
      }),
      { numRuns: runs(60) },
    )
  })
})
