import { createHash } from 'node:crypto'
import { describe, expect, test, vi } from 'vitest'
import { encodeFrameStart, FRAGMENT_TYPE } from '../../src/api/fragment-frame.ts'
import { MembraneError } from '../../src/core/errors.ts'
import { isTrustingLoopback } from '../../src/doors/http-host.ts'
import { loadSemanticPorts } from '../../src/server/semantic-ports.ts'
import { BYTES, kvOf } from '../contracts/fabric-fixtures.ts'
import { bytesOf } from '../contracts/store-fixtures.ts'
import { type HttpWorld, opaque, openHttpWorld, sendRaw } from './http-world.ts'

const world = await openHttpWorld()
const trusting = await openHttpWorld({ isOpen: true })
const { ask, port } = world

function post(path: string, body: unknown, { as = 'admin', via = world }: { as?: string; via?: HttpWorld } = {}) {
  const init = { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) }
  return via.ask(path, { ...init, as })
}

describe('routes of version 0', () => {
  const payload = Buffer.from('the bytes')
  const sha256 = createHash('sha256').update(payload).digest('hex')
  const fragment = {
    content_hash: sha256,
    embedding: [0.5, -1],
    model_id: 'llama',
    layer_range: [0, 3],
    token_span: [0, 127],
    size: payload.length,
    ttl: 3600,
    reuse_score: 0.5,
    version_id: 3,
  }
  const base64 = payload.toString('base64')

  test('store bytes with what was said of them, and give it back', async () => {
    const stored = await post('/store', { fragment, payload: base64, is_primary: true })
    expect([stored.status, await stored.json()]).toEqual([200, { success: true, content_hash: `s256:${sha256}` }])
    const key = `artifact/s256:${sha256}`
    const retrieved = await ask(`/retrieve?content_hash=${sha256}`)
    expect(await retrieved.json()).toEqual({
      found: true,
      fragment: { ...fragment, content_hash: `s256:${sha256}`, is_primary: true, key },
    })
    expect(await (await ask(`/v1/fragments/${key}`)).text()).toBe('the bytes')
    const { node_id, digest } = await (await ask('/inventory')).json()
    expect([node_id, digest]).toEqual(['node-1', { [`s256:${sha256}`]: 3 }])
    expect((await post('/replicate', { fragment: { ...fragment, payload: base64 } })).status).toBe(200)
  })

  test('refuse a fragment without bytes, with others, or of another length', async () => {
    const answers = [
      await post('/store', { fragment }),
      await post('/store', { fragment: { ...fragment, content_hash: 'a'.repeat(64) }, payload: base64 }),
      await post('/store', { fragment: { ...fragment, size: 3 }, payload: base64 }),
      await post('/store', {
        fragment: { ...fragment, content_hash: 'd41d8cd98f00b204e9800998ecf8427e' },
        payload: base64,
      }),
    ]
    const codes = await Promise.all(answers.map(async (answer) => [answer.status, (await answer.json()).error.code]))
    expect(codes).toEqual([
      [422, 'PAYLOAD_REQUIRED'],
      [422, 'CONTENT_MISMATCH'],
      [422, 'CONTENT_MISMATCH'],
      [400, 'INVALID_REQUEST'],
    ])
  })

  test('answer 404 for what is not there, and 501 for a prefill without an engine', async () => {
    expect((await ask(`/retrieve?content_hash=${'0'.repeat(64)}`)).status).toBe(404)
    expect((await ask('/retrieve?content_hash=nonsense')).status).toBe(400)
    expect((await post('/prefill', { prompt_tokens: [1, 2] })).status).toBe(501)
  })

  test.each(['peers', 'sync', 'join', 'leave', 'gossip'])('/%s is of a cluster, and there is none', async (name) => {
    const answer =
      name === 'peers'
        ? await ask('/peers')
        : await post(`/${name}`, name === 'join' ? { host: '169.254.169.254', port: 80 } : {})
    expect([answer.status, (await answer.json()).error.code]).toEqual([503, 'CLUSTER_OFF'])
  })

  test('say how the node is from what was observed', async () => {
    const beat = await (await ask('/heartbeat')).json()
    expect(beat).toMatchObject({ node_id: 'node-1', healthy: true })
    expect(beat.load).toBeGreaterThanOrEqual(0)
    expect(beat.load).toBeLessThanOrEqual(1)
    expect(beat.memory_used_bytes).toBeGreaterThan(10_000_000)
    expect(beat.memory_limit_bytes).toBeGreaterThan(beat.memory_used_bytes)
    const old = await (await ask('/metrics', { headers: { accept: 'application/json' } })).json()
    expect(old).toMatchObject({ node_id: 'node-1', fragment_count: beat.fragment_count })
  })
})

describe('a listing', () => {
  test('has what is there throughout exactly once, and gives a page again', async () => {
    const as = 'writer@lister'
    const names = Array.from({ length: 25 }, (_, index) => `k${index}`)
    for (const name of names) await ask(opaque(name), { method: 'PUT', body: name, as })
    const seen: string[] = []
    let cursor: string | null = null
    for (let page = 0; page < 4; page++) {
      const query: string = cursor === null ? '' : `&cursor=${cursor}`
      const path = `/v1/fragments?limit=10&prefix=opaque/${query}`
      const first = await (await ask(path, { as })).json()
      if (cursor !== null) expect(await (await ask(path, { as })).json()).toEqual(first)
      seen.push(...first.fragments.map(({ key }: { key: string }) => key))
      cursor = first.cursor
      // Between the pages, others come and go.
      await ask(opaque(`new${page}`), { method: 'PUT', body: 'x', as })
      await ask(opaque(`k${page}`), { method: 'DELETE', as })
      if (cursor === null) break
    }
    const lasting = names.slice(4).map((name) => `opaque/=${name}`)
    for (const key of lasting) expect(seen.filter((one) => one === key)).toHaveLength(1)
  })

  test('is of its tenant alone', async () => {
    await ask(opaque('mine'), { method: 'PUT', body: 'x', as: 'writer@one' })
    await ask(opaque('mine2'), { method: 'PUT', body: 'x', as: 'writer@one' })
    const page = await (await ask('/v1/fragments?limit=1', { as: 'reader@one' })).json()
    const stolen = await ask(`/v1/fragments?cursor=${page.cursor}`, { as: 'reader@two' })
    expect([stolen.status, (await stolen.json()).error.code]).toEqual([400, 'INVALID_REQUEST'])
    expect((await (await ask('/v1/fragments', { as: 'reader@two' })).json()).fragments).toEqual([])
  })
})

describe('sessions', () => {
  test('are reported and closed', async () => {
    await ask(opaque('s1'), { method: 'PUT', body: 'x' })
    await ask(opaque('s2'), { method: 'PUT', body: 'y' })
    expect((await post('/v1/sessions/chat', { accessed: ['opaque/=s1', 'opaque/=s2'] })).status).toBe(204)
    expect(world.fabric.of().neighbours('opaque/=s1', 5)).toMatchObject([{ key: 'opaque/=s2' }])
    expect(await (await ask('/v1/sessions/chat', { method: 'DELETE' })).json()).toEqual({ wasKnown: true })
    expect(await (await ask('/v1/sessions/another/close', { method: 'POST' })).json()).toEqual({ wasKnown: false })
  })

  test('are found by what they say only where there is a semantic index', async () => {
    const answer = await post('/v1/search', { text: 'the sea', model: 'ab'.repeat(32) })
    expect([answer.status, (await answer.json()).error.code]).toEqual([501, 'NOT_SUPPORTED'])
  })

  test('are found by what they say where there is one: the nearest first, of this tenant only', async () => {
    const semantic = await openHttpWorld({ fabric: { semantic: await loadSemanticPorts() } })
    const [fragment] = kvOf(Array.from({ length: 8 }, (_, index) => index))
    if (fragment === undefined) throw new Error('no fragment')
    const { model } = fragment.description.signature
    const putSaying = async (text: string, seed: number, as: string): Promise<string> => {
      const description = { ...BYTES, signature: { ...BYTES.signature, model }, text }
      const body = Buffer.concat([encodeFrameStart(description), bytesOf(64, seed)])
      const headers = { 'content-type': FRAGMENT_TYPE }
      const stored = await semantic.ask('/v1/fragments', { method: 'POST', body, headers, as })
      expect(stored.status).toBe(201)
      return (await stored.json()).key
    }
    const search = async (text: string, more: object, as: string) => {
      const answer = await post('/v1/search', { text, model, ...more }, { as, via: semantic })
      expect(answer.status).toBe(200)
      return (await answer.json()).fragments
    }
    const texts = ['a library that compresses files', 'a game of cards for one player', 'a text editor for programmers']
    const keys: string[] = []
    for (const [seed, text] of texts.entries()) keys.push(await putSaying(text, seed, 'writer@anna'))
    await putSaying('archive compression of many files', 9, 'writer@ben')

    const found = await search('archive compression', { similarityMin: -1 }, 'reader@anna')
    expect(found[0]).toMatchObject({ key: keys[0], text: texts[0], payloadBytes: 64 })
    expect(found.map(({ key }: { readonly key: string }) => key).sort()).toEqual(keys.toSorted())
    const similarities = found.map(({ similarity }: { readonly similarity: number }) => similarity)
    expect(similarities).toEqual(similarities.toSorted((one: number, other: number) => other - one))
    expect(await search('playing cards', { limit: 1 }, 'reader@anna')).toMatchObject([{ key: keys[1] }])
    expect(await search('archive compression', { similarityMin: 0.999 }, 'reader@anna')).toEqual([])
    expect(await search('archive compression', { similarityMin: -1 }, 'reader@carl')).toEqual([])
    expect(await search('a game of cards for one player', { similarityMin: -1 }, 'reader@ben')).toHaveLength(1)
  })
})

describe('administration', () => {
  test('bounds tenants, erases them, and is written down', async () => {
    const as = 'writer@small'
    const quota = { payloadBytesMax: 100, entriesMax: 2 }
    const put = await ask('/v1/tenants/small/quota', {
      method: 'PUT',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(quota),
    })
    expect(await put.json()).toEqual({ tenant: 'small', fragments: 0, payloadBytes: 0, quota })
    for (const name of ['a', 'b', 'c']) await ask(opaque(name), { method: 'PUT', body: name, as })
    expect(await (await ask('/v1/usage', { as })).json()).toMatchObject({ fragments: 2, payloadBytes: 2, quota })
    expect((await ask(opaque('d'), { method: 'PUT', body: 'x'.repeat(101), as })).status).toBe(507)
    const { tenants } = await (await ask('/v1/tenants', { as: 'monitor' })).json()
    expect(tenants).toContainEqual({ tenant: 'small', fragments: 2, payloadBytes: 2, quota })
    expect(await (await ask('/v1/tenants/small', { method: 'DELETE' })).json()).toEqual({ erased: 2 })
    expect((await ask('/v1/tenants/small/quota', { method: 'DELETE' })).status).toBe(204)
    expect((await ask('/v1/tenants/small/quota', { method: 'DELETE' })).status).toBe(404)
    expect((await ask('/v1/purge', { method: 'POST' })).status).toBe(204)
    expect((await ask('/v1/scrub', { method: 'POST' })).status).toBe(501)
    expect((await ask('/v1/purge', { method: 'POST', as })).status).toBe(403)
    const acts = world.audit.filter(({ action }) => !action.startsWith('cluster.'))
    expect(acts.map(({ action, target, outcome, caller }) => [action, target, outcome, caller?.name])).toEqual([
      ['tenant.quota.set', 'small', 'ok', 'admin'],
      ['tenant.erase', 'small', 'ok', 'admin'],
      ['tenant.quota.remove', 'small', 'ok', 'admin'],
      ['tenant.quota.remove', 'small', 'NOT_FOUND', 'admin'],
      ['store.purge', '*', 'ok', 'admin'],
      ['store.scrub', '*', 'NOT_SUPPORTED', 'admin'],
      ['store.purge', '*', 'FORBIDDEN', 'writer@small'],
    ])
  })

  test('is of those who may: each role does what it says and no more', async () => {
    const status = async (as: string, path: string, init: RequestInit = {}) => (await ask(path, { ...init, as })).status
    expect(await status('reader', opaque('x'), { method: 'PUT', body: 'x' })).toBe(403)
    expect(await status('reader', '/v1/tenants')).toBe(403)
    expect(await status('writer', '/v1/tenants/other/quota')).toBe(403)
    expect(await status('monitor', opaque('x'))).toBe(403)
    expect(await status('monitor', '/v1/fragments')).toBe(403)
    expect(await status('nobody', '/v1/usage')).toBe(401)
  })
})

describe('metrics', () => {
  test('of the node are for those who observe; others see their own tenant', async () => {
    await ask(opaque('m'), { method: 'PUT', body: 'x', as: 'writer@seen' })
    await ask(opaque('m'), { method: 'PUT', body: 'x', as: 'writer@hidden' })
    const all = await (await ask('/metrics', { as: 'monitor' })).text()
    expect(all).toContain('membrane_tenant_fragments{tenant="seen"} 1')
    expect(all).toContain('membrane_tenant_fragments{tenant="hidden"} 1')
    expect(all).toMatch(/membrane_requests_total\{door="http",route="PUT \/v1\/fragments\/\*",outcome="ok"\} \d+/)
    expect(all).toMatch(/membrane_request_duration_seconds_bucket\{[^}]*le="\+Inf"\} \d+/)
    expect(all).toMatch(/membrane_connections\{door="http"\} [1-9]/)
    const own = await (await ask('/metrics', { as: 'reader@seen' })).text()
    expect(own).toContain('membrane_tenant_fragments{tenant="seen"} 1')
    expect(own).not.toContain('hidden')
    expect(own).not.toContain('membrane_requests_total')
    expect([...own.matchAll(/tenant="([^"]*)"/g)].every(([, tenant]) => tenant === 'seen')).toBe(true)
  })
})

test('the log says once that the door is open, and goes on at its level', async () => {
  const quiet = await openHttpWorld()
  const said = (): string[] => quiet.logged.filter((line) => /listening/i.test(line))
  expect(said()).toHaveLength(1)
  expect(said()[0]).toContain('"msg":"listening"')
  await quiet.ask('/livez')
  await vi.waitFor(() => expect(quiet.logged.join('')).toContain('"msg":"answered"'))
})

describe('errors', () => {
  const shape = {
    error: {
      code: expect.stringMatching(/^[A-Z_]+$/),
      message: expect.any(String),
      retryable: expect.any(Boolean),
      details: expect.any(Object),
      requestId: expect.any(String),
    },
  }
  const json = { 'content-type': 'application/json' }
  test.each([
    ['malformed JSON', '/v1/has', { method: 'POST', headers: json, body: '{' }, 400],
    ['no body', '/v1/has', { method: 'POST', headers: json }, 400],
    ['a wrong type', '/v1/has', { method: 'POST', headers: json, body: '{"keys":[1]}' }, 400],
    ['a list that is too long', '/v1/has', { method: 'POST', headers: json, body: '{"keys":[]}' }, 400],
    ['a wrong media type', '/v1/has', { method: 'POST', headers: { 'content-type': 'text/csv' }, body: 'x' }, 415],
    ['an unknown route', '/v1/nothing', {}, 404],
    ['a wrong method', '/v1/has', { method: 'PUT', headers: json, body: '{}' }, 405],
    ['a wrong method of a key', opaque('x'), { method: 'PATCHED' }, 400],
    ['a path that is not text', '/v1/fragments/%ff%zz', {}, 400],
    ['a key that is none', '/v1/fragments/nonsense', { method: 'PUT', body: 'x' }, 400],
    ['a large JSON', '/v1/has', { method: 'POST', headers: json, body: `"${'x'.repeat(17 * 1024 * 1024)}"` }, 413],
    ['a limit that is too large', '/v1/fragments?limit=99999999', {}, 400],
  ])('of %s have one shape', async (_, path, init, status) => {
    const answer = await ask(path, init)
    const body = await answer.json()
    expect([answer.status, body]).toMatchObject([status, shape])
    expect(JSON.stringify(body)).not.toMatch(/at .*\.[jt]s:|node_modules|FST_ERR/)
    if (status === 405) expect(answer.headers.get('allow')).toBe('POST')
  })

  test.each<[string, string, object, string, string, string]>([
    ['POST', '/v1/longest-prefix', { model: 'm', blockToken: 16, blocks: ['x'] }, 'body', 'blockToken', 'blockTokens'],
    ['POST', '/v1/remove', { keys: ['x'], key: 'x' }, 'body', 'key', 'keys'],
    ['PATCH', opaque('x'), { ttl: 5 }, 'body', 'ttl', 'ttlMs, expiresAtMs, pin, priority'],
    ['POST', '/v1/sessions/s', { accessed: ['x'], turn: 1 }, 'body', 'turn', 'accessed'],
    ['POST', '/v1/search', { text: 'x', top: 3 }, 'body', 'top', 'text, model, limit, similarityMin'],
    ['PUT', '/v1/tenants/t/quota', { bytesMax: 1 }, 'body', 'bytesMax', 'payloadBytesMax, entriesMax'],
    ['POST', '/v1/rebuild', { prompt: 'x', sesion: 's' }, 'body', 'sesion', 'session'],
    ['POST', '/v1/explain', { prompt: 'x', reuses: 'none' }, 'body', 'reuses', 'reuse'],
    ['POST', '/v1/generate', { prompt: 'x', max_tokens: 3 }, 'body', 'max_tokens', 'maxTokens'],
    ['POST', '/v1/generate', { prompt: 'x', sampling: { top_k: 3 } }, 'body.sampling', 'top_k', 'temperature, topK'],
  ])(
    '%s %s names a field of %j that it does not know, and those that it knows',
    async (method, path, body, where, unknown, known) => {
      const answer = await ask(path, { method, headers: json, body: JSON.stringify(body) })
      const { error } = await answer.json()
      expect([answer.status, error.code]).toEqual([400, 'INVALID_REQUEST'])
      expect(error.message).toContain(`${where}: there is no field "${unknown}"; known are `)
      expect(error.message.split('known are ')[1]).toContain(known)
    },
  )

  test.each([
    ['PUT', opaque('x'), `application/octet-stream or ${FRAGMENT_TYPE}`],
    ['POST', '/v1/fragments', `application/octet-stream or ${FRAGMENT_TYPE}`],
    ['POST', '/v1/transfer/inventory', 'application/octet-stream'],
    ['POST', '/v1/has', 'application/json'],
  ])('%s %s says which media types it takes', async (method, path, expected) => {
    const answer = await ask(path, { method, headers: { 'content-type': 'nonsense' }, body: 'x' })
    const { error } = await answer.json()
    expect([answer.status, error.message]).toEqual([415, `A body of type ${expected} was expected; found nonsense.`])
  })

  test('are none for fields of other versions: of nodes, of the API before, of Dynamo', async () => {
    const lease = await post('/v1/has', { keys: ['opaque/=x'], leaseMs: 0, later: 1 })
    expect(lease.status).toBe(200)
    const pull = await (await post('/v1/transfer/pull', { peer: 'x:1', later: 1 })).json()
    expect(pull.error.code).toBe('FORBIDDEN')
    const old = await (await post('/prefill', { prompt_tokens: [1], later: 1 })).json()
    expect(old.error.code).not.toBe('INVALID_REQUEST')
    const nvext = { agent_hints: { later: 1 }, later: 1 }
    const hinted = await (await post('/v1/generate', { prompt: 'x', nvext })).json()
    expect(hinted.error.code).not.toBe('INVALID_REQUEST')
  })

  test('that are bugs give nothing away but an id that the log has', async () => {
    const bug = vi.spyOn(world.fabric, 'of').mockImplementationOnce(() => {
      throw new TypeError('secret detail')
    })
    const answer = await ask(opaque('bug'))
    bug.mockRestore()
    const { error } = await answer.json()
    expect([answer.status, error.code]).toEqual([500, 'INTERNAL'])
    expect(JSON.stringify(error)).not.toContain('secret')
    const line = world.logged.find((one) => one.includes('secret detail'))
    expect(line).toContain(error.requestId)
    expect(answer.headers.get('x-request-id')).toBe(error.requestId)
  })

  test('of the store do not say where the node keeps its bytes; its log does', async () => {
    const details = { directory: '/var/lib/hidden', systemCode: 'ENOSPC' }
    const full = new MembraneError('STORE_FULL', 'Could not write to /var/lib/hidden.', { details, remedy: 'Free it.' })
    const store = vi.spyOn(world.fabric, 'of').mockImplementationOnce(() => {
      throw full
    })
    const answer = await ask(opaque('full'))
    store.mockRestore()
    const { error } = await answer.json()
    expect([answer.status, error.code, error.details]).toEqual([507, 'STORE_FULL', {}])
    expect(JSON.stringify(error)).not.toMatch(/hidden|ENOSPC/)
    expect(world.logged.find((line) => line.includes('/var/lib/hidden'))).toContain(error.requestId)
  })

  test('of what is not HTTP have it too', async () => {
    expect(await sendRaw(port, 'nonsense\r\n\r\n')).toMatch(/^HTTP\/1.1 400 .*"code":"INVALID_REQUEST"/s)
    const long = `GET / HTTP/1.1\r\nhost: x\r\nx: ${'y'.repeat(40_000)}\r\n\r\n`
    expect(await sendRaw(port, long)).toMatch(/^HTTP\/1.1 431 .*"code":"LIMIT_REACHED"/s)
  })
})

describe('a browser', () => {
  test('is told to run, frame and share nothing, and no other origin is let in', async () => {
    const answer = await trusting.ask('/v1/usage', { headers: { origin: 'https://evil.example' } })
    expect(answer.headers.get('access-control-allow-origin')).toBeNull()
    expect(answer.headers.get('x-content-type-options')).toBe('nosniff')
    expect(answer.headers.get('content-security-policy')).toContain("default-src 'none'")
    const preflight = await trusting.ask('/v1/usage', { method: 'OPTIONS' })
    expect(preflight.status).toBe(405)
  })

  test('leaves nothing on a node without credentials that its page was not asked for', async () => {
    // No browser asks beforehand whether it may send this one.
    const post = (origin: string): Promise<Response> =>
      trusting.ask('/v1/fragments', {
        method: 'POST',
        body: 'planted',
        headers: { origin, 'content-type': 'text/plain' },
      })
    for (const origin of [
      'https://evil.example',
      'null',
      'http://localhost:3000',
      `http://127.0.0.1:${trusting.port}@evil`,
    ]) {
      const refused = await post(origin)
      expect(refused.status, origin).toBe(403)
      expect(await refused.json(), origin).toMatchObject({ error: { code: 'FORBIDDEN', details: { origin } } })
    }
    expect((await post(`http://127.0.0.1:${trusting.port}`)).status).toBe(201)
  })

  test('cannot reach a node without credentials by a name of its own', async () => {
    const get = (host: string): Promise<string> =>
      sendRaw(trusting.port, `GET /v1/usage HTTP/1.1\r\nhost: ${host}\r\nconnection: close\r\n\r\n`)
    expect(await get('evil.example')).toMatch(/^HTTP\/1.1 403 .*FORBIDDEN/s)
    expect(await get('localhost.evil.example:80')).toMatch(/^HTTP\/1.1 403 /)
    for (const host of ['localhost', `127.0.0.1:${trusting.port}`, '[::1]:80', 'LOCALHOST'])
      expect(await get(host), host).toMatch(/^HTTP\/1.1 200 /)
    expect(isTrustingLoopback({ kind: 'tcp', host: '0.0.0.0', port: 0 }, true)).toBe(false)
    expect(isTrustingLoopback({ kind: 'tcp', host: '127.0.0.1', port: 0 }, false)).toBe(false)
  })
})
