import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { openCpuBackend, DEFAULT_MODEL_PATH } from '../compute/cpu.ts'
import { unpackBlockHashes } from '../core/block-hashes.ts'
import type { KvBackend } from '../core/compute.ts'
import { assert } from '../core/errors.ts'
import { contextName, fragmentKey } from '../core/fragment-key.ts'
import type { Fragment, TokenSpan } from '../core/fragment.ts'
import { createHashChain } from '../core/hash-chains.ts'
import { DEFAULT_TENANT } from '../core/ids.ts'
import type { Tensor } from '../core/safetensors.ts'
import { loadChainHashes } from '../hashing/chain-hashes.ts'
import { loadContentHashers } from '../hashing/content-hashers.ts'
import { MovedIndex } from '../indices/moved.ts'
import { kullbackLeibler } from './moved-divergence.ts'
import { movedCandidates } from './moved-find.ts'
import { DEFAULT_MOVED, type MovedReuse } from './moved-options.ts'
import { findMoved } from './moved-reuse.ts'
import { moveSpan, recomputedTokens } from './moved-span.ts'
import type { RebuildMemory, RebuildParts, RebuildRequest, RebuildResult } from './rebuild-ports.ts'
import { storedSpans } from './rebuild-store.ts'
import { rebuildContext, storeContext } from './rebuild.ts'

const chainHashes = await loadChainHashes()
const { hashers } = await loadContentHashers()
const FRAGMENTIZE = { blockTokens: 16, fragmentTokens: 64 }
const chain = createHashChain('blake3', { hashes: chainHashes, blockTokens: FRAGMENTIZE.blockTokens })

let backend: KvBackend
beforeAll(async () => {
  backend = await openCpuBackend({
    modelPath: DEFAULT_MODEL_PATH,
    threads: 1,
    memoryBytesMax: 256 * 1024 * 1024,
    blake3: chainHashes.blake3,
    contentHasher: hashers.b3,
  })
})
afterAll(async () => {
  await backend.close()
})

const DOCUMENT = `Package: libsnapper-dev
Section: libdevel
Summary: development files of a tool that manages snapshots of file systems

Snapper creates, compares and restores snapshots of file systems. It can create snapshots before and after an
installation of packages, show what has changed in between, and undo these changes. Old snapshots are removed by
rules that keep some of each hour, day and month. This package contains the header files and the static library that
are needed to build applications which use it.`

function promptOf(before: string, after: string): Uint32Array {
  const { tokenizer } = backend.model
  const texts = [before, DOCUMENT, after].map((text) => tokenizer.encode(text))
  return Uint32Array.from([...tokenizer.startTokens, ...texts.flatMap((tokenIds) => [...tokenIds])])
}

const FIRST = 'Package: zsh\nSection: shells\nSummary: a shell with many features\n\nZsh is a command interpreter.\n\n'
const SECOND = 'Summary: a game of cards\n\nThis package has a card game for one, with forty decks and a hint key.\n\n'

class MapMemory implements RebuildMemory {
  readonly entries = new Map<string, Fragment>()
  /** Keys that are damaged or gone when they are read. */
  readonly lost = new Set<string>()

  async find({ hashes }: Parameters<RebuildMemory['find']>[0]): ReturnType<RebuildMemory['find']> {
    const blocks = new Set(unpackBlockHashes(hashes))
    return [...this.entries]
      .filter(([, { description }]) => description.blocks.some((block) => blocks.has(block)))
      .map(([key, { description, payload }]) => ({
        key,
        description,
        contentHash: hashers.b3.hash(payload),
        payloadBytes: payload.length,
        tier: 'memory' as const,
      }))
  }

  async read(key: string): Promise<Uint8Array | null> {
    return this.lost.has(key) ? null : (this.entries.get(key)?.payload ?? null)
  }

  async put(fragment: Fragment): ReturnType<RebuildMemory['put']> {
    this.entries.set(fragmentKey(contextName(fragment.description)), fragment)
    return 'stored'
  }

  used(): void {}
}

function partsOf(memory: RebuildMemory, moved: MovedReuse | null): RebuildParts {
  return {
    model: backend.model,
    memory,
    hashers,
    fragmentize: FRAGMENTIZE,
    stopwatch: { seconds: () => performance.now() / 1000 },
    alarm: {
      after: (seconds, callback) => {
        const timer = setTimeout(callback, 1000 * seconds)
        return () => clearTimeout(timer)
      },
    },
    // Computing is slow, so everything that there is, is read, and waited for.
    rates: {
      read: () => ({ latencySeconds: 0.001, bytesPerSecond: 1e9, isMeasured: true }),
      prefillSeconds: ({ start, end }) => end - start,
      isPrefillMeasured: true,
      observeRead: () => {},
      observePrefill: () => {},
    },
    directory: null,
    peers: null,
    remotePrefill: null,
    moved,
  }
}

function requestOf(tokenIds: Uint32Array, rest: Partial<RebuildRequest> = {}): RebuildRequest {
  const hashes = chain.hash(tokenIds, { model: backend.model.fingerprint, tenantSalt: 'salt' })
  return { tenant: DEFAULT_TENANT, tokenIds, hashes, session: null, reuse: 'exact', movedScope: 'us', ...rest }
}

async function rebuild(parts: RebuildParts, request: RebuildRequest) {
  const context = await backend.openContext(request.tokenIds.length)
  try {
    const result = await rebuildContext(parts, context, request)
    const report = await result.stored
    expect(report.error).toBeNull()
    const logits = context.logits().slice()
    const given = await context.read({ start: 0, end: request.tokenIds.length })
    const firstLayer = ['layers.0.k', 'layers.0.v'].map((name) => tensorOf(given, name))
    return { result, report, logits, firstLayer }
  } finally {
    await context.close()
  }
}

async function full(tokenIds: Uint32Array): Promise<Float32Array> {
  const context = await backend.openContext(tokenIds.length)
  await context.prefill(0, tokenIds)
  const logits = context.logits().slice()
  await context.close()
  return logits
}

const spansFrom = (result: RebuildResult, source: string): readonly TokenSpan[] =>
  result.explain.filter((span) => span.source === source).map(({ start, end }) => ({ start, end }))

function newReuse(measured = 1): MovedReuse {
  const index = new MovedIndex({ blockTokens: FRAGMENTIZE.blockTokens, tokensMax: 10_000 })
  return { index, options: DEFAULT_MOVED, measure: { backend, share: measured, random: () => 0 } }
}

describe('a rebuild that may take moved KV', () => {
  test('reads KV of the same tokens at another place, computes the first of them, and says how far off it is', async () => {
    const memory = new MapMemory()
    const parts = partsOf(memory, newReuse())
    const first = promptOf(FIRST, '\n\nSection')
    expect((await rebuild(parts, requestOf(first))).result.approximate).toBeNull()
    const second = promptOf(SECOND, '\n\nPackage: lib')
    const { result, logits, firstLayer } = await rebuild(parts, requestOf(second, { reuse: 'moved' }))
    const [moved] = spansFrom(result, 'moved')
    assert(moved !== undefined, 'something is moved')
    // The first layer's keys and values are of each token and its position alone.
    const computed = await rebuild(parts, requestOf(second, { reuse: 'none' }))
    for (const [index, numbers] of computed.firstLayer.entries())
      expect(greatestDifference(firstLayer[index] ?? new Float32Array(0), numbers)).toBeLessThan(1e-5)
    expect(moved.end - moved.start).toBeGreaterThan(80)
    expect(result.reusedTokens).toBe(moved.end - moved.start)
    const planned = result.plan.steps.find(({ source }) => source === 'moved')
    expect(moved.start - (planned?.span.start ?? 0)).toBe(
      recomputedTokens((planned?.span.end ?? 0) - (planned?.span.start ?? 0)),
    )
    expect(result.explain.map(({ end }) => end).slice(0, -1)).toEqual(result.explain.slice(1).map(({ start }) => start))
    const divergence = kullbackLeibler(await full(second), logits)
    expect(result.approximate).toEqual({ sampled: true, klNats: divergence })
    expect(divergence).toBeGreaterThan(0)
    // Without the document at all it is 0.9 nats.
    expect(divergence).toBeLessThan(0.05)
  })

  test('stores nothing that rests on it, so that all that is stored is what a full prefill computes', async () => {
    const memory = new MapMemory()
    const parts = partsOf(memory, newReuse(0))
    await rebuild(parts, requestOf(promptOf(FIRST, '\n\nSection')))
    const before = new Set(memory.entries.keys())
    const second = promptOf(SECOND, `\n\n${FIRST}${SECOND}`)
    const request = requestOf(second, { reuse: 'moved' })
    const { result } = await rebuild(parts, request)
    // Whole blocks are computed behind it.
    expect(second.length - (spansFrom(result, 'moved')[0]?.end ?? 0)).toBeGreaterThan(2 * FRAGMENTIZE.blockTokens)
    expect(result.approximate).toEqual({ sampled: false, klNats: null })
    expect(parts.moved?.index.records).toBe(1)
    const [moved] = spansFrom(result, 'moved')
    const added = [...memory.entries].filter(([key]) => !before.has(key)).map(([, fragment]) => fragment)
    expect(added.length).toBeGreaterThan(0)
    const context = await backend.openContext(second.length)
    await context.prefill(0, second)
    for (const { description, payload } of added) {
      const { tokens } = description.signature
      expect(tokens.end).toBeLessThanOrEqual(moved?.start ?? 0)
      const [exact] = await context.read(tokens)
      const bytes = exact?.tensors.map(({ data }) => Buffer.from(data).toString('latin1')) ?? []
      const text = Buffer.from(payload).toString('latin1')
      expect(bytes.every((tensor) => text.includes(tensor))).toBe(true)
    }
    const entries = memory.entries.size
    expect(await storeContext(parts, context, { ...request, start: 0 })).toMatchObject({ fragments: 0, error: null })
    expect(memory.entries.size).toBe(entries)
    await context.close()
    // An exact rebuild does not see the difference.
    const exact = await rebuild(parts, requestOf(second))
    expect(exact.result.approximate).toBeNull()
    expect(exact.logits).toEqual(await full(second))
  })

  test('takes exact KV where there is some, and is then not approximate', async () => {
    const memory = new MapMemory()
    const parts = partsOf(memory, newReuse())
    const second = promptOf(SECOND, '\n\nPackage: lib')
    for (const tokenIds of [promptOf(FIRST, '\n\nSection'), second]) await rebuild(parts, requestOf(tokenIds))
    const { result, logits } = await rebuild(parts, requestOf(second, { reuse: 'moved' }))
    expect(result.approximate).toBeNull()
    expect(spansFrom(result, 'moved')).toEqual([])
    expect(logits).toEqual(await full(second))
  })

  test('computes the first of its tokens also behind exact KV', async () => {
    const memory = new MapMemory()
    const parts = partsOf(memory, newReuse())
    const { tokenizer } = backend.model
    const before = [...tokenizer.startTokens, ...tokenizer.encode(`${SECOND}${FIRST}`)]
    const exactTokens = 2 * FRAGMENTIZE.blockTokens
    expect(before.length).toBeGreaterThan(exactTokens)
    const prefix = Uint32Array.from(before.slice(0, exactTokens))
    await rebuild(parts, requestOf(Uint32Array.from([...prefix, 1]), { movedScope: null }))
    await rebuild(parts, requestOf(promptOf(FIRST, '\n\nSection')))
    const tokenIds = Uint32Array.from([...prefix, ...tokenizer.encode(DOCUMENT), 1, 2, 3])
    const { result } = await rebuild(parts, requestOf(tokenIds, { reuse: 'moved' }))
    expect(result.explain.slice(0, 3).map(({ source }) => source)).toEqual(['memory', 'prefill', 'moved'])
    expect(result.explain[0]).toMatchObject({ start: 0, end: exactTokens })
    expect(spansFrom(result, 'prefill')[0]?.end).toBeGreaterThanOrEqual(exactTokens + 16)
    expect(result.approximate?.klNats).toBeGreaterThan(0)
  })

  test('computes what it cannot read', async () => {
    const memory = new MapMemory()
    const parts = partsOf(memory, newReuse())
    await rebuild(parts, requestOf(promptOf(FIRST, '\n\nSection')))
    for (const key of memory.entries.keys()) memory.lost.add(key)
    const second = promptOf(SECOND, '\n\nPackage: lib')
    const { result, logits } = await rebuild(parts, requestOf(second, { reuse: 'moved' }))
    expect(result.plan.steps.some(({ source }) => source === 'moved')).toBe(true)
    expect([result.approximate, result.reusedTokens]).toEqual([null, 0])
    expect(logits).toEqual(await full(second))
  })

  test('finds nothing of another scope, of prompts that were not to be found, or when nothing is as long', async () => {
    const second = promptOf(SECOND, '\n\nPackage: lib')
    for (const [scope, asked, options] of [
      ['us', 'them', DEFAULT_MOVED],
      [null, 'us', DEFAULT_MOVED],
      ['us', 'us', { ...DEFAULT_MOVED, minTokens: 1000 }],
    ] as const) {
      const parts = partsOf(new MapMemory(), { ...newReuse(), options })
      await rebuild(parts, requestOf(promptOf(FIRST, '\n\nSection'), { movedScope: scope }))
      const { result } = await rebuild(parts, requestOf(second, { reuse: 'moved', movedScope: asked }))
      expect([result.approximate, result.reusedTokens]).toEqual([null, 0])
    }
  })

  test('is refused where there is none, or without a scope', async () => {
    const tokenIds = promptOf(FIRST, '')
    const refused = { code: 'INVALID_REQUEST' }
    const without = partsOf(new MapMemory(), null)
    await expect(rebuild(without, requestOf(tokenIds, { reuse: 'moved' }))).rejects.toMatchObject(refused)
    const parts = partsOf(new MapMemory(), newReuse())
    const unscoped = requestOf(tokenIds, { reuse: 'moved', movedScope: null })
    await expect(rebuild(parts, unscoped)).rejects.toMatchObject(refused)
  })
})

describe('candidates of moved KV', () => {
  test('are whole blocks that nobody has exactly, and never the last token', async () => {
    const memory = new MapMemory()
    const moved = newReuse()
    const record = promptOf(FIRST, '\n\nSection')
    await rebuild(partsOf(memory, moved), requestOf(record))
    const block = FRAGMENTIZE.blockTokens
    const known = record.slice(30, 30 + 6 * block - 5)
    const { tokenIds, hashes, tenant } = requestOf(Uint32Array.from([1, 2, 3, 4, 5, ...known]))
    expect(tokenIds.length % block).toBe(0)
    const find = async (exact: readonly TokenSpan[]): Promise<readonly TokenSpan[]> => {
      const parts = { model: backend.model, index: moved.index, memory, blockTokens: block }
      const options = { ...DEFAULT_MOVED, minTokens: 2 * block }
      const found = await movedCandidates(
        { ...parts, options },
        { scope: 'us', tenant, tokenIds, blocks: unpackBlockHashes(hashes), exact, leaseSeconds: 1 },
      )
      for (const { source, span, from } of found) {
        expect(source).toBe('moved')
        expect(record.slice(from.start, from.end)).toEqual(tokenIds.slice(span.start, span.end))
      }
      const looked = await findMoved(partsOf(memory, { ...moved, options }), requestOf(tokenIds, { reuse: 'moved' }), {
        blocks: unpackBlockHashes(hashes),
        exact,
        seconds: 600,
        leaseSeconds: 1,
      })
      expect(looked.candidates.map(({ span }) => span)).toEqual(found.map(({ span }) => span))
      // They are fragments of another prompt, so none of this one is stored.
      expect(storedSpans(looked.candidates).size).toBe(0)
      return found.map(({ span }) => span)
    }
    expect(await find([])).toEqual([{ start: block, end: 5 * block }])
    expect(await find([{ start: 0, end: 2 * block }])).toEqual([{ start: 2 * block, end: 5 * block }])
    expect(await find([{ start: 2 * block, end: 3 * block }])).toEqual([
      { start: block, end: 2 * block },
      { start: 3 * block, end: 5 * block },
    ])
    expect(await find([{ start: 0, end: 6 * block }])).toEqual([])
  })
})

describe('a moved span', () => {
  /** The first layer's keys and values are of each token alone, so there the moved ones are those that are computed. */
  test('has the KV of its new place, as far as it does not depend on what stood before', async () => {
    const document = backend.model.tokenizer.encode(DOCUMENT)
    const at = async (start: number) => {
      const tokenIds = Uint32Array.from([...Array.from({ length: start }, (_, index) => 100 + index), ...document])
      const context = await backend.openContext(tokenIds.length)
      await context.prefill(0, tokenIds)
      const span = { start, end: tokenIds.length }
      const parts = await context.read(span)
      await context.close()
      return { span, parts }
    }
    for (const [from, to] of [
      [3, 1500],
      [200, 7],
      [0, 16],
    ] as const) {
      const source = await at(from)
      const target = await at(to)
      const moved = moveSpan(source.parts, { from: source.span, to })
      expect(moved[0]?.signature).toEqual(target.parts[0]?.signature)
      for (const name of ['layers.0.k', 'layers.0.v']) {
        const most = greatestDifference(tensorOf(moved, name), tensorOf(target.parts, name))
        expect(most, `${name} from ${from} to ${to}`).toBeLessThan(1e-5)
      }
      expect(greatestDifference(tensorOf(moved, 'layers.3.k'), tensorOf(target.parts, 'layers.3.k'))).toBeGreaterThan(
        1e-3,
      )
    }
  })

  test('can be a part of what is there, and is written behind the tokens that are computed', async () => {
    const tokenIds = backend.model.tokenizer.encode(DOCUMENT)
    const context = await backend.openContext(tokenIds.length)
    await context.prefill(0, tokenIds)
    const parts = await context.read({ start: 10, end: 90 })
    const expected = await context.read({ start: 0, end: 60 })
    const moved = moveSpan(parts, { from: { start: 20, end: 60 }, to: 20 })
    await context.prefill(0, tokenIds.subarray(0, 27))
    await context.write(moveSpan(moved, { from: { start: 27, end: 60 }, to: 27 }))
    expect(context.filledTokens).toBe(60)
    expect(await context.read({ start: 0, end: 60 })).toEqual(expected)
    expect(() => moveSpan(parts, { from: { start: 9, end: 60 }, to: 0 })).toThrow('Tokens within 10 to 90 can be moved')
    expect(() => moveSpan(parts, { from: { start: 20, end: 91 }, to: 0 })).toThrow('found 20 to 91')
    expect(() => moveSpan(parts, { from: { start: 20, end: 60 }, to: -1 })).toThrow(
      'A span is moved to token 0 or later',
    )
    await context.close()
  })

  test.each([
    [10, 10],
    [64, 16],
    [200, 30],
    [0, 0],
  ])('of %i tokens has %i computed', (tokens, expected) => {
    expect(recomputedTokens(tokens)).toBe(expected)
  })
})

function tensorOf(parts: readonly { readonly tensors: readonly Tensor[] }[], name: string): Float32Array {
  const tensor = parts[0]?.tensors.find((one) => one.name === name)
  assert(tensor !== undefined, 'the part has the tensor')
  return new Float32Array(tensor.data.slice().buffer)
}

function greatestDifference(a: Float32Array, b: Float32Array): number {
  expect(a.length).toBe(b.length)
  return a.reduce((most, number, index) => Math.max(most, Math.abs(number - (b[index] ?? Number.NaN))), 0)
}
