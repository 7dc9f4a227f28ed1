/** Clients as others have them, through TLS with an authority of our own. Those of RESP and gRPC are tested beside their doors. */
import { execFile } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect } from 'node:tls'
import { promisify } from 'node:util'
import OpenAI from 'openai'
import { Agent, fetch } from 'undici'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { DEFAULT_TENANT } from '../../src/core/ids.ts'
import { type Authority, createAuthority } from '../contracts/certificates.ts'
import { LmClient, lmExist, lmGet, lmPut } from '../lm-client.ts'
import { missingPrograms } from '../redis-server.ts'
import { openTestServer, type TestServer } from '../test-server.ts'

const run = promisify(execFile)
const TOKEN = 'token-of-a-test'

let folder: string
let authority: Authority
let node: TestServer
let trusting: Agent
let url: string
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'membrane-tls-clients-'))
  authority = await createAuthority('test authority')
  writeFileSync(join(folder, 'ca.crt'), authority.cert)
  node = await openTestServer({
    compute: 'cpu',
    tls: { ...(await authority.issue('localhost')), clientCa: null },
    tokens: { [TOKEN]: { tenant: DEFAULT_TENANT, role: 'writer', name: 'writer' } },
  })
  url = `https://localhost:${node.port('http')}`
  trusting = new Agent({ connect: { ca: authority.cert } })
})
afterAll(async () => {
  await trusting.close()
  await node.close()
  rmSync(folder, { recursive: true, force: true })
})

describe.skipIf(missingPrograms('curl').length > 0)('curl', () => {
  const curl = async (...args: readonly string[]): Promise<string> =>
    (
      await run('curl', [
        '--silent',
        '--show-error',
        '--fail',
        '--max-time',
        '30',
        '--cacert',
        join(folder, 'ca.crt'),
        '--resolve',
        `localhost:${node.port('http')}:127.0.0.1`,
        '--header',
        `authorization: Bearer ${TOKEN}`,
        ...args,
      ])
    ).stdout

  test('puts a large file and gets it back, and a part of it', async () => {
    const [sent, received] = [join(folder, 'sent'), join(folder, 'received')]
    const bytes = Buffer.alloc(5_000_000, 'curl over TLS. ')
    writeFileSync(sent, bytes)
    const at = `${url}/v1/fragments/opaque/=curl`
    await curl('--http1.1', '--upload-file', sent, at)
    await curl('--http1.1', '--output', received, at)
    await expect(run('cmp', [sent, received])).resolves.toMatchObject({ stdout: '' })
    expect(await curl('--range', '0-12', at)).toBe('curl over TLS')
    // It offers HTTP/2 by itself, and is content with 1.1.
    expect(await curl('--output', '/dev/null', '--write-out', '%{http_version} %{http_code}', at)).toBe('1.1 200')
  })

  test('trusts nobody else', async () => {
    const strange = run('curl', ['--silent', '--resolve', `localhost:${node.port('http')}:127.0.0.1`, `${url}/livez`])
    // 60: the certificate could not be verified.
    await expect(strange).rejects.toMatchObject({ code: 60 })
  })
})

describe('fetch', () => {
  test('puts and gets with an agent that trusts the authority, and with no other', async () => {
    const headers = { authorization: `Bearer ${TOKEN}` }
    const at = `${url}/v1/fragments/opaque/=fetched`
    const body = Buffer.alloc(3_000_000, 1)
    expect((await fetch(at, { method: 'PUT', body, headers, dispatcher: trusting })).status).toBe(201)
    const answer = await fetch(at, { headers, dispatcher: trusting })
    expect(Buffer.from(await answer.arrayBuffer()).equals(body)).toBe(true)
    expect((await fetch(at, { dispatcher: trusting })).status).toBe(401)
    await expect(fetch(at, { headers })).rejects.toThrow()
  })
})

describe('the official OpenAI SDK', () => {
  const sdk = (apiKey = TOKEN): OpenAI =>
    new OpenAI({
      baseURL: `${url}/v1`,
      apiKey,
      maxRetries: 0,
      // The package's own fetch takes the package's own agent.
      fetch: fetch as unknown as typeof globalThis.fetch,
      fetchOptions: { dispatcher: trusting as never },
    })

  test('completes a text, whole and in pieces, and chats', async () => {
    const openai = sdk()
    const model = (await openai.models.list()).data[0]?.id ?? ''
    const asked = { model, prompt: 'Package: libfoo-dev\nSection: ', max_tokens: 8, temperature: 0 } as const
    const whole = await openai.completions.create(asked)
    expect(whole.usage?.completion_tokens).toBe(8)
    let text = ''
    for await (const piece of await openai.completions.create({ ...asked, stream: true }))
      text += piece.choices[0]?.text ?? ''
    expect(text).toBe(whole.choices[0]?.text)
    const chatted = { model, messages: [{ role: 'user' as const, content: 'libfoo' }], max_tokens: 4, temperature: 0 }
    const chat = await openai.chat.completions.create(chatted)
    let said = ''
    for await (const piece of await openai.chat.completions.create({ ...chatted, stream: true }))
      said += piece.choices[0]?.delta.content ?? ''
    expect(said).toBe(chat.choices[0]?.message.content)
  })

  test('is told that its key is not known', async () => {
    await expect(sdk('another').models.list()).rejects.toMatchObject({ status: 401 })
  })
})

describe('an lm:// client', () => {
  let own: TestServer
  beforeAll(async () => {
    own = await openTestServer({ doors: ['lm'], tls: { ...(await authority.issue('localhost')), clientCa: null } })
  })
  afterAll(() => own.close())

  test('puts, looks up and gets what is there, in whatever records TLS cuts it into', async () => {
    const to = { port: own.port('lm'), host: '127.0.0.1', servername: 'localhost', ca: authority.cert }
    const client = new LmClient(connect(to))
    const body = Buffer.alloc(3_000_001, 'lm over TLS')
    client.socket.write(Buffer.concat([lmPut('a', body), lmExist('a'), lmExist('b'), lmGet('a')]))
    expect((await client.answer())?.code).toBe(200)
    expect((await client.answer())?.code).toBe(400)
    expect((await client.answer())?.body.equals(body)).toBe(true)
    client.socket.destroy()
  })

  test('trusts nobody else', async () => {
    const strange = connect({ port: own.port('lm'), host: '127.0.0.1', servername: 'localhost' })
    const failed = new Promise<Error>((resolve) => strange.once('error', resolve))
    expect(await failed).toMatchObject({ code: 'UNABLE_TO_VERIFY_LEAF_SIGNATURE' })
  })
})
