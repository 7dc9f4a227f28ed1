import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { prefixHitRatioMax, uncachedLengths } from './trace-prefix.ts'
import { createTraceReader } from './trace-reader.ts'
import { formatTrace } from './trace-writer.ts'
import type { Trace, TraceRequest } from './trace.ts'

function traceOf(blockTokens: number, requests: readonly TraceRequest[]): Trace {
  const reader = createTraceReader('t')
  for (const chunk of formatTrace(requests, { blockTokens })) reader.push(chunk)
  const file = reader.end()
  if (file.kind !== 'requests') throw new Error('expected requests')
  return file.trace
}

/** Blocks of 10 tokens. Hit blocks by hand: 0, 2, 0 (the run ends at 9), 4 but only 35 tokens, 1 (stops at 8). */
const BY_HAND: readonly TraceRequest[] = [
  { inputTokens: 35, blockIds: [1, 2, 3, 4] },
  { inputTokens: 40, blockIds: [1, 2, 7, 7] },
  { inputTokens: 30, blockIds: [9, 1, 2] },
  { inputTokens: 35, blockIds: [1, 2, 3, 4] },
  { inputTokens: 25, blockIds: [1, 8, 2] },
]

describe('the infinite shared cache', () => {
  it('hits leading runs of blocks that earlier requests had, and never more than the prompt', () => {
    const trace = traceOf(10, BY_HAND)
    expect([...uncachedLengths(trace)]).toEqual([35, 20, 30, 0, 15])
    expect(prefixHitRatioMax(trace)).toEqual({ tokens: (20 + 35 + 10) / 165, blocks: (2 + 4 + 1) / 18 })
  })

  it('does not let a prompt hit its own blocks', () => {
    const trace = traceOf(10, [{ inputTokens: 30, blockIds: [5, 5, 5] }])
    expect(prefixHitRatioMax(trace)).toEqual({ tokens: 0, blocks: 0 })
  })

  it('tells ids apart within a word of bits, at its ends, and at the largest id', () => {
    const ids = [0, 31, 32, 63, 2_000_000_000]
    for (const id of ids) {
      const others = ids.filter((other) => other !== id).map((other) => ({ inputTokens: 1, blockIds: [other] }))
      const uncached = uncachedLengths(traceOf(1, [...others, { inputTokens: 1, blockIds: [id] }]))
      expect(uncached.at(-1)).toBe(1)
      const again = [
        { inputTokens: 1, blockIds: [id] },
        { inputTokens: 1, blockIds: [id] },
      ]
      expect([...uncachedLengths(traceOf(1, again))]).toEqual([1, 0])
    }
  })

  it('hits nothing when no request names a block', () => {
    expect(prefixHitRatioMax(traceOf(10, [{ inputTokens: 3, blockIds: [] }]))).toEqual({ tokens: 0, blocks: 0 })
  })

  it('agrees with a plain set, for any ids', () => {
    const prompts = fc.array(fc.array(fc.nat(70), { maxLength: 6 }), { minLength: 1, maxLength: 30 })
    fc.assert(
      fc.property(prompts, (lists) => {
        const seen = new Set<number>()
        const expected = lists.map((ids) => {
          const miss = ids.findIndex((id) => !seen.has(id))
          for (const id of ids) seen.add(id)
          return 100 - 10 * (miss < 0 ? ids.length : miss)
        })
        const trace = traceOf(
          10,
          lists.map((blockIds) => ({ inputTokens: 100, blockIds })),
        )
        expect([...uncachedLengths(trace)]).toEqual(expected)
      }),
    )
  })

  it('is not defined without block ids', () => {
    const trace = traceOf(10, [{ inputTokens: 3 }])
    expect(prefixHitRatioMax(trace)).toBeNull()
    expect(() => uncachedLengths(trace)).toThrow(
      expect.objectContaining({ code: 'OUT_OF_DOMAIN', message: 't has no block ids, expected them in every row.' }),
    )
  })
})
