/** A node that copies from another one because an administrator asked it to, over HTTP and over gRPC. */
import { randomBytes } from 'node:crypto'
import { Client } from '@grpc/grpc-js'
import { afterAll, afterEach, beforeAll, describe, expect, onTestFinished, test, vi } from 'vitest'
import { DEFAULT_TENANT, parseTenantId } from '../../src/core/ids.ts'
import type { Caller, Role } from '../../src/server/caller.ts'
import { StagedFiles } from '../../src/server/staged-files.ts'
import { diskError } from '../../src/store/disk-errors.ts'
import { call, clientOf, readAll } from '../contracts/grpc-fixtures.ts'
import { openTestServer, type TestServer, type TestServerOptions } from '../test-server.ts'

const callerOf = (role: Role): Caller => ({ tenant: DEFAULT_TENANT, role, name: role })
const TOKENS = { admin: callerOf('admin'), writer: callerOf('writer'), monitor: callerOf('monitor') }
const OTHERS = { other: { tenant: parseTenantId('other'), role: 'admin', name: 'other' } } as const
const PAYLOADS = Array.from({ length: 3 }, (_, index) => randomBytes(1_000_000 * (index + 1)))

let from: TestServer
let to: TestServer
let allowed = ''
let grpc: Client

beforeAll(async () => {
  from = await openTestServer({ tokens: { ...TOKENS, ...OTHERS } })
  allowed = `127.0.0.1:${from.port('http')}`
  for (const [index, payload] of PAYLOADS.entries()) {
    const put = await request(from, `/v1/fragments/opaque/=pull-${index}`, { method: 'PUT', body: payload })
    expect(put.status).toBe(201)
  }
})

afterAll(() => from.close())

async function openReceiver(options: Pick<TestServerOptions, 'transfersDirectory' | 'logged'> = {}): Promise<void> {
  to = await openTestServer({ doors: ['http', 'grpc'], tokens: TOKENS, allowedPeers: [allowed], ...options })
  const door = to.server.doors.find(({ name }) => name === 'grpc')
  if (door === undefined) throw new Error('The gRPC door is not open.')
  grpc = clientOf(door, 'membrane.Membrane')
}

afterEach(async () => {
  grpc.close()
  await to.close()
})

interface Sent {
  readonly method?: string
  readonly body?: string | Buffer<ArrayBuffer>
  readonly token?: string
}

async function request(
  node: TestServer,
  path: string,
  { method, body, token = 'admin' }: Sent = {},
): Promise<Response> {
  const headers: Record<string, string> = { authorization: `Bearer ${token}` }
  if (typeof body === 'string') headers['content-type'] = 'application/json'
  const init = { headers, ...(method === undefined ? {} : { method }), ...(body === undefined ? {} : { body }) }
  return fetch(`http://127.0.0.1:${node.port('http')}${path}`, init)
}

const pull = (peer: string, sent: Sent = {}, peerToken = 'admin'): Promise<Response> =>
  request(to, '/v1/transfer/pull', { method: 'POST', body: JSON.stringify({ peer, token: peerToken }), ...sent })

async function arrived(): Promise<readonly (Buffer | null)[]> {
  return Promise.all(
    PAYLOADS.map(async (_, index) => {
      const answer = await request(to, `/v1/fragments/opaque/=pull-${index}`)
      return answer.status === 200 ? Buffer.from(await answer.arrayBuffer()) : null
    }),
  )
}

describe('over HTTP', () => {
  test('all that is missing comes, verified, and a second pull finds nothing to do', async () => {
    await openReceiver()
    for (const fetched of [3, 0]) {
      const begun = await pull(allowed)
      expect(begun.status).toBe(202)
      const { id } = (await begun.json()) as { id: number }
      const ended = await vi.waitFor(async () => {
        const { pulls } = (await (await request(to, '/v1/transfer')).json()) as {
          pulls: { id: number; state: string }[]
        }
        const one = pulls.find((found) => found.id === id)
        expect(one?.state).toBe('done')
        return one
      })
      expect(ended).toMatchObject({ wantedFragments: fetched, fetched, unfinished: 0, error: null, peer: allowed })
      if (fetched > 0) expect(ended).toMatchObject({ acceptedBytes: 6_000_000 })
    }
    expect(await arrived()).toEqual(PAYLOADS)
  })

  test('a peer that the configuration does not name is never asked', async () => {
    await openReceiver()
    for (const peer of ['127.0.0.1:9', `localhost:${from.port('http')}`, `${allowed}/`, `a@${allowed}`]) {
      const refused = await pull(peer)
      expect([peer, refused.status]).toEqual([peer, 403])
      expect(await refused.text()).toContain('allowedPeers')
    }
  })

  test.each([
    ['INTERNAL', new Error("EACCES: permission denied, unlink '/var/hidden/one.part'")],
    ['FILE_UNREADABLE', diskError(Object.assign(new Error('x'), { code: 'EIO' }), '/var/hidden', 'write to')],
  ])('that fails with %s does not say where this node keeps its bytes; its log does', async (code, error) => {
    const logged: string[] = []
    await openReceiver({ transfersDirectory: '/var/hidden', logged })
    vi.spyOn(StagedFiles.prototype, 'prune').mockRejectedValue(error)
    onTestFinished(() => void vi.restoreAllMocks())
    expect((await pull(allowed)).status).toBe(202)
    const text = await vi.waitFor(async () => {
      const states = await (await request(to, '/v1/transfer')).text()
      expect(states).toContain('"failed"')
      return states
    })
    expect(text).toContain(`"code":"${code}"`)
    expect(text).not.toContain('hidden')
    expect(logged.filter((line) => line.includes('hidden') && line.includes('"pull":1'))).toHaveLength(1)
  })

  test('is for administrators, and its states for who may observe', async () => {
    await openReceiver()
    expect((await pull(allowed, { token: 'writer' })).status).toBe(403)
    expect((await request(to, '/v1/transfer', { token: 'writer' })).status).toBe(403)
    expect((await request(to, '/v1/transfer', { token: 'monitor' })).status).toBe(200)
  })
})

describe('over gRPC', () => {
  const transfer = (peer: string, peerToken: string): Promise<Record<string, unknown>[]> =>
    readAll(grpc, 'Transfer', { request: { peer, token: peerToken }, token: 'admin' })

  test('states come until all has come, and the bytes are those of the peer', async () => {
    await openReceiver()
    const states = await transfer(allowed, 'admin')
    expect(states[0]).toMatchObject({ state: 'running', peer: allowed })
    expect(states.at(-1)).toMatchObject({ state: 'done', errorCode: '' })
    expect(Number(states.at(-1)?.['fetched'])).toBe(3)
    expect(Number(states.at(-1)?.['acceptedBytes'])).toBe(6_000_000)
    expect(await arrived()).toEqual(PAYLOADS)
  })

  test('the credential says what is copied, and one that the peer does not know is told', async () => {
    await openReceiver()
    expect((await transfer(allowed, 'other')).at(-1)).toMatchObject({ state: 'done', fetched: expect.anything() })
    expect(await arrived()).toEqual([null, null, null])
    expect((await transfer(allowed, 'nobody')).at(-1)).toMatchObject({ state: 'failed', errorCode: 'UNAUTHENTICATED' })
  })

  test('is refused to others than administrators, and from other peers', async () => {
    await openReceiver()
    const refused = readAll(grpc, 'Transfer', { request: { peer: allowed }, token: 'writer' })
    await expect(refused).rejects.toThrow('PERMISSION_DENIED')
    await expect(transfer('127.0.0.1:9', 'admin')).rejects.toThrow('allowedPeers')
    await expect(call(grpc, 'Heartbeat', { token: 'admin' })).resolves.toMatchObject({ healthy: true })
  })
})
