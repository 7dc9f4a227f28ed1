import { connect } from 'node:net'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { runs } from '../../test/effort.ts'
import {
  LM_HEALTH as health,
  LmClient,
  lmExist as exist,
  lmGet as get,
  lmPut as put,
  lmRequest,
} from '../../test/lm-client.ts'
import { hostileLmPieces } from '../../test/hostile-messages.ts'
import { openTestServer, type TestServer } from '../../test/test-server.ts'
import { DEFAULT_TENANT } from '../core/ids.ts'
import { opaqueKey } from '../server/fragment-operations.ts'

let node: TestServer
beforeAll(async () => {
  node = await openTestServer({
    doors: ['lm', 'resp'],
    payloadBytesMax: 4 * 1024 * 1024,
    bodyBytesMax: 8 * 1024 * 1024,
    fabric: { bound: { payloadBytesMax: 16 * 1024 * 1024, entriesMax: 1000 } },
  })
})
afterAll(() => node.close())

const connected = (server: TestServer): LmClient => new LmClient(connect(server.port('lm'), '127.0.0.1'))

async function withClient<T>(use: (client: LmClient) => Promise<T>): Promise<T> {
  const client = connected(node)
  try {
    return await use(client)
  } finally {
    client.socket.destroy()
  }
}

/** As a capture of the wire shows it. */
const GOLDEN_PUT = [
  '01000000 03000000 01000000 03000000 01000000 02000000 20000000 10000000 80000000',
  // "m@1@0@ab@half", then 137 spaces, then the three bytes.
  `6d4031403040616240 68616c66 ${'20'.repeat(137)} 616263`,
].join('')
const GOLDEN_GET = `02000000 ${'00000000'.repeat(8)} 6d4031403040616240 68616c66 ${'20'.repeat(137)}`
const GOLDEN_FOUND = 'c8000000 03000000 01000000 03000000 02000000 20000000 10000000 80000000 01000000 616263'
const GOLDEN_MISSING = '90010000 00000000 01000000 02000000 00000000 00000000 00000000 00000000 00000000'
const hex = (text: string): Buffer => Buffer.from(text.replaceAll(' ', ''), 'hex')

describe('the lm:// door', () => {
  test('reads and writes what the wire of the first server shows, byte for byte', () =>
    withClient(async (client) => {
      client.socket.write(Buffer.concat([hex(GOLDEN_PUT), hex(GOLDEN_GET)]))
      expect((await client.read(39))?.toString('hex')).toBe(hex(GOLDEN_FOUND).toString('hex'))
      client.socket.write(get('nobody put it'))
      expect((await client.read(36))?.toString('hex')).toBe(hex(GOLDEN_MISSING).toString('hex'))
    }))

  test('gives format, dtype, shape and location back as they came, whatever they are', () =>
    fc.assert(
      fc.asyncProperty(
        fc.array(fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }), { minLength: 7, maxLength: 7 }),
        async (shape) =>
          withClient(async (client) => {
            client.socket.write(Buffer.concat([put('shaped', Buffer.from('x'), shape), get('shaped')]))
            const [format, dtype, location, ...dimensions] = shape
            expect((await client.answer())?.rest).toEqual([format, dtype, ...dimensions, location])
          }),
      ),
      { numRuns: runs(30) },
    ))

  test('answers the same however a stream is cut or joined', () =>
    fc.assert(
      fc.asyncProperty(fc.array(fc.nat({ max: 900 }), { maxLength: 12 }), async (cuts) =>
        withClient(async (client) => {
          const body = Buffer.alloc(300, 7)
          const stream = Buffer.concat([health, put('cut', body), exist('cut'), get('cut'), exist('no'), get('no')])
          const places = [0, ...cuts.toSorted((a, b) => a - b), stream.length]
          for (const [index, start] of places.entries()) {
            const end = places[index + 1]
            if (end === undefined) break
            client.socket.write(stream.subarray(start, end))
            await new Promise((resolve) => setImmediate(resolve))
          }
          const codes: (number | undefined)[] = []
          for (let index = 0; index < 5; index += 1) {
            const answer = await client.answer()
            codes.push(answer?.code)
            if (index === 2) expect(answer?.body).toEqual(body)
          }
          expect(codes).toEqual([200, 200, 200, 400, 400])
        }),
      ),
      { numRuns: runs(40) },
    ))

  test('sends a header in one segment, also before a large body', () =>
    withClient(async (client) => {
      const body = Buffer.alloc(2 * 1024 * 1024, 3)
      client.socket.write(Buffer.concat([put('large', body), get('large')]))
      expect((await client.answer())?.body.equals(body)).toBe(true)
      expect(client.segments[0]).toBeGreaterThanOrEqual(36)
    }))

  test('shares its keys with the RESP door: bytes are bytes', async () => {
    const { fragments } = node.server.operations
    const caller = { tenant: DEFAULT_TENANT, role: 'admin', name: 'test' } as const
    await fragments.putOpaque(caller, { foreignKey: Buffer.from('by resp'), payload: Buffer.from('hello') })
    await withClient(async (client) => {
      client.socket.write(Buffer.concat([get('by resp'), put('by lm', Buffer.from('there')), health]))
      // A flat row of bytes: BINARY, uint8.
      expect(await client.answer()).toMatchObject({
        code: 200,
        rest: [4, 6, 5, 0, 0, 0, 1],
        body: Buffer.from('hello'),
      })
      await client.answer()
    })
    const found = await fragments.get(caller, opaqueKey(Buffer.from('by lm')))
    expect(Buffer.from(found?.payload ?? [])).toEqual(Buffer.from('there'))
  })

  test('evicts instead of growing, and says of what has left that it is missing', () =>
    withClient(async (client) => {
      for (let index = 0; index < 20; index += 1)
        client.socket.write(put(`filling-${index}`, Buffer.alloc(2 * 1024 * 1024, index)))
      const codes: (number | undefined)[] = []
      for (let index = 0; index < 20; index += 1) {
        client.socket.write(get(`filling-${index}`))
        const answer = await client.answer()
        codes.push(answer?.code)
        if (answer?.code === 200) expect(answer.body.every((byte) => byte === index)).toBe(true)
      }
      expect(codes).toContain(200)
      expect(codes).toContain(400)
      expect(node.fabric.stats().contentBytes).toBeLessThanOrEqual(16 * 1024 * 1024)
    }))

  test.each([
    ['an unknown command', lmRequest([9, 0, 0, 0, 0, 0, 0, 0, 0], 'k')],
    ['a negative length', lmRequest([1, -1, 0, 0, 0, 0, 0, 0, 0], 'k')],
    ['a length above the bound', lmRequest([1, 2 ** 31 - 1, 0, 0, 0, 0, 0, 0, 0], 'k')],
    ['a length where there is no body', lmRequest([2, 5, 0, 0, 0, 0, 0, 0, 0], 'k')],
    ['no key', lmRequest([2, 0, 0, 0, 0, 0, 0, 0, 0], '')],
    [
      'a key that is no UTF-8',
      Buffer.concat([get('').subarray(0, 36), Buffer.from('ff', 'hex'), get('').subarray(37)]),
    ],
  ])('ends a connection that sends %s, and serves the others', (_what, bytes) =>
    withClient(async (other) => {
      await withClient(async (client) => {
        client.socket.write(bytes)
        expect(await client.read(1)).toBeNull()
        expect(client.isClosed).toBe(true)
      })
      other.socket.write(health)
      expect((await other.answer())?.code).toBe(200)
    }),
  )

  test('stores nothing of a body that broke off, and gives its room back', async () => {
    await withClient(async (client) => {
      client.socket.write(put('broken', Buffer.alloc(1024 * 1024)).subarray(0, 500_000))
      await new Promise((resolve) => client.socket.write('', resolve))
    })
    await withClient(async (client) => {
      // Together as much as all bodies may take.
      for (const key of ['a', 'b', 'c']) client.socket.write(put(key, Buffer.alloc(4 * 1024 * 1024)))
      client.socket.write(exist('broken'))
      expect((await client.answer())?.code).toBe(400)
    })
  })

  test('outlives whatever is sent', () =>
    fc.assert(
      fc.asyncProperty(hostileLmPieces, async (pieces) => {
        await withClient(async (client) => {
          for (const piece of pieces) client.socket.write(piece)
          client.socket.end()
          while (!client.isClosed && (await client.read(36)) !== null);
        })
        await withClient(async (client) => {
          client.socket.write(health)
          expect((await client.answer())?.code).toBe(200)
        })
      }),
      { numRuns: runs(60, 3000) },
    ))

  test('refuses to open where nobody could come in', async () => {
    await expect(openTestServer({ doors: ['lm'], tokens: {} })).rejects.toMatchObject({ code: 'INVALID_CONFIG' })
  })

  test('ends after the request under way when it is closed', async () => {
    const own = await openTestServer({ doors: ['lm'] })
    const client = connected(own)
    client.socket.write(health)
    expect((await client.answer())?.code).toBe(200)
    await own.close()
    expect(await client.read(1)).toBeNull()
  })
})
