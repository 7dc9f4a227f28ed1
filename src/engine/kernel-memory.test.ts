import fc from 'fast-check'
import { expect, test } from 'vitest'
import { runs } from '../../test/effort.ts'
import { KernelMemory } from './kernel-memory.ts'
import { PAGE_BYTES } from './webassembly.ts'

const BYTES = 8 * PAGE_BYTES

test('pieces never overlap, and all room comes back', () => {
  const action = fc.oneof(
    fc.record({ bytes: fc.integer({ min: 0, max: 2 * PAGE_BYTES }) }),
    fc.record({ release: fc.nat({ max: 30 }) }),
  )
  fc.assert(
    fc.property(fc.array(action, { maxLength: 60 }), (actions) => {
      const memory = new KernelMemory(BYTES)
      const held: { readonly start: number; readonly end: number }[] = []
      for (const step of actions) {
        if ('release' in step) {
          const [piece] = held.splice(step.release % Math.max(1, held.length), 1)
          if (piece !== undefined) memory.release(piece.start)
          continue
        }
        const start = memory.allocate(step.bytes)
        if (start === null) continue
        const end = start + step.bytes
        expect(start % 64).toBe(0)
        expect(start).toBeGreaterThan(0)
        expect(held.some((other) => start < other.end && other.start < end)).toBe(false)
        // Within the memory as it has grown: a view beyond throws.
        expect(memory.bytes(start, step.bytes)).toHaveLength(step.bytes)
        held.push({ start, end })
      }
      for (const { start } of held) memory.release(start)
      const all = memory.allocate(BYTES - 1024)
      expect(all).toBe(1024)
      expect(memory.allocate(1)).toBeNull()
      if (all !== null) memory.release(all)
      expect(memory.memory.buffer.byteLength).toBeLessThanOrEqual(BYTES)
    }),
    { numRuns: runs(50) },
  )
})

test('what is given back twice is a bug', () => {
  const memory = new KernelMemory(BYTES)
  const start = memory.allocate(10) ?? 0
  memory.release(start)
  expect(() => memory.release(start)).toThrow('Bug: Nothing was allocated')
})
