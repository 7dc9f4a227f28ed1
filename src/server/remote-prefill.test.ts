/** Two nodes in this process: one computes for the other, over the real HTTP door. */
import { afterEach, describe, expect, it } from 'vitest'
import { openTestServer, type TestServer } from '../../test/test-server.ts'
import { DEFAULT_MODEL_PATH, openCpuBackend } from '../compute/cpu.ts'
import { openSimulatedBackend, type SimulatedOptions } from '../compute/simulated.ts'
import type { KvBackend } from '../core/compute.ts'
import { MembraneError } from '../core/errors.ts'
import { createHashChain } from '../core/hash-chains.ts'
import { DEFAULT_TENANT } from '../core/ids.ts'
import { LIMITS } from '../core/limits.ts'
import { CLUSTER_FORMAT, type Member, NO_TELEMETRY } from '../cluster/member.ts'
import { encodePeerMessage } from '../cluster/peer-calls.ts'
import { prefillMessage } from '../cluster/prefill-request.ts'
import { loadChainHashes } from '../hashing/chain-hashes.ts'
import { loadContentHashers } from '../hashing/content-hashers.ts'
import type { RateBook } from '../reconstruct/rebuild-ports.ts'
import { MemoryStore } from '../store/memory.ts'
import type { Caller } from './caller.ts'
import { DEFAULT_FABRIC_OPTIONS, openFabric } from './fabric.ts'
import { Node } from './node.ts'
import { DEFAULT_NODE_OPTIONS } from './node-options.ts'
import { NodeTokens } from './node-tokens.ts'
import { PeerConnections } from './peer-connections.ts'
import { ClusterPrefill, type ClusterPrefillParts } from './remote-prefill.ts'
import { systemAlarm, systemStopwatch } from './system-time.ts'

const BLOCK = 16
const SHAPE = { name: 'tiny', layers: 3, kvHeads: 2, headDim: 8, dtype: 'F32', contextTokensMax: 2048 } as const
const clock = { nowMs: Date.now }
const { hashers } = await loadContentHashers()
const chainHashes = await loadChainHashes()
const tokens = new NodeTokens('a secret of sixteen', 'test')
const NODE: Caller = { tenant: DEFAULT_TENANT, role: 'node', name: 'node' }
const CALLERS = {
  [tokens.tokenFor(DEFAULT_TENANT)]: NODE,
  writer: { tenant: DEFAULT_TENANT, role: 'writer', name: 'writer' },
} as const

/** Computing here is dear, and waiting for others is worth some seconds. */
const DEAR_PREFILL: RateBook = {
  read: () => ({ latencySeconds: 1e-5, bytesPerSecond: 1e9, isMeasured: true }),
  prefillSeconds: ({ start, end }) => (end - start) * 2e-2,
  isPrefillMeasured: true,
  observeRead: () => {},
  observePrefill: () => {},
}

const closing: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const close of closing.splice(0).toReversed()) await close()
})

const simulated = (options: Partial<SimulatedOptions> = {}): KvBackend =>
  openSimulatedBackend({ ...SHAPE, prefillSeconds: () => 0, wait: async () => {}, ...options })
const cpu = (): Promise<KvBackend> =>
  openCpuBackend({
    modelPath: DEFAULT_MODEL_PATH,
    threads: 1,
    memoryBytesMax: 512 * 1024 ** 2,
    blake3: chainHashes.blake3,
    contentHasher: hashers.b3,
  })

const promptOf = (length: number) => ({
  tokenIds: Uint32Array.from({ length }, (_, index) => (index * 37 + (index >> 3)) % 300),
})
const asked = { tenant: DEFAULT_TENANT, maxTokens: 4, wantsKvHash: true } as const

async function prefillServer(backend: KvBackend): Promise<TestServer> {
  const server = await openTestServer({ compute: backend, tokens: CALLERS })
  let isClosed = false
  const close = (): Promise<void> => whole()
  const whole = server.close.bind(server)
  server.close = async () => {
    if (isClosed) return
    isClosed = true
    await close()
  }
  closing.push(() => server.close())
  return server
}

function member(node: string, port: number, model: string): Member {
  return {
    node,
    incarnation: 1,
    sequence: 1,
    address: `127.0.0.1:${port}`,
    datacentre: 'a',
    roles: ['prefill'],
    version: '1',
    format: CLUSTER_FORMAT,
    capacityBytes: null,
    startedMs: 0,
    isDraining: false,
    telemetry: {
      ...NO_TELEMETRY,
      prefill: { model, callSeconds: 1e-3, secondsPerToken: 1e-5, secondsPerPair: 0, waitSeconds: 0 },
    },
    state: 'alive',
    sinceMs: 0,
  }
}

/** A node that asks the servers; `damage` changes what comes. */
async function askingNode(
  backend: KvBackend,
  servers: readonly TestServer[],
  damage: (bytes: AsyncIterable<Uint8Array>) => AsyncIterable<Uint8Array> = (bytes) => bytes,
  options: Partial<ClusterPrefillParts> = {},
) {
  const connections = new PeerConnections({ tokens, tls: null })
  closing.push(async () => connections.close())
  const members = servers.map((server, index) => member(`p${index}`, server.port('http'), backend.model.fingerprint))
  const remote = new ClusterPrefill({
    membership: { self: member('self', 1, ''), members: () => members, watch: () => () => undefined },
    connections: { prefill: (...args) => damage(connections.prefill(...args)) },
    links: null,
    blake3: hashers.b3,
    alarm: systemAlarm,
    stopwatch: systemStopwatch,
    threshold: null,
    link: null,
    ...options,
  })
  const fragmentTokens = 64
  remote.begin({ model: backend.model, fragmentize: { blockTokens: BLOCK, fragmentTokens } })
  return { node: await nodeOn(backend, remote), remote }
}

async function nodeOn(backend: KvBackend, remotePrefill: ClusterPrefill | null): Promise<Node> {
  const fabric = await openFabric({
    ...DEFAULT_FABRIC_OPTIONS,
    store: new MemoryStore(clock),
    hashers,
    clock,
    tier: 'memory',
    seed: 1,
  })
  const node = new Node({
    ...DEFAULT_NODE_OPTIONS,
    fabric,
    backend,
    chain: createHashChain('blake3', { hashes: chainHashes, blockTokens: BLOCK }),
    rates: DEAR_PREFILL,
    hashers,
    fragmentTokens: 64,
    stopwatch: systemStopwatch,
    alarm: systemAlarm,
    remotePrefill,
  })
  closing.push(async () => {
    await node.close()
    await fabric.close()
  })
  return node
}

/** What a node without others says. */
async function expectLikeAlone(backend: KvBackend, answer: Awaited<ReturnType<Node['generate']>>, length: number) {
  const alone = await (await nodeOn(backend, null)).generate({ ...asked, prompt: promptOf(length) })
  expect(answer.tokenIds).toEqual(alone.tokenIds)
  expect(answer.kvHash).toBe(alone.kvHash)
  expect(answer.explain.at(-1)).toMatchObject({ end: length })
}

describe('a prefill by another node', () => {
  it.each([
    ['the simulated engine', async () => simulated(), 1000],
    ['a real engine', cpu, 300],
  ] as const)('gives what computing here gives: %s', async (_, open, length) => {
    const server = await prefillServer(await open())
    const { node, remote } = await askingNode(await open(), [server])
    const answer = await node.generate({ ...asked, prompt: promptOf(length) })
    const end = length - 1 - ((length - 1) % BLOCK)
    const sources = answer.explain.map(({ source, start }) => [source, start])
    expect(sources).toContainEqual(['remote-prefill', 0])
    expect(answer.explain.filter(({ source }) => source === 'prefill')).toMatchObject([{ start: end, end: length }])
    await expectLikeAlone(await open(), answer, length)
    const bytes = end * (node.backend.model.parts[0]?.bytes ?? 0)
    expect(remote.stats()).toMatchObject({ asked: 1, used: 1, failed: 0, hedged: 0 })
    expect(remote.stats().bytes).toBeGreaterThanOrEqual(bytes)
    await expect.poll(() => server.operations.prefill.stats()).toMatchObject({ asked: 1, completed: 1, running: 0 })
  })

  it('reads what the other node has, and computes only the rest there', async () => {
    const server = await prefillServer(simulated())
    const first = await askingNode(simulated(), [server])
    await first.node.generate({ ...asked, prompt: promptOf(500) })
    const { engine } = server.operations.compute
    const before = engine.kind === 'node' ? engine.node.stats().prefilledTokens : 0
    const second = await askingNode(simulated(), [server])
    const answer = await second.node.generate({ ...asked, prompt: promptOf(900) })
    await expectLikeAlone(simulated(), answer, 900)
    const after = engine.kind === 'node' ? engine.node.stats().prefilledTokens : 0
    expect(after - before).toBeLessThanOrEqual(420)
  })

  it('shares nothing under names that are not its own', async () => {
    const server = await prefillServer(simulated())
    const { node } = await askingNode(simulated(), [server])
    await node.generate({ ...asked, prompt: promptOf(500), salt: 'mine' })
    const { engine } = server.operations.compute
    expect(engine.kind === 'node' && engine.node.stats().reusedTokens).toBe(0)
    const other = await askingNode(simulated(), [server])
    await other.node.generate({ ...asked, prompt: promptOf(500) })
    expect(engine.kind === 'node' && engine.node.stats().reusedTokens).toBe(0)
    expect(other.remote.stats().used).toBe(1)
  })

  it('is taken over here when the other node dies in the middle', async () => {
    const server = await prefillServer(simulated())
    let isKilled = false
    const { node, remote } = await askingNode(simulated(), [server], async function* (bytes) {
      let count = 0
      for await (const piece of bytes) {
        yield piece
        count += piece.length
        if (count < 250_000 || isKilled) continue
        isKilled = true
        await server.server.close(0)
        throw new MembraneError('PEER_UNAVAILABLE', 'The connection was cut.')
      }
    })
    const answer = await node.generate({ ...asked, prompt: promptOf(1000) })
    expect(isKilled).toBe(true)
    expect(remote.stats()).toMatchObject({ asked: 1, used: 0, failed: 1 })
    expect(answer.explain.some(({ source }) => source === 'remote-prefill')).toBe(true)
    await expectLikeAlone(simulated(), answer, 1000)
  })

  it.each([100, 5000, 60_000])('is taken over here when a byte is damaged: number %i', async (at) => {
    const server = await prefillServer(simulated())
    const { node, remote } = await askingNode(simulated(), [server], async function* (bytes) {
      let count = 0
      for await (const piece of bytes) {
        const copy = piece.slice()
        if (count <= at && at < count + copy.length) copy[at - count] = (copy[at - count] ?? 0) ^ 1
        count += copy.length
        yield copy
      }
    })
    const answer = await node.generate({ ...asked, prompt: promptOf(1000) })
    expect(remote.stats()).toMatchObject({ used: 0, failed: 1 })
    await expectLikeAlone(simulated(), answer, 1000)
  })

  it('is taken over here when the other node refuses', async () => {
    const server = await prefillServer(simulated({ name: 'another' }))
    const { node, remote } = await askingNode(simulated(), [server])
    const answer = await node.generate({ ...asked, prompt: promptOf(300) })
    expect(remote.stats()).toMatchObject({ asked: 1, failed: 1 })
    await expectLikeAlone(simulated(), answer, 300)
  })

  it('is done by a second node when the first fails', async () => {
    const servers = [await prefillServer(simulated({ name: 'another' })), await prefillServer(simulated())]
    const { node, remote } = await askingNode(simulated(), servers)
    const answer = await node.generate({ ...asked, prompt: promptOf(300) })
    expect(remote.stats()).toMatchObject({ asked: 1, used: 1, failed: 0, hedged: 1 })
    await expectLikeAlone(simulated(), answer, 300)
  })

  it('ends at the other node when it is not wanted any more', async () => {
    const begun = Promise.withResolvers<void>()
    const ended = Promise.withResolvers<void>()
    const wait = async (_: number, signal: AbortSignal | undefined): Promise<void> => {
      begun.resolve()
      signal?.addEventListener('abort', () => ended.resolve())
      await ended.promise
    }
    const server = await prefillServer(simulated({ wait }))
    const { node, remote } = await askingNode(simulated(), [server])
    const abort = new AbortController()
    const answer = node.generate({ ...asked, prompt: promptOf(1000), signal: abort.signal })
    await begun.promise
    abort.abort()
    await expect(answer).rejects.toMatchObject({ code: 'ABORTED' })
    await ended.promise
    await expect.poll(() => server.operations.prefill.stats()).toMatchObject({ running: 0, failed: 1, completed: 0 })
    expect(remote.stats()).toMatchObject({ cancelled: 1, used: 0, failed: 0 })
  })

  it('sends layers while the others are computed', async () => {
    const steps: (() => void)[] = []
    const wait = async (): Promise<void> => {
      const { promise, resolve } = Promise.withResolvers<void>()
      steps.push(resolve)
      await promise
    }
    const server = await prefillServer(simulated({ wait }))
    const { node } = await askingNode(simulated(), [server])
    const answer = node.generate({ ...asked, prompt: promptOf(300) })
    await expect.poll(() => steps.length).toBe(1)
    steps.shift()?.()
    // The second layer is being computed, and the first has come.
    await expect.poll(() => server.operations.prefill.stats().bytes).toBeGreaterThan(1000)
    const pump = setInterval(() => steps.shift()?.(), 1)
    const { tokenIds } = await answer
    clearInterval(pump)
    expect(tokenIds).toHaveLength(4)
    await expect.poll(() => server.operations.prefill.stats().overlapSeconds).toBeGreaterThan(0)
  })

  it('is not asked for where the threshold says so, or nobody computes the model', async () => {
    const server = await prefillServer(simulated())
    const told: number[][] = []
    const isRemote = (...numbers: number[]): boolean => {
      told.push(numbers)
      return false
    }
    const membership = {
      self: { ...member('self', 1, ''), datacentre: 'b' },
      members: () => [member('p0', server.port('http'), simulated().model.fingerprint)],
      watch: () => () => undefined,
    }
    const { node, remote } = await askingNode(simulated(), [], undefined, { threshold: { isRemote }, membership })
    await node.generate({ ...asked, prompt: promptOf(300) })
    expect(told).toContainEqual([288, 288])
    expect(remote.stats().asked).toBe(0)
    // Within a datacentre, whoever is sooner computes.
    const near = await askingNode(simulated(), [server], undefined, { threshold: { isRemote } })
    await near.node.generate({ ...asked, prompt: promptOf(300) })
    expect(near.remote.stats().asked).toBe(1)
    const nobody = await askingNode(simulated(), [])
    await nobody.node.generate({ ...asked, prompt: promptOf(300) })
    expect(nobody.remote.stats().asked).toBe(0)
  })
})

describe('the door to prefills', () => {
  const bodyOf = (backend: KvBackend, length: number): Uint8Array<ArrayBuffer> => {
    const { tokenIds } = promptOf(length)
    const model = backend.model.fingerprint
    const chain = createHashChain('blake3', { hashes: chainHashes, blockTokens: BLOCK })
    const hashes = chain.hash(tokenIds, { model, tenantSalt: DEFAULT_TENANT })
    return Uint8Array.from(
      encodePeerMessage(prefillMessage({ model, tokenIds, hashes, span: { start: 0, end: length } })),
    )
  }
  const post = async (server: TestServer, body: Uint8Array<ArrayBuffer>, token = tokens.tokenFor(DEFAULT_TENANT)) =>
    fetch(`http://127.0.0.1:${server.port('http')}/v1/cluster/prefill`, {
      method: 'POST',
      headers: { 'content-type': 'application/octet-stream', authorization: `Bearer ${token}` },
      body,
    })

  it('lets in nodes only', async () => {
    const server = await prefillServer(simulated())
    expect((await post(server, bodyOf(simulated(), 64), 'writer')).status).toBe(403)
    expect((await post(server, bodyOf(simulated(), 64), 'nobody')).status).toBe(401)
    expect((await post(server, bodyOf(simulated(), 64))).status).toBe(200)
  })

  it('refuses what is no request, and another model', async () => {
    const server = await prefillServer(simulated())
    expect((await post(server, new Uint8Array(40))).status).toBe(400)
    expect((await post(server, bodyOf(simulated({ name: 'other' }), 64))).status).toBe(501)
  })

  it('refuses a model that keeps more than KV', async () => {
    const hybrid = simulated({ hybrid: { attentionEvery: 3, stateBytes: 64 } })
    const server = await prefillServer(hybrid)
    expect((await post(server, bodyOf(hybrid, 64))).status).toBe(501)
    const { remote, node } = await askingNode(simulated({ hybrid: { attentionEvery: 3, stateBytes: 64 } }), [server])
    await node.generate({ ...asked, prompt: promptOf(300) })
    expect(remote.stats().asked).toBe(0)
  })

  it('refuses more than it may have under way', async () => {
    const release = Promise.withResolvers<void>()
    const server = await prefillServer(simulated({ wait: () => release.promise }))
    const many = Array.from({ length: LIMITS.prefillRequestsMax }, () => post(server, bodyOf(simulated(), 64)))
    await expect.poll(() => server.operations.prefill.stats().running).toBe(LIMITS.prefillRequestsMax)
    const refused = await post(server, bodyOf(simulated(), 64))
    expect(refused.status).toBe(503)
    expect(await refused.json()).toMatchObject({ error: { code: 'COMPUTE_FULL', retryable: true } })
    release.resolve()
    expect((await Promise.all(many)).map(({ status }) => status)).toEqual(many.map(() => 200))
    expect(server.operations.prefill.stats()).toMatchObject({ refused: 1 })
  })
})
