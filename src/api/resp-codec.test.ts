import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { runs } from '../../test/effort.ts'
import { encodeRespCommand } from './resp-codec-call.ts'
import { RESP_UNASKED_BYTES_MAX, RESP_VIEW_BYTES_MAX, RespCommandReader } from './resp-codec-commands.ts'
import { splitInline } from './resp-codec-inline.ts'
import { parseRespInteger } from './resp-codec-numbers.ts'
import { RespReplyReader, type RespValue } from './resp-codec-reader.ts'
import { type RespReply, RespReplyWriter } from './resp-codec-replies.ts'

const BOUNDS = { argumentsMax: 1000, argumentBytesMax: 1_000_000, isTrusted: true }
const latin = (text: string): Uint8Array => Buffer.from(text, 'latin1')

function readerOf(bounds = BOUNDS): RespCommandReader {
  return new RespCommandReader((bytes) => new Uint8Array(bytes), bounds)
}

/** All commands, each argument as Latin-1, and the message of a broken stream after them. */
function readAll(
  reader: RespCommandReader,
  segments: readonly Uint8Array[],
  isShared = false,
): (readonly string[] | string)[] {
  const read: (readonly string[] | string)[] = []
  for (const segment of segments) {
    const shared = Uint8Array.from(segment)
    const place = isShared ? reader.place(shared.length) : null
    if (place !== null) {
      // Bytes of a long argument are read to where they belong; what is left of the segment comes as any other.
      place.set(shared.subarray(0, place.length))
      reader.placed(place.length)
      reader.pushShared(shared.subarray(place.length))
    } else if (isShared) reader.pushShared(shared)
    else reader.push(shared)
    for (;;) {
      const input = reader.next()
      if (input.kind === 'more') break
      if (input.kind === 'room') reader.admit()
      else if (input.kind === 'broken') return [...read, input.message]
      else read.push(input.args.map((arg) => Buffer.from(arg).toString('latin1')))
    }
    reader.settle()
    // What is used again must not show in what is read later.
    if (isShared) shared.fill(0)
  }
  return read
}

function cut(bytes: Uint8Array, places: readonly number[]): Uint8Array[] {
  const ends = [...places.map((place) => place % (bytes.length + 1)), bytes.length].sort((a, b) => a - b)
  return ends.map((end, index) => bytes.subarray(index === 0 ? 0 : ends[index - 1], end))
}

const argument = fc.oneof(
  { weight: 8, arbitrary: fc.uint8Array({ maxLength: 30 }) },
  {
    weight: 1,
    arbitrary: fc.integer({ min: 0, max: 3 * RESP_VIEW_BYTES_MAX }).map((bytes) => new Uint8Array(bytes).fill(97)),
  },
)
const command = fc.array(argument, { minLength: 1, maxLength: 6 })
const places = fc.array(fc.nat(), { maxLength: 30 })

describe('commands', () => {
  test('are the same however the stream is cut', () => {
    fc.assert(
      fc.property(fc.array(command, { maxLength: 8 }), places, fc.boolean(), (commands, cuts, isShared) => {
        const bytes = Buffer.concat(commands.flatMap((args) => encodeRespCommand(args)))
        const expected = commands.map((args) => args.map((arg) => Buffer.from(arg).toString('latin1')))
        expect(readAll(readerOf(), cut(bytes, cuts), isShared)).toEqual(expected)
      }),
      { numRuns: runs(150) },
    )
  })

  test('and what is none breaks at the same place, with the same commands before it', () => {
    const rubbish = fc.oneof(
      fc.uint8Array({ maxLength: 60 }),
      fc
        .constantFrom(
          '*2\r\n$1\r\na\r\n',
          '*1\r\n$1\r\nab',
          '*-1\r\n',
          '*0\r\n',
          '\r\n',
          'GET "a',
          '*1\r\n+a\r\n',
          '$3\r\nabc\r\n',
        )
        .map(latin),
      command.map((args) => Buffer.concat([...encodeRespCommand(args)])),
    )
    fc.assert(
      fc.property(fc.array(rubbish, { maxLength: 8 }), places, (parts, cuts) => {
        const bytes = Buffer.concat(parts)
        expect(readAll(readerOf(), cut(bytes, cuts))).toEqual(readAll(readerOf(), [bytes]))
      }),
      { numRuns: runs(300) },
    )
  })

  test.each([
    ['*x\r\n', 'invalid multibulk length'],
    ['*1001\r\n', 'invalid multibulk length'],
    ['*99999999999999999999\r\n', 'invalid multibulk length'],
    ['*+1\r\n', 'invalid multibulk length'],
    ['*01\r\n', 'invalid multibulk length'],
    ['*1\r\n:1\r\n', "expected '$', got ':'"],
    ['*1\r\n\r\n', "expected '$', got '\\x0d'"],
    ['*1\r\n$-1\r\n', 'invalid bulk length'],
    ['*1\r\n$x\r\n', 'invalid bulk length'],
    ['*1\r\n$1000001\r\n', 'invalid bulk length'],
    ['*1\r\n$1\r\nabc', 'expected CRLF after bulk'],
    ['set "a', null],
    ['set "a\r\n', 'unbalanced quotes in request'],
  ])('breaks at %j', (text, message) => {
    const expected = message === null ? [] : [`Protocol error: ${message}`]
    expect(readAll(readerOf(), [latin(text)])).toEqual(expected)
    expect(
      readAll(
        readerOf(),
        [...latin(text)].map((byte) => Uint8Array.of(byte)),
      ),
    ).toEqual(expected)
  })

  test('break at a line without an end', () => {
    const long = '1'.repeat(65_537)
    for (const [start, message] of [
      ['a', 'too big inline request'],
      ['*', 'too big mbulk count string'],
      ['*1\r\n$', 'too big bulk count string'],
    ])
      expect(readAll(readerOf(), [latin(`${start}${long}`)])).toEqual([`Protocol error: ${message}`])
  })

  test.each([
    ['*11\r\n', 'unauthenticated multibulk length'],
    ['*1\r\n$16385\r\n', 'unauthenticated bulk length'],
  ])('of who has not said who it is are short: %j', (text, message) => {
    expect(readAll(readerOf({ ...BOUNDS, isTrusted: false }), [latin(text)])).toEqual([`Protocol error: ${message}`])
  })

  test('ask for room before memory is taken, for one long argument and for many short ones', () => {
    let allocatedBytes = 0
    const reader = new RespCommandReader((bytes) => {
      allocatedBytes += bytes
      return new Uint8Array(bytes)
    }, BOUNDS)
    reader.push(latin('*2\r\n$3\r\nset\r\n$900000\r\n'))
    expect(reader.next()).toMatchObject({ kind: 'room' })
    expect(reader.next()).toMatchObject({ kind: 'room' })
    expect(allocatedBytes).toBe(0)
    reader.admit()
    expect(allocatedBytes).toBe(900_000)
    const many = readerOf({ ...BOUNDS, argumentsMax: 100_000 })
    many.push(latin(`*100000\r\n${'$10\r\n0123456789\r\n'.repeat(5000)}`))
    const asked = many.next()
    expect(asked.kind).toBe('room')
    expect(asked.kind === 'room' && asked.bytes).toBeGreaterThan(RESP_UNASKED_BYTES_MAX)
    expect(many.bufferedBytes).toBeGreaterThan(0)
  })

  test('behind the one that is carried out survive that the memory of their segment is used again', () => {
    const reader = readerOf()
    const shared = Buffer.from('*1\r\n$1\r\na\r\n*1\r\n$2\r\nbc\r\n')
    reader.pushShared(shared)
    const first = reader.next()
    reader.settle()
    shared.fill(0)
    const args = [first, reader.next()].map((input) => (input.kind === 'command' ? input.args : []))
    expect(args.map((one) => Buffer.concat(one).toString())).toEqual(['a', 'bc'])
  })

  test('say where the bytes of a long argument belong, and of nothing else', () => {
    const reader = readerOf()
    expect(reader.place(10)).toBeNull()
    reader.push(latin('*3\r\n$3\r\nset\r\n$1\r\na\r\n$20000\r\nbc'))
    expect(reader.next().kind).toBe('room')
    expect(reader.place(10)).toBeNull()
    reader.admit()
    expect(reader.next().kind).toBe('more')
    const place = reader.place(10)
    expect(place).toHaveLength(10)
    place?.fill(100)
    reader.placed(4)
    expect([reader.place(10)?.byteOffset, reader.place(1e6)?.length, reader.missingBytes]).toEqual([6, 19_994, 19_994])
    reader.place(1e6)?.fill(101)
    reader.placed(19_994)
    expect(reader.place(10)).toBeNull()
    reader.push(latin('\r\n'))
    const input = reader.next()
    const value = input.kind === 'command' ? Buffer.from(input.args[2] ?? []).toString() : ''
    expect(value).toBe(`bcdddd${'e'.repeat(19_994)}`)
  })

  test('know whether one is half there, and how much is missing', () => {
    const reader = readerOf()
    expect(reader.isHalfThere).toBe(false)
    reader.push(latin('*2\r\n$3\r\nget\r\n$100\r\nab'))
    expect(reader.next().kind).toBe('more')
    expect([reader.isHalfThere, reader.missingBytes]).toEqual([true, 98])
    reader.push(latin(`${'c'.repeat(98)}\r\n`))
    expect(reader.next().kind).toBe('command')
    expect([reader.next().kind, reader.isHalfThere, reader.missingBytes]).toEqual(['more', false, 0])
  })

  test('typed by hand are split at spaces, with quotes and escapes', () => {
    expect(splitInline(`set  "a b\\x41\\n\\"" 'it\\'s'  x`)).toEqual(['set', 'a bA\n"', "it's", 'x'])
    expect(splitInline('   ')).toEqual([])
    for (const broken of ['"a', "'a", '"a"b', "'a'b"]) expect(splitInline(broken)).toBeNull()
  })
})

test('numbers are read as Redis reads them', () => {
  const read = (text: string): number | null => parseRespInteger(latin(text))
  expect(['0', '7', '-7', '9007199254740991'].map(read)).toEqual([0, 7, -7, 9_007_199_254_740_991])
  for (const none of ['', '-', '+1', '01', '-0', '-01', ' 1', '1 ', '1a', '9007199254740992', '1e3', '0x1'])
    expect(read(none), none).toBeNull()
  fc.assert(
    fc.property(fc.maxSafeInteger(), (value) => {
      expect(read(String(value))).toBe(value === 0 ? 0 : value)
    }),
  )
})

const leaf: fc.Arbitrary<RespReply> = fc.oneof(
  fc.string({ unit: 'grapheme-ascii' }).map((text): RespReply => ({ kind: 'status', text })),
  fc.string({ unit: 'grapheme-ascii' }).map((text): RespReply => ({ kind: 'error', text })),
  fc.maxSafeInteger().map((value): RespReply => ({ kind: 'integer', value: value === 0 ? 0 : value })),
  fc.uint8Array({ maxLength: 40 }).map((bytes): RespReply => ({ kind: 'bytes', bytes })),
  fc
    .integer({ min: 8000, max: 12_000 })
    .map((bytes): RespReply => ({ kind: 'bytes', bytes: new Uint8Array(bytes).fill(13) })),
  fc.string({ unit: 'grapheme' }).map((text): RespReply => ({ kind: 'text', text })),
  fc.constant<RespReply>({ kind: 'null' }),
)
const { reply } = fc.letrec<{ reply: RespReply }>((tie) => ({
  reply: fc.oneof(
    { maxDepth: 3 },
    leaf,
    fc.record({
      kind: fc.constantFrom('array', 'set'),
      items: fc.array(tie('reply'), { maxLength: 4 }),
    }) as fc.Arbitrary<RespReply>,
    fc
      .array(fc.tuple(tie('reply'), tie('reply')), { maxLength: 3 })
      .map((entries): RespReply => ({ kind: 'map', entries })),
  ),
}))

/** What a client of this version reads. */
function seen(written: RespReply, version: 2 | 3): RespValue {
  const all = (items: readonly RespReply[]): RespValue[] => items.map((item) => seen(item, version))
  if (written.kind === 'text') return { kind: 'bytes', bytes: new Uint8Array(Buffer.from(written.text)) }
  if (written.kind === 'array' || written.kind === 'set')
    return { kind: version === 2 ? 'array' : written.kind, items: all(written.items) }
  if (written.kind !== 'map') return written
  if (version === 2) return { kind: 'array', items: all(written.entries.flat()) }
  return { kind: 'map', entries: written.entries.map(([key, value]) => [seen(key, 3), seen(value, 3)] as const) }
}

function valuesOf(segments: readonly Uint8Array[]): RespValue[] {
  const bounds = { bytesMax: 1_000_000, itemsMax: 100, allocate: (bytes: number) => new Uint8Array(bytes) }
  const reader = new RespReplyReader(bounds)
  const values: RespValue[] = []
  for (const segment of segments) {
    reader.push(segment)
    for (let read = reader.next(); read.kind !== 'more'; read = reader.next()) {
      if (read.kind === 'broken') throw new Error(read.message)
      values.push(read.value)
    }
  }
  return values
}

describe('replies', () => {
  test('are read as they were written, in both versions, however the stream is cut', () => {
    fc.assert(
      fc.property(fc.array(reply, { maxLength: 5 }), fc.constantFrom(2, 3), places, (replies, version, cuts) => {
        const writer = new RespReplyWriter()
        writer.version = version
        for (const one of replies) writer.write(one)
        const bytes = Buffer.concat(writer.take())
        expect(valuesOf(cut(bytes, cuts))).toEqual(replies.map((one) => seen(one, version)))
      }),
      { numRuns: runs(60) },
    )
  })

  test('pass long bytes on without a copy, with the line before them in one piece', () => {
    const writer = new RespReplyWriter()
    const bytes = new Uint8Array(100_000)
    writer.write({ kind: 'bytes', bytes })
    const [line, payload, end, ...rest] = writer.take()
    expect(Buffer.from(line ?? []).toString()).toBe('$100000\r\n')
    expect(payload).toBe(bytes)
    expect([Buffer.from(end ?? []).toString(), rest]).toEqual(['\r\n', []])
  })

  test('of version 3 that we do not send are read all the same', () => {
    const text =
      '|1\r\n+ttl\r\n:5\r\n#t\r\n,1.5\r\n,-inf\r\n(123456789012345678901\r\n!5\r\nERR x\r\n=7\r\ntxt:abc\r\n>1\r\n_\r\n*-1\r\n'
    expect(valuesOf([latin(text)])).toEqual([
      { kind: 'boolean', value: true },
      { kind: 'double', value: 1.5 },
      { kind: 'double', value: -Infinity },
      { kind: 'bigNumber', text: '123456789012345678901' },
      { kind: 'error', text: 'ERR x' },
      { kind: 'bytes', bytes: new Uint8Array(latin('abc')) },
      { kind: 'push', items: [{ kind: 'null' }] },
      { kind: 'null' },
    ])
  })

  test.each([
    'x\r\n',
    '$1000001\r\n',
    '*101\r\n',
    '$-2\r\n',
    ':x\r\n',
    '#x\r\n',
    '+a\n',
    '$1\r\nabc',
    '*1\r\n'.repeat(17),
  ])('that make no sense, or ask too much, break the stream: %j', (text) => {
    expect(() => valuesOf([latin(text)])).toThrow('RESP was expected')
  })
})
