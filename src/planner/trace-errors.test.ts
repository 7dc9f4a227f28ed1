/** What the reader refuses, and in which words. One table for each format: the text, and the whole message. */
import { describe, expect, it } from 'vitest'
import { MembraneError } from '../core/errors.ts'
import { createTraceReader, type TraceReaderOptions } from './trace-reader.ts'

function errorOf(text: string, options?: TraceReaderOptions): MembraneError {
  const reader = createTraceReader('t', options)
  try {
    reader.push(text)
    reader.end()
  } catch (error) {
    if (error instanceof MembraneError) return error
    throw error
  }
  throw new Error('expected an error')
}

const TOKENS = 'a whole number of tokens from 1 to 100000000'
const OUTPUT_TOKENS = 'a whole number of tokens from 0 to 100000000'
const FORMATS = 'a trace in a known format: mooncake, azure, servegen-rates, lengths, membrane'

const good = '{"timestamp": 7, "input_length": 600, "output_length": 1, "hash_ids": [0, 1]}\n'

describe('Mooncake rows', () => {
  it.each([
    ['{"timestamp": 1, "input_length": }', 't:1:34: found "}", expected a JSON value'],
    ['{"timestamp": 1, "input_length": NaN}', 't:1:34: found "NaN", expected a JSON value'],
    [`${good}[1, 2]`, 't:2:1: found [1, 2], expected a JSON object'],
    [`${good}{"timestamp": 8, "input_len`, 't:2:28: found the end of the line, expected a closing double quote'],
    [
      '{"timestamp": 1, "output_length": 1}',
      't:1:1: found no field "input_length", expected "input_length" in every row',
    ],
    ['{"input_length": 1, "output_length": 1}', 't:1:1: found no field "timestamp", expected "timestamp" in every row'],
    [
      '{"timestamp": 1, "input_length": 1}',
      't:1:1: found no field "output_length", expected "output_length" in every row',
    ],
    ['{"timestamp": 1, "input_length": -3, "output_length": 1}', `t:1:34: found input_length -3, expected ${TOKENS}`],
    ['{"timestamp": 1, "input_length": 0, "output_length": 1}', `t:1:34: found input_length 0, expected ${TOKENS}`],
    ['{"timestamp": 1, "input_length": 1.5, "output_length": 1}', `t:1:34: found input_length 1.5, expected ${TOKENS}`],
    ['{"timestamp": 1, "input_length": "9", "output_length": 1}', `t:1:34: found input_length "9", expected ${TOKENS}`],
    [
      '{"timestamp": 1, "input_length": null, "output_length": 1}',
      `t:1:34: found input_length null, expected ${TOKENS}`,
    ],
    [
      '{"timestamp": 1, "input_length": 100000001, "output_length": 1}',
      `t:1:34: found input_length 100000001, expected ${TOKENS}`,
    ],
    [
      '{"timestamp": 1, "input_length": 1, "output_length": -1}',
      `t:1:54: found output_length -1, expected ${OUTPUT_TOKENS}`,
    ],
    [
      '{"timestamp": -1, "input_length": 1, "output_length": 1}',
      't:1:15: found timestamp -1, expected a number of milliseconds, 0 or more',
    ],
    [
      '{"timestamp": 1e999, "input_length": 1, "output_length": 1}',
      't:1:15: found timestamp 1e999, expected a number of milliseconds, 0 or more',
    ],
    [
      `${good}{"timestamp": 5, "input_length": 1, "output_length": 1, "hash_ids": [0]}`,
      't:2:15: found timestamp 5, expected a time not before that of the request above it, which came 0.002 s later',
    ],
    [
      '{"timestamp": 7, "input_length": 1025, "output_length": 1, "hash_ids": [0, 1]}',
      't:1:72: found 2 hash_ids, expected 3: one for each started block of 512 of the 1025 input tokens',
    ],
    [
      '{"timestamp": 7, "input_length": 512, "output_length": 1, "hash_ids": [0, 1]}',
      't:1:71: found 2 hash_ids, expected 1: one for each started block of 512 of the 512 input tokens',
    ],
    [
      '{"timestamp": 7, "input_length": 600, "output_length": 1, "hash_ids": [0, 2147483648]}',
      't:1:71: found hash_ids [0, 2147483648], expected a list of whole numbers from 0 to 2147483647',
    ],
    [
      '{"timestamp": 7, "input_length": 600, "output_length": 1, "hash_ids": [0, 1.5]}',
      't:1:71: found hash_ids [0, 1.5], expected a list of whole numbers from 0 to 2147483647',
    ],
    [
      '{"timestamp": 7, "input_length": 600, "output_length": 1, "hash_ids": [0, -1]}',
      't:1:71: found hash_ids [0, -1], expected a list of whole numbers from 0 to 2147483647',
    ],
    [
      '{"timestamp": 7, "input_length": 600, "output_length": 1, "hash_ids": null}',
      't:1:71: found hash_ids null, expected a list of whole numbers from 0 to 2147483647',
    ],
    [
      `${good}{"timestamp": 8, "input_length": 1, "output_length": 1}`,
      't:2:1: found no field "hash_ids", expected field "hash_ids", as in line 1',
    ],
    [
      `{"timestamp": 8, "input_length": 1, "output_length": 1}\n{"timestamp": 8, "input_length": 1, "output_length": 1, "hash_ids": [0]}`,
      't:2:69: found field "hash_ids", expected no field "hash_ids", as in line 1',
    ],
  ])('refuses %s', (text, message) => {
    const error = errorOf(text)
    expect(error.message).toBe(message)
    expect(error.code).toBe('INVALID_TRACE')
  })
})

describe('our own rows', () => {
  it.each([
    ['{"membraneTrace": 2}', 't:1:19: found membraneTrace 2, expected version 1'],
    ['{"membraneTrace": 1, "blockTokens": 0}', `t:1:37: found blockTokens 0, expected ${TOKENS}`],
    ['{"membraneTrace": 1, "blocks": 9}', 't:1:22: found the field "blocks", expected only membraneTrace, blockTokens'],
    ['{"membraneTrace": 1}\n', 't:2:1: found the end of the file, expected at least one request after the header'],
    [
      '{"inputTokens": 1, "outputToken": 1}',
      't:1:20: found the field "outputToken", expected only atSeconds, inputTokens, outputTokens, blockIds',
    ],
    [
      '{"membraneTrace": 1, "blockTokens": 16}\n{"inputTokens": 32, "blockIds": [1, 2, 3]}',
      't:2:33: found 3 blockIds, expected at most 2: one for each started block of 16 of the 32 input tokens',
    ],
    [
      '{"inputTokens": 1, "outputTokens": 1}\n{"inputTokens": 1}',
      't:2:1: found no field "outputTokens", expected field "outputTokens", as in line 1',
    ],
    [
      '{"inputTokens": 1}\n{"inputTokens": 1, "atSeconds": 4}',
      't:2:33: found field "atSeconds", expected no field "atSeconds", as in line 1',
    ],
  ])('refuses %s', (text, message) => expect(errorOf(text).message).toBe(message))
})

describe('CSV rows', () => {
  const azure = (...rows: readonly string[]) => ['TIMESTAMP,ContextTokens,GeneratedTokens', ...rows].join('\n')
  const rates = (row: string) => `client_id,window_start_s,rate_rps,cv,pattern,arg1,arg2\n${row}`
  const time = '2023-11-16 18:15:46.5'

  it.each([
    [azure(`${time},5`), 't:2:24: found 2 columns, expected 3'],
    [azure(`${time},5,6,7`), 't:2:27: found 4 columns, expected 3'],
    [
      azure('yesterday,5,6'),
      't:2:1: found TIMESTAMP yesterday, expected a UTC time such as 2023-11-16 18:15:46.6805900',
    ],
    [azure(`${time},,6`), `t:2:23: found ContextTokens (empty), expected ${TOKENS}`],
    [azure(`${time}, nan,6`), `t:2:24: found ContextTokens nan, expected ${TOKENS}`],
    [azure(`${time},5,Infinity`), `t:2:25: found GeneratedTokens Infinity, expected ${OUTPUT_TOKENS}`],
    [azure(`${time},0x10,6`), `t:2:23: found ContextTokens 0x10, expected ${TOKENS}`],
    [
      azure(`${time},5,6`, '2023-11-16 18:15:46,5,6'),
      't:3:1: found TIMESTAMP 2023-11-16 18:15:46, expected a time not before that of the request above it, which came 0.5 s later',
    ],
    [azure(), 't:1:1: found the end of the file, expected at least one request after the header'],
    [
      'input_tokens,arrival_time\n1,2\n1,1\n',
      't:3:3: found arrival_time 1, expected a time not before that of the request above it, which came 1 s later',
    ],
    [
      'input_tokens,arrival_time\n1,1\n1,3\n1,2\n',
      't:4:3: found arrival_time 2, expected a time not before that of the request above it, which came 1 s later',
    ],
    ['input_tokens,arrival_time\n1,-2\n', 't:2:3: found arrival_time -2, expected a number of seconds, 0 or more'],
    ['NaN,3', `t:1:1: found input tokens NaN, expected ${TOKENS}`],
    ['10\n2.5\n', `t:2:1: found input tokens 2.5, expected ${TOKENS}`],
    [rates('1.5,0,1,1,Gamma,1,1'), 't:2:1: found client_id 1.5, expected a whole number from 0 to 2147483647'],
    [rates('1,30,1,1,Gamma,1,1'), 't:2:3: found window_start_s 30, expected a multiple of 600 from 0 to 2147483647'],
    [rates('1,0,0,1,Gamma,1,1'), 't:2:5: found rate_rps 0, expected a rate above 0'],
    [rates('1,0,1,-1,Gamma,1,1'), 't:2:7: found cv -1, expected a number, 0 or more'],
    [rates('1,0,1,1,Pareto,1,1'), 't:2:9: found pattern Pareto, expected Gamma or Weibull'],
    [rates('1,0,1,1,Gamma,1,x'), 't:2:17: found arg2 x, expected a number, 0 or more'],
  ])('refuses %s', (text, message) => expect(errorOf(text).message).toBe(message))
})

describe('files that are no trace', () => {
  it.each([
    ['', `t:1:1: found the end of the file, expected ${FORMATS}`],
    ['\n\n  \n', `t:4:1: found the end of the file, expected ${FORMATS}`],
    ['hello\n', `t:1:1: found "hello", expected ${FORMATS}`],
    ['1,2,3\n', `t:1:1: found "1,2,3", expected ${FORMATS}`],
    ['{"client_id": 0}\n', `t:1:1: found "{\\"client_id\\": 0}", expected ${FORMATS}`],
  ])('refuses %j and lists the formats', (text, message) => {
    const error = errorOf(text)
    expect(error.message).toBe(message)
    expect(error.remedy).toContain('azure (CSV with the header TIMESTAMP,ContextTokens,GeneratedTokens)')
  })
})

describe('bounds', () => {
  it('refuses a line that is too long, also before it ends', () => {
    const message = 't:2:21: found a line of more than 20 characters, expected one request a line'
    expect(errorOf(`10\n${'1'.repeat(21)}\n`, { lineCharactersMax: 20 }).message).toBe(message)
    expect(() => createTraceReader('t', { lineCharactersMax: 20 }).push(`10\n${'1'.repeat(22)}`)).toThrow(message)
    expect(errorOf(`10\n${' '.repeat(19)}x\r\n`, { lineCharactersMax: 20 }).message).toContain('found input tokens x')
  })

  it('refuses more requests, rows of rates, or block ids than the bound, with LIMIT_REACHED', () => {
    const requests = errorOf('1\n1\n1\n', { requestsMax: 2 })
    expect([requests.code, requests.message]).toEqual([
      'LIMIT_REACHED',
      't:3:1: found more than 2 rows, expected at most 2 in one trace',
    ])
    const header = 'client_id,window_start_s,rate_rps,cv,pattern,arg1,arg2'
    expect(errorOf(`${header}\n1,0,1,1,Gamma,1,1\n2,0,1,1,Gamma,1,1`, { requestsMax: 1 }).code).toBe('LIMIT_REACHED')
    const blocks = errorOf(`${good}${good}`, { blockIdsMax: 3 })
    expect([blocks.code, blocks.message]).toEqual([
      'LIMIT_REACHED',
      't:2:1: found more than 3 block ids up to this line, expected at most 3 in one trace',
    ])
  })

  it('cuts what it found, so that a message stays readable', () => {
    expect(errorOf(`[${'1'.repeat(1000)}]`).message.length).toBeLessThan(200)
  })
})

describe('an error', () => {
  it('carries the place and both sides for programs, and a remedy for people', () => {
    const error = errorOf('10\n-5\n')
    expect(error.details).toEqual({ file: 't', line: 2, column: 1, found: 'input tokens -5', expected: TOKENS })
    expect(error.remedy).toBe('Correct the line, or leave it out.')
    expect(errorOf('atSeconds,inputTokens\n2,1\n1,1').remedy).toBe(
      'Sort the file by time: a trace must be in time order.',
    )
    expect(errorOf('{"inputTokens": 1}\n{"inputTok').remedy).toContain('the file was cut off')
  })
})
