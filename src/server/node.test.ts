import { afterEach, describe, expect, it } from 'vitest'
import { MembraneError } from '../core/errors.ts'
import { createHashChain } from '../core/hash-chains.ts'
import { DEFAULT_TENANT, parseTenantId } from '../core/ids.ts'
import type { FragmentStore, StoredFragment } from '../core/ports.ts'
import { openSimulatedBackend, type SimulatedOptions } from '../compute/simulated.ts'
import { loadChainHashes } from '../hashing/chain-hashes.ts'
import { loadContentHashers } from '../hashing/content-hashers.ts'
import type { RateBook } from '../reconstruct/rebuild-ports.ts'
import { MemoryStore } from '../store/memory.ts'
import { DEFAULT_FABRIC_OPTIONS, type Fabric, openFabric } from './fabric.ts'
import { Node } from './node.ts'
import { DEFAULT_NODE_OPTIONS, type NodeOptions } from './node-options.ts'
import { systemAlarm, systemStopwatch } from './system-time.ts'

const BLOCK = 16
const SHAPE = { name: 'tiny', layers: 2, kvHeads: 2, headDim: 8, dtype: 'F32', contextTokensMax: 512 } as const
const clock = { nowMs: Date.now }

/** Computing costs, whatever the pretended engine takes. */
const DEAR_PREFILL: RateBook = {
  read: () => ({ latencySeconds: 1e-5, bytesPerSecond: 1e9, isMeasured: true }),
  prefillSeconds: ({ start, end }) => (end - start) * 1e-3,
  isPrefillMeasured: true,
  observeRead: () => {},
  observePrefill: () => {},
}

const { hashers } = await loadContentHashers()
const chainHashes = await loadChainHashes()

const closing: (() => Promise<void>)[] = []
afterEach(async () => {
  for (const close of closing.splice(0).toReversed()) await close()
})

async function fabricOver(store: FragmentStore = new MemoryStore(clock)): Promise<Fabric> {
  const fabric = await openFabric({ ...DEFAULT_FABRIC_OPTIONS, store, hashers, clock, tier: 'memory', seed: 1 })
  closing.push(() => fabric.close())
  return fabric
}

function nodeOn(fabric: Fabric, options: Partial<NodeOptions> = {}, engine: Partial<SimulatedOptions> = {}): Node {
  const backend = openSimulatedBackend({ ...SHAPE, prefillSeconds: () => 0, wait: async () => {}, ...engine })
  const chain = createHashChain('blake3', { hashes: chainHashes, blockTokens: BLOCK })
  const rates = options.rates ?? DEAR_PREFILL
  const time = { stopwatch: systemStopwatch, alarm: systemAlarm }
  const fragmentTokens = 64
  const node = new Node({
    ...DEFAULT_NODE_OPTIONS,
    fabric,
    backend,
    chain,
    rates,
    hashers,
    fragmentTokens,
    ...time,
    ...options,
  })
  closing.push(() => node.close())
  return node
}

const text = (words: number, first = 0): string =>
  Array.from({ length: words }, (_, index) => `w${first + index}`).join(' ')
const asked = { tenant: DEFAULT_TENANT, maxTokens: 8, wantsKvHash: true } as const

describe('a node', () => {
  it('answers a second node over the same memory with the same text and KV, having computed only the rest', async () => {
    const fabric = await fabricOver()
    const prompt = { text: text(40) }
    const first = await nodeOn(fabric).generate({ ...asked, prompt })
    expect(first).toMatchObject({ reusedTokens: 0, isSimulated: true })
    const second = await nodeOn(fabric).generate({ ...asked, prompt })
    const { promptTokens } = second
    expect(second).toMatchObject({ text: first.text, kvHash: first.kvHash, promptTokens: first.promptTokens })
    expect(second.reusedTokens).toBe((promptTokens ?? 0) - ((promptTokens ?? 0) % BLOCK))
    expect(second.prefilledTokens).toBe((promptTokens ?? 0) - (second.reusedTokens ?? 0))
    expect(second.explain.at(0)).toMatchObject({ start: 0, source: 'memory' })
    expect(second.explain.at(-1)).toMatchObject({ end: promptTokens, source: 'prefill' })
  })

  it('computes everything when nothing is to be reused, with the same answer', async () => {
    const fabric = await fabricOver()
    const prompt = { text: text(40) }
    const node = nodeOn(fabric)
    const first = await node.generate({ ...asked, prompt })
    const again = await node.generate({ ...asked, prompt, reuse: 'none' })
    expect(again).toMatchObject({ reusedTokens: 0, text: first.text, kvHash: first.kvHash })
  })

  it('continues a conversation in the memory of its engine', async () => {
    const node = nodeOn(await fabricOver())
    await node.generate({ ...asked, prompt: { text: text(40) } })
    const turn = { text: text(80) }
    const second = await node.generate({ ...asked, prompt: turn })
    expect(second.explain[0]).toMatchObject({ source: 'resident', bytes: 0 })
    expect(node.stats().resident).toMatchObject({ contexts: 1, hits: 1 })
    const alone = await nodeOn(await fabricOver()).generate({ ...asked, prompt: turn })
    expect(second).toMatchObject({ text: alone.text, kvHash: alone.kvHash })
  })

  it('keeps the KV of what it generated', async () => {
    const fabric = await fabricOver()
    const answer = { ...asked, maxTokens: 64 }
    const first = await nodeOn(fabric).generate({ ...answer, prompt: { text: text(20) } })
    const { tokenizer } = nodeOn(fabric).backend.model
    const turn = Uint32Array.from([
      ...tokenizer.startTokens,
      ...tokenizer.encode(text(20)),
      ...first.tokenIds,
      ...tokenizer.encode('and then'),
    ])
    const second = await nodeOn(fabric).generate({ ...answer, prompt: { tokenIds: turn } })
    expect(second.reusedTokens ?? 0).toBeGreaterThan((first.promptTokens ?? 0) + 32)
  })

  it('counts what was asked for and found, and the tokens that were read for it', async () => {
    const fabric = await fabricOver()
    const prompt = { text: text(40) }
    await nodeOn(fabric).generate({ ...asked, prompt })
    const second = nodeOn(fabric)
    const { reusedTokens } = await second.generate({ ...asked, prompt })
    const ofTenant = fabric.stats().cache.byTenant.get(DEFAULT_TENANT)?.byIndex.exact
    expect(ofTenant).toMatchObject({ hits: 1, misses: 1 })
    expect(fabric.stats().cache.byTenant.get(DEFAULT_TENANT)?.tokensSaved).toBe(reusedTokens)
    expect(second.stats()).toMatchObject({ requests: 1, reusedTokens, generatedTokens: 8, failedReads: 0 })
  })

  it('loses no answer when the tokens of a prompt cannot be kept', async () => {
    const inner = new MemoryStore(clock)
    const full: FragmentStore = {
      ...damaging(inner),
      put: async (fragment) => {
        if (fragment.key.includes('prefix/')) throw new MembraneError('STORE_FULL', 'The store is full.')
        return inner.put(fragment)
      },
      get: (key, options) => inner.get(key, options),
    }
    const node = nodeOn(await fabricOver(full), { moved: { measuredShare: 0, random: () => 0 } })
    const answer = await node.generate({ ...asked, prompt: { text: text(40) } })
    expect(answer.tokenIds.length).toBeGreaterThan(0)
    expect(answer.stored?.error).toMatchObject({ code: 'STORE_FULL' })
    expect((await node.rebuild({ ...asked, prompt: { text: text(60) } })).stored.error).not.toBeNull()
  })

  it('gives one tenant nothing of another', async () => {
    const fabric = await fabricOver()
    const node = nodeOn(fabric)
    const prompt = { text: text(40) }
    const first = await node.generate({ ...asked, prompt })
    const other = await node.generate({ ...asked, tenant: parseTenantId('other'), prompt })
    expect(other).toMatchObject({ reusedTokens: 0, text: first.text })
  })

  it('answers many at once as it answers each alone, within its bounds', async () => {
    const fabric = await fabricOver()
    const node = nodeOn(fabric, { requestsMax: 3, residentBytesMax: 100_000 })
    const prompts = Array.from({ length: 20 }, (_, index) => ({ text: `${text(10)} ${text(4, 7 * (index % 5))}` }))
    const answers = await Promise.all(prompts.map(async (prompt) => node.generate({ ...asked, prompt })))
    const lone = nodeOn(await fabricOver())
    for (const [index, prompt] of prompts.entries()) {
      const alone = await lone.generate({ ...asked, prompt, reuse: 'none' })
      expect(answers[index]).toMatchObject({ text: alone.text, kvHash: alone.kvHash })
    }
    expect(node.stats().resident).toMatchObject({ contextsInUse: 0, requestsWaiting: 0, demotionsFailed: 0 })
  })

  it('finds what it had to demote again, in its memory', async () => {
    const fabric = await fabricOver()
    const node = nodeOn(fabric, { residentBytesMax: 1 })
    const first = await node.generate({ ...asked, prompt: { text: text(40) } })
    await node.generate({ ...asked, prompt: { text: text(40, 500) } })
    const again = await node.generate({ ...asked, prompt: { text: text(40) } })
    expect(again.explain[0]).toMatchObject({ source: 'memory' })
    expect(again).toMatchObject({ text: first.text, kvHash: first.kvHash })
  })

  it('stores nothing twice', async () => {
    const fabric = await fabricOver()
    const node = nodeOn(fabric)
    await node.generate({ ...asked, maxTokens: 40, prompt: { text: text(40) } })
    const { fragments } = fabric.stats()
    const covered = await node.plan({ tenant: DEFAULT_TENANT, prompt: { text: text(40) } })
    expect(covered.steps[0]?.source).toBe('resident')
    await node.close()
    expect(fabric.stats().fragments).toBe(fragments)
  })

  it('computes again what is damaged, and says so', async () => {
    const store = damaging(new MemoryStore(clock))
    const fabric = await fabricOver(store)
    const prompt = { text: text(40) }
    const first = await nodeOn(fabric).generate({ ...asked, prompt })
    store.isDamaging = true
    const second = await nodeOn(fabric).generate({ ...asked, prompt })
    expect(second).toMatchObject({ reusedTokens: 0, text: first.text, kvHash: first.kvHash })
    expect(fabric.stats().corruptEntries).toBeGreaterThan(0)
  })

  it('says what it would do without doing it', async () => {
    const fabric = await fabricOver()
    const node = nodeOn(fabric, {}, { prefillSeconds: (tokens) => tokens * 1e-3 })
    const request = { tenant: DEFAULT_TENANT, prompt: { text: text(40) } }
    const before = await node.plan(request)
    expect(before.steps.map(({ source }) => source)).toEqual(['prefill'])
    expect(fabric.stats().fragments).toBe(0)
    await node.rebuild(request)
    const fresh = nodeOn(fabric)
    const after = await fresh.plan(request)
    expect(after.steps[0]?.source).toBe('memory')
    expect(after.expectedSeconds).toBeLessThan(after.prefillAllSeconds)
  })

  it('ends soon when it is cancelled, and serves the next request', async () => {
    const fabric = await fabricOver()
    const slow = { prefillSeconds: (tokens: number) => tokens, wait: waitForAbort }
    const node = nodeOn(fabric, {}, slow)
    const cancel = new AbortController()
    const answer = node.generate({ ...asked, prompt: { text: text(40) }, signal: cancel.signal })
    setTimeout(() => cancel.abort(), 10)
    await expect(answer).rejects.toMatchObject({ code: 'ABORTED' })
    expect(fabric.stats().fragments).toBe(0)
    expect(node.stats().resident).toMatchObject({ contexts: 0, contextsInUse: 0 })
  })

  it('answers although nothing of the answer can be kept, and says so', async () => {
    const store = new MemoryStore(clock)
    const fabric = await fabricOver(store)
    const node = nodeOn(fabric, { moved: { measuredShare: 0, random: () => 0 } })
    store.put = async () => {
      throw new MembraneError('STORE_FULL', 'Full.')
    }
    const answer = await node.generate({ ...asked, prompt: { text: text(40) } })
    expect(answer.text).not.toBe('')
    expect(answer.stored).toMatchObject({ fragments: 0, error: { code: 'STORE_FULL' } })
  })

  it('is closed only when what was computed is stored, also for a request that failed', async () => {
    const store = new MemoryStore(clock)
    const fabric = await fabricOver(store)
    const { promise: mayPut, resolve } = Promise.withResolvers<void>()
    const put = store.put.bind(store)
    store.put = async (fragment) => {
      await mayPut
      return put(fragment)
    }
    const node = nodeOn(fabric)
    const onText = (): void => {
      throw new Error('The listener has gone.')
    }
    await expect(node.generate({ ...asked, prompt: { text: text(40) }, onText })).rejects.toThrow('listener')
    let isClosed = false
    const closed = node.close().then(() => {
      isClosed = true
    })
    await new Promise((next) => setTimeout(next, 20))
    expect(isClosed).toBe(false)
    resolve()
    await closed
    expect(fabric.stats().fragments).toBeGreaterThan(0)
  })

  it.each([
    ['an empty prompt', { prompt: { tokenIds: new Uint32Array(0) } }, /no tokens/],
    ['a prompt that is longer than the context', { prompt: { tokenIds: new Uint32Array(512) } }, /takes 512/],
    ['an unknown token', { prompt: { tokenIds: Uint32Array.of(1, 99_999) } }, /token 1 of the prompt is 99999/],
    ['no token to generate', { prompt: { text: 'a' }, maxTokens: 0 }, /1 to \d+; found 0/],
    ['more tokens than there is room for', { prompt: { text: 'a' }, maxTokens: 512 }, /found 512/],
    ['a sampling out of range', { prompt: { text: 'a' }, sampling: { temperature: -1 } }, /temperature/],
  ])('refuses %s', async (_, request, message) => {
    const node = nodeOn(await fabricOver())
    await expect(node.generate({ ...asked, ...request })).rejects.toMatchObject({ code: 'INVALID_REQUEST' })
    await expect(node.generate({ ...asked, ...request })).rejects.toThrow(message)
  })
})

async function waitForAbort(_: number, signal: AbortSignal | undefined): Promise<void> {
  await new Promise<void>((resolve) => signal?.addEventListener('abort', () => resolve(), { once: true }))
}

/** Flips a bit of everything that is read, while it is told to. */
function damaging(inner: FragmentStore): FragmentStore & { isDamaging: boolean } {
  const flipped = (fragment: StoredFragment): StoredFragment => {
    const payload = fragment.payload.slice()
    payload[payload.length - 1] = (payload.at(-1) ?? 0) ^ 1
    return { ...fragment, payload }
  }
  return {
    isDamaging: false,
    put: (fragment) => inner.put(fragment),
    async get(key, options) {
      const found = await inner.get(key, options)
      return found !== null && this.isDamaging && found.payload.length > 0 ? flipped(found) : found
    },
    stream: (key, options) => inner.stream(key, options),
    head: (key) => inner.head(key),
    has: (keys) => inner.has(keys),
    remove: (keys) => inner.remove(keys),
    list: (prefix) => inner.list(prefix),
    stats: () => inner.stats(),
    sync: () => inner.sync(),
    purge: () => inner.purge(),
    close: () => inner.close(),
  }
}
