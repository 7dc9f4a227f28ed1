import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { type AddressInfo, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { generate } from 'selfsigned'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { MembraneClient } from '../../src/api/client.ts'
import { fragmentKey } from '../../src/core/fragment-key.ts'
import { type GenerationEvent, openClient } from '../../src/server/client-library.ts'
import { type MembraneServer, startMembraneServer } from '../membrane-server.ts'

let server: MembraneServer
let client: MembraneClient

beforeAll(async () => {
  server = await startMembraneServer()
  client = await openClient({ url: server.url })
})

afterAll(async () => {
  await client.close()
  await server.stop()
})

const keyOf = (name: string): string => fragmentKey({ kind: 'opaque', name: new TextEncoder().encode(name) })

describe('a client', () => {
  test('puts bytes and gets them back, of any size', async () => {
    for (const bytes of [0, 1, 65_535, 256 * 1024, 4 * 1024 ** 2, 40 * 1024 ** 2]) {
      const payload = randomBytes(bytes)
      const { key, outcome } = await client.put({ key: keyOf(`size-${bytes}`), payload })
      expect(outcome).toBe('stored')
      const found = await client.get(key)
      expect(found?.payloadBytes).toBe(bytes)
      expect(Buffer.compare(found?.payload ?? Buffer.alloc(1), payload)).toBe(0)
    }
  })

  test('reads into memory that the caller has', async () => {
    const payload = randomBytes(100_000)
    const { key } = await client.put({ payload })
    const into = new Uint8Array(200_000)
    const found = await client.get(key, { into })
    expect(found?.payload.buffer).toBe(into.buffer)
    expect(Buffer.compare(into.subarray(0, 100_000), payload)).toBe(0)
    await expect(client.get(key, { into: new Uint8Array(10) })).rejects.toMatchObject({
      code: 'INVALID_REQUEST',
      details: { neededBytes: 100_000 },
    })
  })

  test('reads a span', async () => {
    const payload = randomBytes(1000)
    const { key } = await client.put({ payload })
    const found = await client.get(key, { span: { start: 10, end: 20 } })
    expect(found?.payload).toEqual(payload.subarray(10, 20))
    expect(found?.payloadBytes).toBe(1000)
    const nothing = await client.get(key, { span: { start: 10, end: 10 } })
    expect(nothing?.payload.length).toBe(0)
  })

  test('misses without an error', async () => {
    expect(await client.get(keyOf('nowhere'))).toBeNull()
    const { key } = await client.put({ key: keyOf('here'), payload: randomBytes(10) })
    expect(await client.has([key, keyOf('nowhere')])).toMatchObject({ isPresent: [true, false], leadingPresent: 1 })
  })

  test('reads piece by piece, whole or a span, and lets go of what is left', async () => {
    const payload = randomBytes(3_000_000)
    const { key } = await client.put({ payload })
    const whole: Buffer[] = []
    for await (const piece of (await client.stream(key))?.pieces ?? []) whole.push(Buffer.from(piece))
    expect(Buffer.concat(whole).equals(payload)).toBe(true)
    const part: Buffer[] = []
    const span = { start: 1_000_001, end: 2_000_000 }
    for await (const piece of (await client.stream(key, { span }))?.pieces ?? []) part.push(Buffer.from(piece))
    expect(Buffer.concat(part).equals(payload.subarray(span.start, span.end))).toBe(true)
    for await (const _ of (await client.stream(key))?.pieces ?? []) break
    expect(await client.stream(keyOf('nowhere'))).toBeNull()
  })

  test('sends pieces, again when it must, and finds when they are not those that were announced', async () => {
    const payload = randomBytes(500_000)
    const pieces = async function* (): AsyncGenerator<Uint8Array> {
      for (let at = 0; at < payload.length; at += 70_000) yield payload.subarray(at, at + 70_000)
    }
    const { key } = await client.put({ key: keyOf('pieces'), payload: pieces, payloadBytes: payload.length })
    expect((await client.get(key))?.payload).toEqual(payload)
    for (const payloadBytes of [payload.length - 1, payload.length + 1])
      await expect(client.put({ key: keyOf('wrong'), payload: pieces, payloadBytes })).rejects.toMatchObject({
        code: 'INVALID_REQUEST',
      })
    expect(await client.get(keyOf('wrong'))).toBeNull()
  })

  test('is refused bytes that have another hash than it names', async () => {
    const { contentHash } = await client.put({ payload: randomBytes(10) })
    await expect(client.put({ key: keyOf('other'), payload: randomBytes(10), contentHash })).rejects.toMatchObject({
      code: 'CONTENT_MISMATCH',
    })
  })

  test('describes, lists in pages, revises and removes', async () => {
    const keys: string[] = []
    for (let index = 0; index < 30; index += 1)
      keys.push((await client.put({ key: keyOf(`list-${index}`), payload: randomBytes(8), ttlMs: 600_000 })).key)
    const listed: string[] = []
    for await (const { key } of client.list(keyOf('list-'))) listed.push(key)
    expect(listed.toSorted()).toEqual(keys.toSorted())
    const [first = ''] = keys
    expect(await client.describe(first)).toMatchObject({
      key: first,
      payloadBytes: 8,
      isPinned: false,
      priority: 'normal',
    })
    expect(await client.revise(first, { ttlMs: null, isPinned: true, priority: 'high' })).toMatchObject({
      expiresAtMs: null,
      isPinned: true,
      priority: 'high',
    })
    expect(await client.head(first)).toMatchObject({ key: first, payloadBytes: 8, expiresAtMs: null })
    expect(await client.remove(keys)).toBe(30)
    expect(await client.describe(first)).toBeNull()
    expect(await client.head(first)).toBeNull()
  })

  test.each(['a b', 'ä/ö', '%2F', '..', '?q=1#x', 'x'.repeat(200), '\u{1F9A6}', '/'])(
    'takes the name %j',
    async (name) => {
      const payload = randomBytes(20)
      const { key } = await client.put({ key: keyOf(name), payload })
      expect(key).toBe(keyOf(name))
      expect((await client.get(key))?.payload).toEqual(payload)
      expect(await client.describe(key)).toMatchObject({ key })
      expect(await client.remove([key])).toBe(1)
    },
  )

  test('keeps what it leases until it lets go, and says when it is gone', async () => {
    const { key } = await client.put({ payload: randomBytes(10) })
    const lease = await client.lease([key, keyOf('nowhere')], { leaseMs: 60 })
    expect(lease.isPresent).toEqual([true, false])
    const lost = new Promise((resolve) => lease.lost.addEventListener('abort', resolve))
    await client.remove([key])
    await lost
    expect(lease.lost.reason).toMatchObject({ code: 'NOT_FOUND' })
    lease.release()
  })

  test('tells of sessions, tenants, quotas and health', async () => {
    const { key } = await client.put({ payload: randomBytes(10) })
    await client.accessed('session', [key])
    expect(await client.closeSession('session')).toBe(true)
    expect(await client.closeSession('another')).toBe(false)
    const quota = { payloadBytesMax: 1e9, entriesMax: 1e6 }
    expect(await client.admin.setQuota('somebody', quota)).toMatchObject({ tenant: 'somebody', quota })
    await client.admin.removeQuota('somebody')
    expect(await client.admin.tenant('somebody')).toMatchObject({ fragments: 0, quota: null })
    expect(await client.admin.usage()).toMatchObject({ tenant: 'default' })
    expect((await client.admin.tenants()).map(({ tenant }) => tenant)).toContain('default')
    expect(await client.admin.scrub()).toMatchObject({ damaged: 0, isComplete: true })
    expect(await client.admin.health()).toMatchObject({ status: 'ok' })
  })

  test('is told that there is no engine', async () => {
    await expect(client.rebuild({ prompt: 'a' })).rejects.toMatchObject({ code: 'NOT_SUPPORTED' })
    const answer = client.generate({ prompt: 'a' })
    await expect(answer.next()).rejects.toMatchObject({ code: 'NOT_SUPPORTED' })
  })

  test('is refused nonsense before anything is sent', async () => {
    for (const url of ['localhost:80', 'ftp://a', 'http://user:secret@a', 'http://a?b'])
      await expect(openClient({ url })).rejects.toMatchObject({ code: 'INVALID_CONFIG' })
    await expect(openClient({ url: 'http://a', token: 'a\r\nb: c' })).rejects.toMatchObject({ code: 'INVALID_CONFIG' })
    await expect(openClient({ url: 'http://a', tls: {} })).rejects.toMatchObject({ code: 'INVALID_CONFIG' })
    await expect(openClient({ url: 'http://a', retriesMax: -1 })).rejects.toMatchObject({ code: 'INVALID_CONFIG' })
    await expect(client.put({ payload: randomBytes(1), mediaType: 'a\r\nb: c' })).rejects.toMatchObject({
      code: 'INVALID_REQUEST',
    })
  })

  test('ends with its deadline, and when it is cancelled', async () => {
    await expect(client.get(keyOf('x'), { signal: AbortSignal.abort() })).rejects.toMatchObject({ code: 'ABORTED' })
    const idle = createServer(() => {})
    await new Promise<void>((resolve) => idle.listen(0, '127.0.0.1', resolve))
    const { port } = idle.address() as AddressInfo
    const slow = await openClient({ url: `http://127.0.0.1:${port}`, timeoutMs: 20 })
    await expect(slow.get(keyOf('x'))).rejects.toMatchObject({ code: 'DEADLINE_EXCEEDED' })
    await expect(slow.has([keyOf('x')])).rejects.toMatchObject({ code: 'DEADLINE_EXCEEDED' })
    await slow.close()
    idle.close()
  })
})

describe('a client of a node with an engine', () => {
  test('makes ready, explains and continues a prompt', async () => {
    const node = await startMembraneServer({ args: ['--compute', 'simulated'] })
    const engine = await openClient({ url: node.url })
    try {
      const prompt = 'The otter and the stone. '.repeat(20)
      const first = await engine.rebuild({ prompt, wantsKvHash: true })
      expect(first.prefilledTokens).toBeGreaterThan(0)
      expect(first.kvHash).toMatch(/^b3:/)
      expect((await engine.explain({ prompt })).steps.length).toBeGreaterThan(0)
      const events: GenerationEvent[] = []
      for await (const event of engine.generate({ prompt, maxTokens: 5, session: 'a' })) events.push(event)
      const last = events.at(-1)
      expect(last).toMatchObject({ kind: 'end', isSimulated: true })
      const text = events.flatMap((event) => (event.kind === 'text' ? [event.text] : [])).join('')
      expect(last?.text).toBe(text)
      expect(last?.kind === 'end' && (last.reusedTokens ?? 0)).toBeGreaterThan(0)
    } finally {
      await engine.close()
      await node.stop()
    }
  })
})

describe('a client over TLS', () => {
  test('needs the authority and a credential, and says which is missing', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'membrane-client-tls-'))
    const days = 86_400_000
    const made = await generate([{ name: 'commonName', value: 'localhost' }], {
      notAfterDate: new Date(Date.now() + 100 * days),
      extensions: [{ name: 'subjectAltName', altNames: [{ type: 7, ip: '127.0.0.1' }] }],
    })
    const file = (name: string, text: string): string => {
      writeFileSync(join(folder, name), text, { mode: 0o600 })
      return join(folder, name)
    }
    const [cert, key] = [file('cert.pem', made.cert), file('key.pem', made.private)]
    const credentials = join(folder, 'credentials.yaml')
    const main = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url))
    const words = [
      'token',
      'new',
      '--name',
      'ada',
      '--role',
      'writer',
      '--tenant',
      'ada',
      '--file',
      credentials,
      '--json',
    ]
    const token = (
      JSON.parse(execFileSync(process.execPath, [main, ...words], { encoding: 'utf8' })) as { token: string }
    ).token
    const args = ['--compute', 'none', '--tls-cert', cert, '--tls-key', key, '--credentials', credentials]
    const secure = await startMembraneServer({ args, ca: made.cert })
    const { url } = secure
    const once = { retriesMax: 1, retryDelayMs: 1 }
    const open = (options: object) => openClient({ url, ...once, ...options })
    const known = await open({ token, tls: { ca: made.cert } })
    const anonymous = await open({ tls: { ca: made.cert } })
    const untrusting = await open({ token })
    try {
      const payload = randomBytes(4_000_000)
      const { key: stored } = await known.put({ payload })
      expect(Buffer.compare((await known.get(stored))?.payload ?? Buffer.alloc(0), payload)).toBe(0)
      expect(await known.admin.usage()).toMatchObject({ tenant: 'ada' })
      await expect(known.admin.tenants()).rejects.toMatchObject({ code: 'FORBIDDEN' })
      await expect(anonymous.get(stored)).rejects.toMatchObject({ code: 'UNAUTHENTICATED' })
      await expect(anonymous.has([stored])).rejects.toMatchObject({ code: 'UNAUTHENTICATED' })
      await expect(untrusting.get(stored)).rejects.toMatchObject({ code: 'PEER_UNAVAILABLE' })
      await expect(untrusting.has([stored])).rejects.toMatchObject({ code: 'PEER_UNAVAILABLE' })
    } finally {
      await Promise.all([known.close(), anonymous.close(), untrusting.close()])
      await secure.stop()
      rmSync(folder, { recursive: true, force: true })
    }
  })
})
