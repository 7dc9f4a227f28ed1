/** Two tenants over every door: nothing of one shows to the other, in answers, listings, metrics, or in the time that an answer takes. */
import { createHash } from 'node:crypto'
import { connect as connectTls, type TLSSocket } from 'node:tls'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { GrpcClient } from '../../src/api/grpc-client.ts'
import { momentsOf } from '../../src/core/moments.ts'
import { parseTenantId } from '../../src/core/ids.ts'
import { createAuthority, type Authority, type Identity } from '../contracts/certificates.ts'
import { runs } from '../effort.ts'
import { openTestServer, type TestServer } from '../test-server.ts'

const TENANTS = { anna: parseTenantId('anna'), ben: parseTenantId('ben') } as const
type TenantName = keyof typeof TENANTS

/** What a tenant can ask through one door. */
interface Asker {
  put(name: string, bytes: Uint8Array): Promise<void>
  get(name: string): Promise<Uint8Array | null>
  has(name: string): Promise<boolean>
  /** All that the door lists; null where it lists nothing. */
  list(): Promise<string | null>
  close(): void
}

let authority: Authority
let identities: Record<TenantName, Identity>
let node: TestServer
beforeAll(async () => {
  authority = await createAuthority('test authority')
  const [server, anna, ben] = await Promise.all([
    authority.issue('localhost'),
    authority.issue('anna'),
    authority.issue('ben'),
  ])
  identities = { anna, ben }
  const writer = (name: TenantName) => ({ tenant: TENANTS[name], role: 'writer', name }) as const
  node = await openTestServer({
    doors: ['http', 'grpc', 'resp', 'lm'],
    // By certificate, since lm:// has no other way to say who it is.
    tls: { ...server, clientCa: authority.cert },
    tokens: { anna: writer('anna'), ben: writer('ben') },
  })
})
afterAll(() => node.close())

/** One connection with one question at a time; answers are as long as `isWhole` says. */
async function exchanger(port: number, { cert, key }: Identity) {
  const socket: TLSSocket = connectTls({
    port,
    host: '127.0.0.1',
    ca: authority.cert,
    cert,
    key,
    servername: 'localhost',
  })
  await new Promise<void>((resolve, reject) => socket.once('secureConnect', resolve).once('error', reject))
  socket.setNoDelay()
  let received = Buffer.alloc(0)
  let arrived = (): void => {}
  socket.on('data', (piece: Buffer) => {
    received = Buffer.concat([received, piece])
    arrived()
  })
  return {
    ask: async (request: Uint8Array, isWhole: (answer: Buffer) => boolean): Promise<Buffer> => {
      received = Buffer.alloc(0)
      socket.write(request)
      while (!isWhole(received)) {
        await new Promise<void>((resolve) => {
          arrived = resolve
        })
      }
      return received
    },
    close: () => socket.destroy(),
  }
}

const ASKERS: Readonly<Record<string, (tenant: TenantName) => Promise<Asker>>> = {
  http: async (tenant) => {
    const wire = await exchanger(node.port('http'), identities[tenant])
    const ask = async (
      head: string,
      body: Uint8Array = new Uint8Array(0),
    ): Promise<{ status: number; body: Buffer }> => {
      const request = Buffer.concat([
        Buffer.from(
          `${head} HTTP/1.1\r\nhost: localhost\r\ncontent-type: ${body.length > 0 && head.startsWith('PUT') ? 'application/octet-stream' : 'application/json'}\r\ncontent-length: ${body.length}\r\n\r\n`,
        ),
        body,
      ])
      const answer = await wire.ask(request, (received) => {
        const end = received.indexOf('\r\n\r\n')
        const length = /content-length: (\d+)/i.exec(received.subarray(0, Math.max(0, end)).toString())?.[1]
        return end >= 0 && received.length >= end + 4 + Number(length ?? 0)
      })
      return {
        status: Number(answer.subarray(9, 12).toString()),
        body: answer.subarray(answer.indexOf('\r\n\r\n') + 4),
      }
    }
    const path = (name: string): string => `/v1/fragments/opaque/=${name}`
    return {
      put: async (name, bytes) => {
        expect((await ask(`PUT ${path(name)}`, bytes)).status).toBe(201)
      },
      get: async (name) => {
        const { status, body } = await ask(`GET ${path(name)}`)
        return status === 200 ? body : null
      },
      has: async (name) => {
        const { body } = await ask('POST /v1/has', Buffer.from(JSON.stringify({ keys: [`opaque/=${name}`] })))
        return (JSON.parse(body.toString()) as { isPresent: boolean[] }).isPresent[0] === true
      },
      list: async () => (await ask('GET /v1/fragments')).body.toString() + (await ask('GET /metrics')).body.toString(),
      close: wire.close,
    }
  },
  resp: async (tenant) => {
    const wire = await exchanger(node.port('resp'), identities[tenant])
    const command = (...parts: readonly (string | Uint8Array)[]): Uint8Array =>
      Buffer.concat([
        Buffer.from(`*${parts.length}\r\n`),
        ...parts.flatMap((part) => [
          Buffer.from(`$${Buffer.from(part).length}\r\n`),
          Buffer.from(part),
          Buffer.from('\r\n'),
        ]),
      ])
    const isLine = (answer: Buffer): boolean => answer.indexOf('\r\n') >= 0
    const isBytes = (answer: Buffer): boolean => {
      const end = answer.indexOf('\r\n')
      return end >= 0 && (answer[1] === 0x2d || answer.length >= end + 4 + Number(answer.subarray(1, end).toString()))
    }
    return {
      put: async (name, bytes) => {
        expect((await wire.ask(command('SET', name, bytes), isLine)).toString()).toBe('+OK\r\n')
      },
      get: async (name) => {
        const answer = await wire.ask(command('GET', name), isBytes)
        return answer[1] === 0x2d ? null : answer.subarray(answer.indexOf('\r\n') + 2, -2)
      },
      has: async (name) => (await wire.ask(command('EXISTS', name), isLine)).toString() === ':1\r\n',
      list: async () => {
        const keys = await wire.ask(command('KEYS', '*'), (answer) => {
          const lines = answer.toString('latin1').split('\r\n')
          return lines.length - 1 >= 1 + 2 * Number(lines[0]?.slice(1) ?? Infinity)
        })
        return `${keys.toString()} ${(await wire.ask(command('INFO'), isBytes)).toString()}`
      },
      close: wire.close,
    }
  },
  'lm://': async (tenant) => {
    const wire = await exchanger(node.port('lm'), identities[tenant])
    const header = (code: number, bytes: number, name: string): Buffer => {
      const made = Buffer.alloc(186, ' ')
      for (const [index, field] of [code, bytes, 1, 3, 1, 1, 1, 1, 1].entries()) made.writeInt32LE(field, index * 4)
      made.write(name, 36)
      return made
    }
    const isHead = (answer: Buffer): boolean => answer.length >= 36
    return {
      put: async (name, bytes) => {
        // A put is not answered; what is asked after it is.
        await wire.ask(Buffer.concat([header(1, bytes.length, name), bytes, header(5, 0, '')]), isHead)
      },
      get: async (name) => {
        const answer = await wire.ask(
          header(2, 0, name),
          (received) => isHead(received) && received.length >= 36 + received.readInt32LE(4),
        )
        return answer.readInt32LE(0) === 200 ? answer.subarray(36) : null
      },
      has: async (name) => (await wire.ask(header(3, 0, name), isHead)).readInt32LE(0) === 200,
      list: async () => null,
      close: wire.close,
    }
  },
  gRPC: async (tenant) => {
    const client = new GrpcClient({
      target: `localhost:${node.port('grpc')}`,
      tls: { ca: authority.cert, identity: identities[tenant] },
    })
    return {
      put: async (name, bytes) => {
        hashKeys.set(name, (await client.put({ payload: bytes })).key)
      },
      get: async (name) => (await client.get(keyOf(name)))?.payload ?? null,
      has: async (name) => (await client.has([keyOf(name)])).isPresent[0] === true,
      list: async () => null,
      close: () => client.close(),
    }
  },
}

/** gRPC names bytes by their hash: under which key a name was put, and one as long for a name that nobody put. */
const hashKeys = new Map<string, string>()
function keyOf(name: string): string {
  const key = hashKeys.get(name) ?? `artifact/b3:${createHash('sha256').update(name).digest('hex')}`
  // Kept, so that a key takes this side as long to find whoever put it: the times of answers are compared.
  hashKeys.set(name, key)
  return key
}

describe.each(Object.keys(ASKERS))('over %s', (door) => {
  let anna: Asker
  let ben: Asker
  const secret = Buffer.from(`what only anna knows, by ${door}`)
  const name = `anna-secret-${door.replaceAll(/\W/g, '')}`
  beforeAll(async () => {
    const open = ASKERS[door]
    if (open === undefined) throw new Error('no such door')
    ;[anna, ben] = [await open('anna'), await open('ben')]
    await anna.put(name, secret)
  })
  afterAll(() => {
    anna.close()
    ben.close()
  })

  test('one finds what it put, and the other does not, by any question', async () => {
    expect(Buffer.from((await anna.get(name)) ?? [])).toEqual(secret)
    expect(await anna.has(name)).toBe(true)
    expect(await ben.get(name)).toBeNull()
    expect(await ben.has(name)).toBe(false)
    const [listed, own] = [await ben.list(), await anna.list()]
    expect(listed ?? '').not.toContain('anna')
    if (own !== null && door === 'resp') expect(own).toContain(name)
  })

  test('the time of an answer does not tell what the other has', async () => {
    const rounds = runs(1000, 10_000)
    const times: Record<'theirs' | 'nobodys', number[]> = { theirs: [], nobodys: [] }
    const nobodys = name.replace('anna', 'nona')
    for (let round = 0; round < rounds + 200; round += 1) {
      // In an order that no clock or collector keeps step with.
      const order = Math.random() < 0.5 ? (['theirs', 'nobodys'] as const) : (['nobodys', 'theirs'] as const)
      for (const whose of order) {
        const start = performance.now()
        await ben.has(whose === 'theirs' ? name : nobodys)
        if (round >= 200) times[whose].push(performance.now() - start)
      }
    }
    // Single pauses of the machine are many times what an answer takes: they would drown what is looked for.
    expect(Math.abs(welchT(trimmed(times.theirs), trimmed(times.nobodys)))).toBeLessThan(4.5)
  })
})

function trimmed(values: readonly number[]): readonly number[] {
  return values.toSorted((a, b) => a - b).slice(0, Math.ceil(values.length * 0.95))
}

function welchT(a: readonly number[], b: readonly number[]): number {
  const [first, second] = [momentsOf(a), momentsOf(b)]
  return (first.mean - second.mean) / Math.sqrt(first.variance / a.length + second.variance / b.length)
}
