/** The same commands to a real redis-server and to the RESP door: the same answers, but for what is said here. */
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { runs } from '../effort.ts'
import { missingPrograms, type RedisServer, startRedisServer } from '../redis-server.ts'
import { connectResp, plain } from '../resp-client.ts'
import { openRespWorld, type RespWorld } from '../resp-fixtures.ts'

const missing = missingPrograms('redis-server')

const key = fc.constantFrom('a', 'b', 'c', 'key:with/odd %ü', 'x'.repeat(200))
const value = fc.oneof(
  fc.constantFrom('', '1', 'value', 'line\r\nline', 'y'.repeat(20_000), 'z'.repeat(300_000)),
  fc.string({ maxLength: 40 }),
)
const number = fc.oneof(
  fc.integer({ min: -30, max: 30 }).map(String),
  fc.constantFrom('x', '', '1.5', '01', '+1', '-0', '9007199254740993', '99999999999999999999', ' 1'),
)
/** Far enough that nothing ends while the test runs. */
const seconds = fc.constantFrom('1000', '2000', '0', '-1', 'x', '9223372036854775807')
const milliseconds = fc.constantFrom('1000000', '2000000', '0', '-5', 'x')
const atSeconds = fc.constantFrom('4000000000', '5000000000', '1', '0', '-3')
const cased = (word: string): fc.Arbitrary<string> => fc.constantFrom(word, word.toUpperCase())

const setOption = fc.oneof(
  fc.constantFrom(['nx'], ['XX'], ['get'], ['KeepTtl'], ['rubbish'], ['ex'], ['px']),
  fc.tuple(cased('ex'), seconds),
  fc.tuple(cased('px'), milliseconds),
  fc.tuple(cased('exat'), atSeconds),
)
const expireOption = fc.constantFrom('nx', 'XX', 'gt', 'lt', 'rubbish')

const command: fc.Arbitrary<readonly string[]> = fc.oneof(
  { weight: 4, arbitrary: fc.tuple(cased('set'), key, value) },
  {
    weight: 4,
    arbitrary: fc
      .tuple(key, value, fc.array(setOption, { maxLength: 3 }))
      .map(([name, text, options]) => ['set', name, text, ...options.flat()]),
  },
  { weight: 3, arbitrary: fc.tuple(cased('get'), key) },
  fc.tuple(fc.constant('setnx'), key, value),
  fc.array(key, { maxLength: 4 }).map((keys) => ['mget', ...keys]),
  fc
    .array(
      fc.oneof(
        key,
        value.map((text) => text.slice(0, 50) || 'a'),
      ),
      { maxLength: 5 },
    )
    .map((words) => ['mset', ...words]),
  fc.array(key, { maxLength: 5 }).map((keys) => ['exists', ...keys]),
  fc.array(key, { maxLength: 3 }).map((keys) => ['del', ...keys]),
  fc.array(key, { minLength: 1, maxLength: 3 }).map((keys) => ['unlink', ...keys]),
  fc.tuple(fc.constantFrom('ttl', 'persist', 'strlen', 'type', 'expiretime'), key),
  fc.tuple(fc.constantFrom('getrange'), key, number, number),
  fc.tuple(fc.constant('expire'), key, seconds, expireOption),
  fc.tuple(fc.constant('expire'), key, seconds),
  fc.tuple(fc.constant('pexpire'), key, milliseconds),
  fc.tuple(fc.constant('expireat'), key, atSeconds),
  fc.tuple(fc.constant('expireat'), key, atSeconds, expireOption, expireOption),
  fc.tuple(fc.constant('getex'), key, cased('ex'), seconds),
  fc.tuple(fc.constant('getex'), key, cased('persist')),
  fc.tuple(fc.constant('getex'), key),
  fc.tuple(fc.constant('select'), fc.constantFrom('0', 'x', '99999')),
  fc.tuple(fc.constant('keys'), fc.constantFrom('*', 'a', '[ab]', '?', 'x*', 'none')),
  fc.tuple(
    fc.constantFrom('ping', 'echo', 'get', 'ttl', 'set', 'client', 'getrange'),
    value.map((text) => text.slice(0, 50) || 'a'),
  ),
  fc.constantFrom<readonly string[]>(
    ['dbsize'],
    ['ping'],
    ['PING', 'a', 'b'],
    ['flushdb'],
    ['flushdb', 'async'],
    ['flushdb', 'later'],
    ['nonsense', 'with', 'some arguments'],
    ['nonsense'],
    ['client', 'getname'],
    ['client', 'setname', 'name'],
    ['client', 'setname', 'bad name'],
    ['client', 'nonsense'],
    ['client', 'setname'],
    ['config', 'get', 'save'],
    ['config', 'get', 'appendonly', 'databases-or-not'],
    ['config', 'nonsense'],
    ['cluster', 'info'],
    ['memory', 'usage', 'missing'],
    ['memory', 'usage'],
    ['hello', '4'],
    ['hello', 'x'],
    ['hello', '3', 'nonsense'],
    ['scan', 'x'],
    ['scan', '0', 'count', '0'],
    ['scan', '0', 'count', 'x'],
    ['scan', '0', 'match'],
    ['scan', '0', 'type', 'list', 'count', '1000'],
    ['exists'],
    ['reset'],
  ),
)

/** Where the answers differ on purpose, both are made the same. */
function comparable([name = '', ...args]: readonly string[], answer: unknown): unknown {
  const command = name.toLowerCase()
  // The order of keys is nobody's promise.
  if (command === 'keys' && Array.isArray(answer)) return new Set<unknown>(answer)
  // Time goes on between the two.
  if (command === 'ttl' && typeof answer === 'number' && answer > 0) return Math.round(answer / 100)
  if (command === 'expiretime' && typeof answer === 'number' && answer > 0) return Math.round(answer / 100)
  if (command === 'select' && args[0] === '99999') return String(answer).slice(0, 5)
  return answer
}

describe.skipIf(missing.length > 0)(`RESP beside a redis-server${missing.length > 0 ? ' (skipped)' : ''}`, () => {
  let redis: RedisServer
  let world: RespWorld
  beforeAll(async () => {
    redis = await startRedisServer({ args: ['--databases', '1'] })
    world = await openRespWorld()
  })
  afterAll(async () => {
    await world?.close()
    await redis?.stop()
  })

  const compare = async (commands: readonly (readonly string[])[], isThird = false): Promise<void> => {
    const [theirs, ours] = await Promise.all([connectResp(redis.port), connectResp(world.port)])
    try {
      for (const client of [theirs, ours]) {
        await client.call('flushdb')
        if (isThird) await client.call('hello', '3')
      }
      // One of them waits for each answer, the other sends all at once: order is kept all the same.
      for (const args of commands) ours.send(...args)
      for (const args of commands) {
        const expected = comparable(args, plain(await theirs.call(...args)))
        const found = comparable(args, plain(await ours.read()))
        expect(found, args.map((arg) => arg.slice(0, 60)).join(' ')).toEqual(expected)
      }
    } finally {
      theirs.close()
      ours.close()
    }
  }

  test('answers in the same way to any commands', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(command, { minLength: 1, maxLength: 40 }), (commands) => compare(commands)),
      {
        numRuns: runs(150),
        examples: [
          [
            [
              ['client', 'line\r\nline'],
              ['nonsense', 'line\r\nline'],
              ['ttl', 'a'],
            ],
          ],
        ],
      },
    )
  })

  test('answers in the same way when version 3 of the protocol was asked for', async () => {
    const commands = ['get a', 'set a 1', 'mget a b', 'config get save', 'set b 2 xx', 'keys *', 'nonsense']
    await compare(
      commands.map((text) => text.split(' ')),
      true,
    )
    const client = await connectResp(world.port)
    const kindOf = async (...args: readonly string[]): Promise<string> => (await client.call(...args)).kind
    expect([await kindOf('get', 'none'), await kindOf('config', 'get', 'save')]).toEqual(['null', 'array'])
    await client.call('hello', '3')
    expect([await kindOf('get', 'none'), await kindOf('config', 'get', 'save')]).toEqual(['null', 'map'])
    client.close()
  })

  test('gives with SCAN every key that is there throughout', async () => {
    const keys = Array.from({ length: 500 }, (_, index) => `key-${index}`)
    for (const port of [redis.port, world.port]) {
      const client = await connectResp(port)
      await client.call('flushdb')
      for (const name of keys) client.send('set', name, 'v')
      for (const _ of keys) await client.read()
      const found = new Set<unknown>()
      let cursor = '0'
      do {
        const answer = plain(await client.call('scan', cursor, 'match', 'key-*', 'count', '37'))
        const [next, some] = answer as [string, string[]]
        for (const name of some) found.add(name)
        // Others come and go meanwhile.
        await client.call('set', `other-${next}`, 'v')
        await client.call('del', `other-${cursor}`)
        cursor = next
      } while (cursor !== '0')
      expect(found).toEqual(new Set(keys))
      client.close()
    }
  })
})
