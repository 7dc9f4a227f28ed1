import { describe, expect, it } from 'vitest'
import { MembraneError } from '../core/errors.ts'
import { createTraceReader } from '../planner/trace-reader.ts'
import { traceLineSchema } from './trace-schema.ts'

/** Whether the streaming reader takes the line as a trace of our own format; its blocks are 512 tokens. */
function readerAccepts(text: string): boolean {
  const reader = createTraceReader('t', { format: 'membrane' })
  try {
    reader.push(`${text}\n`)
    reader.end()
    return true
  } catch (error) {
    if (error instanceof MembraneError) return false
    throw error
  }
}

function schemaAccepts(text: string): boolean {
  return traceLineSchema.safeParse(JSON.parse(text)).success
}

describe('one line of a trace', () => {
  it.each([
    ['{"inputTokens": 600}', true],
    ['{"inputTokens": 1}', true],
    ['{"inputTokens": 100000000}', true],
    ['{"inputTokens": 6e2}', true],
    ['{"inputTokens": 600, "outputTokens": 0}', true],
    ['{"inputTokens": 600, "outputTokens": 100000000}', true],
    ['{"atSeconds": 0, "inputTokens": 600}', true],
    ['{"atSeconds": 12.5, "inputTokens": 600, "outputTokens": 10, "blockIds": [0, 1]}', true],
    ['{"inputTokens": 600, "blockIds": []}', true],
    ['{"inputTokens": 600, "blockIds": [7]}', true],
    ['{"inputTokens": 600, "blockIds": [2147483647, 0]}', true],
    ['{}', false],
    ['{"outputTokens": 1}', false],
    ['{"inputTokens": 0}', false],
    ['{"inputTokens": -1}', false],
    ['{"inputTokens": 1.5}', false],
    ['{"inputTokens": "600"}', false],
    ['{"inputTokens": null}', false],
    ['{"inputTokens": 100000001}', false],
    ['{"inputTokens": 600, "outputTokens": -1}', false],
    ['{"inputTokens": 600, "outputTokens": 0.5}', false],
    ['{"inputTokens": 600, "outputTokens": null}', false],
    ['{"inputTokens": 600, "outputTokens": 100000001}', false],
    ['{"atSeconds": -1, "inputTokens": 600}', false],
    ['{"atSeconds": "0", "inputTokens": 600}', false],
    ['{"atSeconds": 1e999, "inputTokens": 600}', false],
    ['{"inputTokens": 600, "blockIds": [-1]}', false],
    ['{"inputTokens": 600, "blockIds": [1.5]}', false],
    ['{"inputTokens": 600, "blockIds": ["1"]}', false],
    ['{"inputTokens": 600, "blockIds": 1}', false],
    ['{"inputTokens": 600, "blockIds": null}', false],
    ['{"inputTokens": 600, "blockIDs": [1]}', false],
    ['{"input_length": 600}', false],
    ['[600]', false],
    ['600', false],
  ])('%s is judged alike by the schema and by the streaming reader: %s', (text, isGood) => {
    expect({ schema: schemaAccepts(text), reader: readerAccepts(text) }).toEqual({ schema: isGood, reader: isGood })
  })

  it('with more blocks than its prompt has is for the reader alone, which knows the size of a block', () => {
    expect(readerAccepts('{"inputTokens": 600, "blockIds": [1, 2, 3]}')).toBe(false)
    expect(schemaAccepts('{"inputTokens": 600, "blockIds": [1, 2, 3]}')).toBe(true)
  })
})

describe('what once went wrong', () => {
  it('block ids above 2^31 - 1 are refused by the schema as by the reader', () => {
    expect(traceLineSchema.safeParse({ inputTokens: 600, blockIds: [2 ** 31] }).success).toBe(false)
  })
})
