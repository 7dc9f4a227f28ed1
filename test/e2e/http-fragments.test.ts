import { execFile } from 'node:child_process'
import { connect } from 'node:net'
import { promisify } from 'node:util'
import { describe, expect, test } from 'vitest'
import { decodeFrameStart, encodeFrameStart, FRAGMENT_TYPE } from '../../src/api/fragment-frame.ts'
import { WHOLE_BYTES_MAX } from '../../src/server/fragment-operations.ts'
import { kvOf } from '../contracts/fabric-fixtures.ts'
import { type Answer, hashers, opaque, openHttpWorld, sendRaw } from './http-world.ts'

const world = await openHttpWorld({ isOpen: true, bodyBytesMax: 40_000_000, payloadBytesMax: 20_000_000 })
const { ask, url, port } = world

const TEN = new TextEncoder().encode('0123456789')
const TEN_HASH = hashers.b3.hash(TEN)

async function put(path: string, body: string | Uint8Array, headers: Record<string, string> = {}): Promise<Answer> {
  return ask(path, { method: 'PUT', body, headers })
}

describe('bytes under a key', () => {
  test('come back as they were put, whatever their type is said to be', async () => {
    for (const type of ['application/json', 'text/plain', 'application/octet-stream']) {
      const name = type.replace('/', '.')
      const stored = await put(opaque(name), TEN, { 'content-type': type })
      expect([stored.status, await stored.json()]).toEqual([
        201,
        { key: `opaque/=${name}`, contentHash: TEN_HASH, payloadBytes: 10, outcome: 'stored' },
      ])
      expect(await (await ask(opaque(name))).text()).toBe('0123456789')
    }
  })

  test('are replaced by others, present when they are the same, and gone after a removal', async () => {
    await put(opaque('b'), TEN)
    expect(await (await put(opaque('b'), TEN)).json()).toMatchObject({ outcome: 'present' })
    expect(await (await put(opaque('b'), 'x')).json()).toMatchObject({ outcome: 'replaced' })
    expect((await ask(opaque('b'), { method: 'DELETE' })).status).toBe(204)
    expect((await ask(opaque('b'), { method: 'DELETE' })).status).toBe(404)
    expect((await ask(opaque('b'))).status).toBe(404)
  })

  test('are put once when the put says so: of many at once, one puts', async () => {
    const puts = Array.from({ length: 12 }, (_, index) =>
      put(opaque('once'), `value ${index}`, { 'if-none-match': '*' }),
    )
    const statuses = (await Promise.all(puts)).map(({ status }) => status)
    expect(statuses.filter((status) => status === 201)).toHaveLength(1)
    expect(statuses.filter((status) => status === 412)).toHaveLength(11)
  })

  test('are refused when they are not those of their hash, and nothing is stored', async () => {
    const hash = hashers.b3.hash(new Uint8Array(3))
    const refused = await put(opaque('c'), TEN, { 'membrane-content-hash': hash })
    expect([refused.status, (await refused.json()).error.code]).toEqual([422, 'CONTENT_MISMATCH'])
    expect((await ask(opaque('c'))).status).toBe(404)
    expect((await put(`/v1/fragments/artifact/${hash}`, TEN)).status).toBe(422)
    expect((await put(`/v1/fragments/artifact/${TEN_HASH}`, TEN)).status).toBe(201)
  })

  test('are kept as long as their hints say, which change without the bytes', async () => {
    await put(opaque('hinted'), TEN, { 'membrane-ttl-ms': '60000', 'membrane-priority': 'low' })
    const revise = (body: object) =>
      ask(opaque('hinted'), {
        method: 'PATCH',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(body),
      })
    expect(await (await revise({ pin: true })).json()).toMatchObject({ pin: true, priority: 'low' })
    const kept = await (await revise({ ttlMs: null, priority: 'high' })).json()
    expect(kept).toMatchObject({ expiresAtMs: null, pin: true, priority: 'high', contentHash: TEN_HASH })
    expect((await revise({})).status).toBe(400)
    expect((await revise({ ttlMs: 1, expiresAtMs: 1 })).status).toBe(400)
    expect((await revise({ expiresAtMs: 1 })).status).toBe(404)
    expect((await ask(opaque('hinted'))).status).toBe(404)
    expect((await revise({ pin: true })).status).toBe(404)
  })

  test('are leased when they are looked up, as long as the look-up says', async () => {
    const quota = { payloadBytesMax: 100, entriesMax: 2 }
    const small = await openHttpWorld({ fabric: { quotaOf: () => quota } })
    const putSmall = async (name: string) => (await small.ask(opaque(name), { method: 'PUT', body: name })).status
    await putSmall('a')
    await putSmall('b')
    const has = (leaseMs: number) =>
      small.ask('/v1/has', {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ keys: ['opaque/=a', 'opaque/=none', 'opaque/=b'], leaseMs }),
      })
    expect(await (await has(60_000)).json()).toMatchObject({ isPresent: [true, false, true], leadingPresent: 1 })
    expect(await putSmall('c')).toBe(507)
    expect((await (await has(0)).json()).isPresent).toEqual([true, false, true])
  })

  test('are removed many at a time', async () => {
    await put(opaque('r1'), TEN)
    await put(opaque('r2'), TEN)
    const keys = ['opaque/=r1', 'opaque/=nothing', 'opaque/=r2']
    const removed = await ask('/v1/remove', {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ keys }),
    })
    expect(await removed.json()).toEqual({ removed: 2 })
  })

  test('with a context travel with their description, and are refused under another key', async () => {
    const [fragment] = kvOf(Array.from({ length: 24 }, (_, index) => index))
    if (fragment === undefined) throw new Error('no fragment')
    const frame = Buffer.concat([encodeFrameStart(fragment.description), fragment.payload])
    const headers = { 'content-type': FRAGMENT_TYPE }
    const stored = await (await ask('/v1/fragments', { method: 'POST', body: frame, headers })).json()
    expect(stored).toMatchObject({ outcome: 'stored', payloadBytes: fragment.payload.length })
    const path = `/v1/fragments/${stored.key}`
    const back = await ask(path, { headers: { accept: `${FRAGMENT_TYPE}, */*;q=0.1` } })
    const body = new Uint8Array(await back.arrayBuffer())
    const { description, payloadStart } = decodeFrameStart(body)
    expect(description).toEqual(fragment.description)
    expect(Buffer.from(body.subarray(payloadStart)).equals(fragment.payload)).toBe(true)
    const described = await (await ask(`/v1/descriptions/${stored.key}`)).json()
    expect(described).toMatchObject({ kind: 'kv', tokens: { start: 0, end: 8 }, contentHash: stored.contentHash })
    const before = world.fabric.stats().fragments
    expect((await put(path.replace('/t0/', '/t4/'), frame, headers)).status).toBe(400)
    expect(world.fabric.stats().fragments).toBe(before)
  })
})

describe('a GET', async () => {
  await put(opaque('ten'), TEN)
  const etag = `"${TEN_HASH}"`

  // RFC 9110, sections 13 and 14.
  test.each([
    ['no condition', {}, 200, '0123456789', undefined],
    ['the first bytes', { range: 'bytes=0-3' }, 206, '0123', 'bytes 0-3/10'],
    ['the last byte', { range: 'bytes=9-9' }, 206, '9', 'bytes 9-9/10'],
    ['from a byte on', { range: 'bytes=7-' }, 206, '789', 'bytes 7-9/10'],
    ['the last bytes', { range: 'bytes=-3' }, 206, '789', 'bytes 7-9/10'],
    ['more last bytes than there are', { range: 'bytes=-99' }, 206, '0123456789', 'bytes 0-9/10'],
    ['beyond the end', { range: 'bytes=5-99' }, 206, '56789', 'bytes 5-9/10'],
    ['a unit in capitals', { range: 'BYTES=1-2' }, 206, '12', 'bytes 1-2/10'],
    ['only beyond the end', { range: 'bytes=10-' }, 416, '', 'bytes */10'],
    ['no last bytes', { range: 'bytes=-0' }, 416, '', 'bytes */10'],
    ['an end before the start', { range: 'bytes=5-2' }, 200, '0123456789', undefined],
    ['several ranges', { range: 'bytes=0-1,4-5' }, 200, '0123456789', undefined],
    ['another unit', { range: 'items=0-1' }, 200, '0123456789', undefined],
    ['a range that is none', { range: 'bytes=a-b' }, 200, '0123456789', undefined],
    ['a range if it is still this', { range: 'bytes=0-0', 'if-range': etag }, 206, '0', 'bytes 0-0/10'],
    ['a range if it is still another', { range: 'bytes=0-0', 'if-range': '"x"' }, 200, '0123456789', undefined],
    ['a range if it is weakly this', { range: 'bytes=0-0', 'if-range': `W/${etag}` }, 200, '0123456789', undefined],
    ['what the client has', { 'if-none-match': etag }, 304, '', undefined],
    ['what it has weakly', { 'if-none-match': `"x", W/${etag}` }, 304, '', undefined],
    ['anything that it has', { 'if-none-match': '*' }, 304, '', undefined],
    ['what it has not', { 'if-none-match': '"x"' }, 200, '0123456789', undefined],
    ['a range of what it has', { range: 'bytes=0-0', 'if-none-match': etag }, 304, '', undefined],
    ['what it wants', { 'if-match': etag }, 200, '0123456789', undefined],
    ['anything', { 'if-match': '*' }, 200, '0123456789', undefined],
    ['another than it wants', { 'if-match': '"x"' }, 412, null, undefined],
    ['weakly what it wants', { 'if-match': `W/${etag}` }, 412, null, undefined],
  ] as const)('of %s', async (_, headers, status, body, contentRange) => {
    const answer = await ask(opaque('ten'), { headers: { ...headers } })
    const text = await answer.text()
    expect(answer.status).toBe(status)
    if (body !== null) expect(text).toBe(body)
    expect(answer.headers.get('content-range') ?? undefined).toBe(contentRange)
    if (status !== 412) expect(answer.headers.get('etag')).toBe(etag)
    const head = await ask(opaque('ten'), { method: 'HEAD', headers: { ...headers } })
    // Ranges are of GET alone; all else is the same, without the body.
    expect(head.status).toBe(status === 206 || status === 416 ? 200 : status)
    if (head.status === 200) expect(head.headers.get('content-length')).toBe('10')
    expect(await head.text()).toBe('')
  })

  test('of a large value, or a part of it, is read as it is sent', async () => {
    const large = Buffer.alloc(WHOLE_BYTES_MAX + 1_000_001, 'membrane')
    await put(opaque('large'), large)
    const whole = Buffer.from(await (await ask(opaque('large'))).arrayBuffer())
    expect(whole.equals(large)).toBe(true)
    const part = await ask(opaque('large'), { headers: { range: 'bytes=8000000-8999999' } })
    expect(Buffer.from(await part.arrayBuffer()).equals(large.subarray(8_000_000, 9_000_000))).toBe(true)
  })

  test('of an empty value has no bytes', async () => {
    expect((await put(opaque('empty'), '', { 'content-length': '0' })).status).toBe(201)
    const answer = await ask(opaque('empty'))
    expect([answer.status, answer.headers.get('content-length'), await answer.text()]).toEqual([200, '0', ''])
    expect((await ask(opaque('empty'), { headers: { range: 'bytes=0-' } })).status).toBe(416)
  })
})

describe('a body', () => {
  const request = (headers: string): string => `PUT ${opaque('raw')} HTTP/1.1\r\nhost: localhost\r\n${headers}\r\n\r\n`

  test('without its length is refused', async () => {
    const answer = await sendRaw(port, `${request('transfer-encoding: chunked')}4\r\nabcd\r\n0\r\n\r\n`, /requestId/)
    expect(answer).toMatch(/^HTTP\/1.1 411 /)
    expect(answer).toContain('INVALID_REQUEST')
  })

  test('that is too large is refused before it comes, and the connection closed', async () => {
    const answer = await sendRaw(port, request('content-length: 20000001'))
    expect(answer).toMatch(/^HTTP\/1.1 413 /)
    expect(answer).toMatch(/connection: close/i)
  })

  test('is asked for when its sender waits, and only then', async () => {
    const expecting = 'expect: 100-continue\r\nconnection: close\r\n'
    expect(await sendRaw(port, request(`${expecting}content-length: 20000001`))).toMatch(/^HTTP\/1.1 413 /)
    expect(await sendRaw(port, request(`${expecting}content-length: 4`), /100 Continue/)).toMatch(/^HTTP\/1.1 100 /)
    const { stdout } = await promisify(execFile)('curl', [
      '-sS',
      '-H',
      'Expect: 100-continue',
      '-T',
      'package.json',
      `${url}${opaque('curl')}`,
    ])
    expect(JSON.parse(stdout)).toMatchObject({ outcome: 'stored' })
  })

  test('that breaks off stores nothing and gives its room back', async () => {
    const { meters } = world.server.operations
    const first = connectAndLeave(`${request('content-length: 10000000')}${'x'.repeat(1000)}`)
    await expect.poll(() => meters.bodyBytes()).toBe(10_000_000)
    const second = connectAndLeave(`${request('content-length: 10000000')}abc`)
    await expect.poll(() => meters.bodyBytes()).toBe(20_000_000)
    second()
    await expect.poll(() => meters.bodyBytes()).toBe(10_000_000)
    first()
    await expect.poll(() => meters.bodyBytes()).toBe(0)
    expect((await ask(opaque('raw'))).status).toBe(404)
  })
})

/** Sends a part of a request; what it gives breaks the connection off. */
function connectAndLeave(bytes: string): () => void {
  const socket = connect(port, '127.0.0.1')
  socket.on('error', () => {})
  socket.write(bytes)
  return () => socket.destroy()
}
