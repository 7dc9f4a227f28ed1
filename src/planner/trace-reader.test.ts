import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { createTraceReader, type TraceReaderOptions } from './trace-reader.ts'
import type { ClientRates, Trace, TraceFile } from './trace.ts'

function read(text: string, options?: TraceReaderOptions): TraceFile {
  const reader = createTraceReader('t', options)
  reader.push(text)
  return reader.end()
}

function readRequests(text: string, options?: TraceReaderOptions): Trace {
  const file = read(text, options)
  if (file.kind !== 'requests') throw new Error('expected requests')
  return file.trace
}

function readRates(text: string): ClientRates {
  const file = read(text)
  if (file.kind !== 'client-rates') throw new Error('expected client rates')
  return file.rates
}

const MOONCAKE = `{"timestamp": 3000, "input_length": 1025, "output_length": 50, "hash_ids": [0, 1, 2]}
{"timestamp": 3500, "input_length": 512, "output_length": 0, "hash_ids": [0]}
`
const AZURE = `TIMESTAMP,ContextTokens,GeneratedTokens
2023-11-16 18:15:46.6805900,374,44
2023-11-16 18:15:50.9951690,396,109
`
const SERVEGEN = `client_id,window_start_s,rate_rps,cv,pattern,arg1,arg2
0,600,1.5,2.25,Weibull,0.5,0.25
7,1200,0.25,0.5,Gamma,4,1
`
const LENGTHS = `num_prefill_tokens,num_decode_tokens,num_total_tokens,pd_ratio
3772,54,3826,69.85
2015,156,2171,12.91
`
const MEMBRANE = `{"membraneTrace": 1, "blockTokens": 16}
{"atSeconds": 10.25, "inputTokens": 40, "outputTokens": 3, "blockIds": [5, 6]}
{"atSeconds": 10.5, "inputTokens": 9, "outputTokens": 0, "blockIds": []}
`
const EVERY_FORMAT = {
  mooncake: MOONCAKE,
  azure: AZURE,
  'servegen-rates': SERVEGEN,
  lengths: LENGTHS,
  membrane: MEMBRANE,
}

describe('the formats', () => {
  it('reads Mooncake JSON Lines: milliseconds, counted from the first request, and 512-token blocks', () => {
    expect(readRequests(MOONCAKE)).toEqual({
      name: 't',
      format: 'mooncake',
      requestCount: 2,
      atSeconds: Float64Array.of(0, 0.5),
      inputTokens: Int32Array.of(1025, 512),
      outputTokens: Int32Array.of(50, 0),
      blocks: { blockTokens: 512, ids: Int32Array.of(0, 1, 2, 0), offsets: Int32Array.of(0, 3, 4) },
    })
  })

  it('reads Mooncake rows without hash_ids, and ignores fields it does not know', () => {
    const trace = readRequests('{"timestamp": 0, "input_length": 5, "output_length": 1, "session": "a"}')
    expect(trace).toMatchObject({ format: 'mooncake', requestCount: 1, blocks: null })
  })

  it('reads Azure CSV to 100 ns', () => {
    const trace = readRequests(AZURE)
    expect(trace).toMatchObject({ format: 'azure', inputTokens: Int32Array.of(374, 396), blocks: null })
    expect(trace.outputTokens).toEqual(Int32Array.of(44, 109))
    expect(trace.atSeconds?.[1]).toBeCloseTo(4.314579, 12)
  })

  it('reads ServeGen client rates as rates, not as requests', () => {
    expect(readRates(SERVEGEN)).toEqual({
      name: 't',
      format: 'servegen-rates',
      rowCount: 2,
      windowSeconds: 600,
      clientIds: Int32Array.of(0, 7),
      windowStartSeconds: Int32Array.of(600, 1200),
      requestsPerSecond: Float64Array.of(1.5, 0.25),
      cv: Float64Array.of(2.25, 0.5),
      familyIndices: Uint8Array.of(1, 0),
      familyArgument1: Float64Array.of(0.5, 4),
      familyArgument2: Float64Array.of(0.25, 1),
    })
  })

  it.each([
    'num_prefill_tokens,num_decode_tokens,pd_ratio',
    'inputTokens,outputTokens,x',
    'input_tokens,output_tokens,x',
    'INPUT_LENGTH , Output_Length,x',
    'prompt_tokens,completion_tokens,x',
  ])('reads lengths under the header %s', (header) => {
    const trace = readRequests(`${header}\n10,2,0\n20, 0 ,0\n`)
    expect(trace).toMatchObject({ format: 'lengths', requestCount: 2, atSeconds: null, blocks: null })
    expect([trace.inputTokens, trace.outputTokens]).toEqual([Int32Array.of(10, 20), Int32Array.of(2, 0)])
  })

  it.each(['atSeconds', 'at_seconds', 'arrival_time'])('reads the time column %s of lengths, in any place', (name) => {
    const trace = readRequests(`output_tokens,${name},input_tokens\n1,100.5,10\n2,101,20\n`)
    expect(trace.atSeconds).toEqual(Float64Array.of(0, 0.5))
    expect(trace.inputTokens).toEqual(Int32Array.of(10, 20))
  })

  it('reads one or two columns of whole numbers without a header', () => {
    expect(readRequests('10\n20.0\n3e1\n')).toMatchObject({
      inputTokens: Int32Array.of(10, 20, 30),
      outputTokens: null,
    })
    expect(readRequests('10,1\n20,2')).toMatchObject({ outputTokens: Int32Array.of(1, 2) })
  })

  it('reads our own format, with a block size and fewer ids than blocks', () => {
    expect(readRequests(MEMBRANE)).toEqual({
      name: 't',
      format: 'membrane',
      requestCount: 2,
      atSeconds: Float64Array.of(0, 0.25),
      inputTokens: Int32Array.of(40, 9),
      outputTokens: Int32Array.of(3, 0),
      blocks: { blockTokens: 16, ids: Int32Array.of(5, 6), offsets: Int32Array.of(0, 2, 2) },
    })
  })

  it('reads our own format without a header and with input lengths alone', () => {
    expect(readRequests('{"inputTokens": 1}\n{"inputTokens": 2}')).toEqual({
      name: 't',
      format: 'membrane',
      requestCount: 2,
      atSeconds: null,
      inputTokens: Int32Array.of(1, 2),
      outputTokens: null,
      blocks: null,
    })
  })
})

describe('lines and chunks', () => {
  it.each(Object.entries(EVERY_FORMAT))('does not mind line ends, blank lines and a mark in %s', (_, text) => {
    const plain = read(text)
    expect(read(`\uFEFF${text.replaceAll('\n', '\r\n')}`)).toEqual(plain)
    expect(read(`\n  \n${text.replaceAll('\n', '\n\n')}`)).toEqual(plain)
    expect(read(text.trimEnd())).toEqual(plain)
  })

  it.each(Object.entries(EVERY_FORMAT))('gives the same %s trace wherever the text is cut', (_, text) => {
    const whole = read(text)
    const cuts = fc.array(fc.nat(text.length), { maxLength: 12 }).map((places) => places.sort((a, b) => a - b))
    fc.assert(
      fc.property(cuts, (places) => {
        const reader = createTraceReader('t')
        for (const [index, place] of [...places, text.length].entries()) {
          reader.push(text.slice(places[index - 1] ?? 0, place))
        }
        expect(reader.end()).toEqual(whole)
      }),
    )
  })

  it('reports the same error wherever the text is cut', () => {
    const text = '10,1\r\n\r\n20,x\r\n'
    for (let cut = 0; cut <= text.length; cut++) {
      const reader = createTraceReader('t')
      expect(() => {
        reader.push(text.slice(0, cut))
        reader.push(text.slice(cut))
      }).toThrow('t:3:4: found output tokens x')
    }
  })

  it('takes one character at a time of a long line without going quadratic', () => {
    const ids = Array.from({ length: 40_000 }, (_, index) => index)
    const text = JSON.stringify({ timestamp: 0, input_length: 40_000 * 512, output_length: 1, hash_ids: ids })
    const reader = createTraceReader('t')
    for (const character of text) reader.push(character)
    const file = reader.end()
    expect(file.kind === 'requests' && file.trace.blocks?.ids.length).toBe(40_000)
  })

  it('grows its columns past their first capacity', () => {
    const trace = readRequests(Array.from({ length: 5000 }, (_, index) => `${index + 1},${index}`).join('\n'))
    expect(trace.requestCount).toBe(5000)
    expect([trace.inputTokens.length, trace.inputTokens[4999], trace.outputTokens?.[4999]]).toEqual([5000, 5000, 4999])
  })

  it('reads a forced format whatever the first line looks like', () => {
    expect(
      readRequests('{"inputTokens": 5, "input_length": 5, "timestamp": 0, "output_length": 1}', { format: 'mooncake' }),
    ).toMatchObject({ format: 'mooncake' })
    expect(() => read(LENGTHS, { format: 'azure' })).toThrow(
      't:1:1: found the header "num_prefill_tokens,num_decode_tokens,num_total_t…, expected CSV with the header TIMESTAMP,ContextTokens,GeneratedTokens',
    )
  })

  it('stays failed after an error, so that nobody gets a part of a trace', () => {
    const reader = createTraceReader('t')
    expect(() => reader.push('10\n-1\n')).toThrow('t:2:1')
    expect(() => reader.push('20\n')).toThrow('t:2:1')
    expect(() => reader.end()).toThrow('t:2:1')
  })

  it('is not used after its end', () => {
    const reader = createTraceReader('t')
    reader.push('10\n')
    reader.end()
    expect(() => reader.push('20\n')).toThrow('Bug: a trace reader is not used after its end')
  })
})
