import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { createTraceReader } from './trace-reader.ts'
import { formatTrace, traceRequests } from './trace-writer.ts'
import type { TraceRequest } from './trace.ts'

function roundTrip(requests: readonly TraceRequest[], blockTokens: number): readonly TraceRequest[] {
  const reader = createTraceReader('t')
  for (const chunk of formatTrace(requests, { blockTokens })) reader.push(chunk)
  const file = reader.end()
  if (file.kind !== 'requests') throw new Error('expected requests')
  return [...traceRequests(file.trace)]
}

describe('formatTrace', () => {
  it('writes a header with the block size and one object a line', () => {
    const text = [...formatTrace([{ atSeconds: 0.25, inputTokens: 1000, outputTokens: 50, blockIds: [1, 2] }])].join('')
    expect(text).toBe(
      '{"membraneTrace":1,"blockTokens":512}\n{"atSeconds":0.25,"inputTokens":1000,"outputTokens":50,"blockIds":[1,2]}\n',
    )
  })

  it('yields whole lines, in chunks, for a large trace', () => {
    const requests = Array.from({ length: 10_000 }, (_, index) => ({ inputTokens: index + 1 }))
    const chunks = [...formatTrace(requests)]
    expect(chunks.length).toBeGreaterThan(2)
    expect(chunks.every((chunk) => chunk.endsWith('}\n'))).toBe(true)
    expect(roundTrip(requests, 512)).toEqual(requests)
  })

  it('is read back value for value, whichever fields there are', () => {
    const shape = fc.record({ times: fc.boolean(), outputs: fc.boolean(), blocks: fc.boolean() })
    const row = fc.record({
      gap: fc.double({ min: 0, max: 1e6, noNaN: true }),
      inputTokens: fc.integer({ min: 1, max: 100_000_000 }),
      outputTokens: fc.nat(1000),
      blockIds: fc.array(fc.nat(2 ** 31 - 1), { maxLength: 1 }),
    })
    fc.assert(
      fc.property(shape, fc.array(row, { minLength: 1, maxLength: 20 }), ({ times, outputs, blocks }, rows) => {
        let atSeconds = 0
        const requests = rows.map(({ gap, inputTokens, outputTokens, blockIds }, index): TraceRequest => {
          atSeconds += index === 0 ? 0 : gap
          return {
            ...(times ? { atSeconds } : {}),
            inputTokens,
            ...(outputs ? { outputTokens } : {}),
            ...(blocks ? { blockIds } : {}),
          }
        })
        expect(roundTrip(requests, 16)).toEqual(requests)
      }),
    )
  })

  it('refuses a value that JSON cannot hold', () => {
    expect(() => [...formatTrace([{ inputTokens: Number.NaN }])]).toThrow('Bug: a request has finite times')
    expect(() => [...formatTrace([{ atSeconds: Infinity, inputTokens: 1 }])]).toThrow('Bug: a request has finite times')
  })
})
