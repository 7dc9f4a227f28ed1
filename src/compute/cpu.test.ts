import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { constants, existsSync, mkdtempSync, openSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, afterEach, describe, expect, test } from 'vitest'
import { runs } from '../../test/effort.ts'
import { ggufBytes, randomLlama, smallTokenizer, TINY_LLAMA } from '../../test/gguf-writer.ts'
import type { ContextPart, KvBackend, KvContext } from '../core/compute.ts'
import { buildKv, parseKv } from '../core/fragment-kv.ts'
import type { ContentHasher } from '../core/ports.ts'
import { loadChainHashes } from '../hashing/chain-hashes.ts'
import { loadContentHashers } from '../hashing/content-hashers.ts'
import { type CpuBackendOptions, DEFAULT_MODEL_PATH, openCpuBackend } from './cpu.ts'
import { hashFile } from './model-file.ts'

const { blake3 } = await loadChainHashes()
const { hashers } = await loadContentHashers()

const folder = mkdtempSync(join(tmpdir(), 'membrane-cpu-'))
const TINY_PATH = join(folder, 'tiny.gguf')
writeFileSync(TINY_PATH, ggufBytes(randomLlama(TINY_LLAMA)))
afterAll(() => rmSync(folder, { recursive: true }))

const opened: KvBackend[] = []
afterEach(async () => {
  for (const backend of opened.splice(0)) await backend.close()
})

async function open(options: Partial<CpuBackendOptions> = {}): Promise<KvBackend> {
  const backend = await openCpuBackend({
    modelPath: TINY_PATH,
    threads: 1,
    memoryBytesMax: 64 * 1024 * 1024,
    blake3,
    contentHasher: hashers.b3,
    ...options,
  })
  opened.push(backend)
  return backend
}

function tokensOf(count: number, vocabularyTokens = TINY_LLAMA.vocabularyTokens): Uint32Array {
  return Uint32Array.from({ length: count }, (_, index) => (index * 7919 + 11) % vocabularyTokens)
}

async function kvOf(context: KvContext, start = 0, end = context.filledTokens): Promise<string> {
  const [part] = await context.read({ start, end })
  const hash = createHash('sha256')
  for (const { data } of part?.tensors ?? []) hash.update(data)
  return hash.digest('hex')
}

/** The likeliest token, of equals the smallest. */
function likeliest(logits: Float32Array): number {
  return logits.reduce((best, value, id) => (value > (logits[best] ?? 0) ? id : best), 0)
}

describe('a context', () => {
  test('says what a model keeps of it, in parts that fragments are made of', async () => {
    const backend = await open()
    expect(backend.model.parts).toEqual([
      {
        kind: 'kv',
        pool: 'kv',
        layers: { start: 0, end: 2 },
        dtype: 'F32',
        layout: 'tokens,heads,headDim',
        positionEncoding: 'rope:10000',
        bytes: 2 * 2 * 2 * 8 * 4,
      },
    ])
    const context = await backend.openContext(100)
    await context.prefill(0, tokensOf(20))
    const [part] = await context.read({ start: 4, end: 9 })
    if (part === undefined) throw new Error('There is one part.')
    expect(part.tensors.map(({ name, shape }) => [name, shape])).toEqual(
      ['layers.0.k', 'layers.0.v', 'layers.1.k', 'layers.1.v'].map((name) => [name, [5, 2, 8]]),
    )
    const layers = [0, 1].map((layer) => ({ layer, k: tensorOf(part, layer, 'k'), v: tensorOf(part, layer, 'v') }))
    const { signature, payload } = buildKv(part.signature, layers)
    expect(parseKv(signature, joined(payload.pieces))).toHaveLength(2)
  })

  test('continues from KV that was written, in any spans and order, as from its own', async () => {
    const backend = await open({ threads: 2 })
    const tokenIds = tokensOf(120)
    const source = await backend.openContext(120)
    await source.prefill(0, tokenIds)
    const [expected, logits] = [await kvOf(source), source.logits().slice()]
    await fc.assert(
      fc.asyncProperty(
        fc.uniqueArray(fc.integer({ min: 1, max: 119 }), { minLength: 1, maxLength: 5 }),
        fc.boolean(),
        async (cuts, isReversed) => {
          const context = await backend.openContext(121)
          const edges = [0, ...cuts.toSorted((a, b) => a - b)]
          const spans = edges.slice(1).map((end, index) => ({ start: edges[index] ?? 0, end }))
          for (const span of isReversed ? spans.toReversed() : spans) await context.write(await source.read(span))
          const filled = edges.at(-1) ?? 0
          expect(context.filledTokens).toBe(filled)
          await context.prefill(filled, tokenIds.subarray(filled))
          expect(await kvOf(context)).toBe(expected)
          expect(context.logits()).toEqual(logits)
          await context.close()
        },
      ),
      { numRuns: runs(15) },
    )
  })

  test('has gaps until they are written, and is filled up to the first', async () => {
    const backend = await open()
    const source = await backend.openContext(64)
    await source.prefill(0, tokensOf(64))
    const context = await backend.openContext(64)
    await context.write(await source.read({ start: 16, end: 32 }))
    expect(context.filledTokens).toBe(0)
    await expect(context.read({ start: 0, end: 32 })).rejects.toMatchObject({ code: 'INVALID_REQUEST' })
    await expect(context.prefill(16, tokensOf(1))).rejects.toMatchObject({ code: 'INVALID_REQUEST' })
    expect(await kvOf(context, 16, 32)).toBe(await kvOf(source, 16, 32))
    await context.write(await source.read({ start: 0, end: 16 }))
    expect(context.filledTokens).toBe(32)
    context.truncate(20)
    expect(context.filledTokens).toBe(20)
    // What follows a prefill is replaced with it.
    await context.write(await source.read({ start: 20, end: 64 }))
    await context.prefill(30, tokensOf(2))
    expect(context.filledTokens).toBe(32)
  })

  test('that is cancelled in the middle is as it was before', async () => {
    const backend = await open({ modelPath: DEFAULT_MODEL_PATH })
    const context = await backend.openContext(1024)
    await context.prefill(0, tokensOf(300, 4096))
    const [kv, logits] = [await kvOf(context), context.logits().slice()]
    // Is found to be cancelled when two of ten chunks have been computed.
    const { signal } = new AbortController()
    let looks = 0
    Object.defineProperty(signal, 'aborted', { get: () => ++looks > 3 })
    const call = context.prefill(100, tokensOf(900, 4000), { signal })
    await expect(call).rejects.toMatchObject({ code: 'ABORTED' })
    expect(context.filledTokens).toBe(300)
    expect(await kvOf(context)).toBe(kv)
    expect(context.logits()).toEqual(logits)
    await expect(context.prefill(300, tokensOf(1), { signal })).rejects.toMatchObject({
      code: 'ABORTED',
    })
    await expect(context.read({ start: 0, end: 1 }, { signal })).rejects.toMatchObject({
      code: 'ABORTED',
    })
  })

  test('refuses parts of anything else, and changes nothing', async () => {
    const backend = await open()
    const source = await backend.openContext(64)
    await source.prefill(0, tokensOf(64))
    const [part] = await source.read({ start: 0, end: 16 })
    if (part === undefined) throw new Error('There is one part.')
    const context = await backend.openContext(32)
    await context.prefill(0, tokensOf(20))
    const before = await kvOf(context)
    const { signature, tensors } = part
    const [first] = tensors
    if (first === undefined) throw new Error('There are tensors.')
    const wrong: readonly (readonly ContextPart[])[] = [
      [],
      [part, part],
      [{ ...part, pool: 'state' }],
      [{ ...part, signature: { ...signature, model: 'ab'.repeat(32) as typeof signature.model } }],
      [{ ...part, signature: { ...signature, dtype: 'F16' } }],
      [{ ...part, signature: { ...signature, layout: 'heads,tokens,headDim' } }],
      [{ ...part, signature: { ...signature, positionEncoding: 'none' } }],
      [{ ...part, signature: { ...signature, layers: { start: 0, end: 1 } } }],
      [{ ...part, signature: { ...signature, heads: { start: 0, end: 2 } } }],
      [{ ...part, signature: { ...signature, tokens: { start: 0, end: 15 } } }],
      [{ ...part, tensors: tensors.slice(2) }],
      [{ ...part, tensors: [{ ...first, shape: [16, 1, 16] }, ...tensors.slice(1)] }],
      [{ ...part, tensors: [{ ...first, data: first.data.subarray(4) }, ...tensors.slice(1)] }],
    ]
    for (const parts of wrong) await expect(context.write(parts)).rejects.toMatchObject({ code: 'INVALID_FRAGMENT' })
    const beyond = await source.read({ start: 30, end: 40 })
    await expect(context.write(beyond)).rejects.toMatchObject({ code: 'OUT_OF_DOMAIN' })
    expect(await kvOf(context)).toBe(before)
  })

  test('refuses tokens that there are not, and positions that it has not', async () => {
    const context = await (await open()).openContext(32)
    const refused = async (start: number, tokenIds: Uint32Array, code: string): Promise<void> => {
      await expect(context.prefill(start, tokenIds)).rejects.toMatchObject({ code })
    }
    await refused(0, new Uint32Array(0), 'INVALID_REQUEST')
    await refused(0, Uint32Array.of(300), 'INVALID_REQUEST')
    await refused(0, tokensOf(33), 'OUT_OF_DOMAIN')
    await refused(-1, tokensOf(1), 'OUT_OF_DOMAIN')
    await refused(0.5, tokensOf(1), 'OUT_OF_DOMAIN')
    expect(() => context.logits()).toThrow('there was none')
    expect(context.filledTokens).toBe(0)
  })

  test('whose KV is not finite says so', async () => {
    const backend = await open()
    const context = await backend.openContext(32)
    await context.prefill(0, tokensOf(16))
    const [part] = await context.read({ start: 0, end: 16 })
    const tensors = part?.tensors.map((tensor) => ({ ...tensor, data: new Uint8Array(tensor.data.length).fill(0xff) }))
    if (part === undefined || tensors === undefined) throw new Error('There is one part.')
    await context.write([{ ...part, tensors }])
    await expect(context.prefill(16, tokensOf(2))).rejects.toMatchObject({ code: 'COMPUTE_FAILED' })
    expect(context.filledTokens).toBe(16)
  })
})

describe('an engine', () => {
  test('has room for so many contexts, and for others once they are closed', async () => {
    const backend = await open({ memoryBytesMax: 2 * 1024 * 1024 })
    const contexts: KvContext[] = []
    const fill = async (): Promise<void> => {
      for (;;) contexts.push(await backend.openContext(128))
    }
    await expect(fill()).rejects.toMatchObject({ code: 'COMPUTE_FULL' })
    const count = contexts.length
    expect(count).toBeGreaterThan(5)
    for (const context of contexts.splice(0)) {
      expect(context.residentBytes).toBe(128 * 256 + 300 * 4)
      await context.close()
      await context.close()
      expect(context.residentBytes).toBe(0)
      await expect(context.prefill(0, tokensOf(1))).rejects.toMatchObject({ code: 'COMPUTE_FAILED' })
    }
    await expect(fill()).rejects.toMatchObject({ code: 'COMPUTE_FULL' })
    expect(contexts).toHaveLength(count)
    for (const tokens of [0, 129, 1.5])
      await expect(backend.openContext(tokens)).rejects.toMatchObject({ code: 'OUT_OF_DOMAIN' })
  })

  test('computes for several contexts at once, each as if alone', async () => {
    const backend = await open({ threads: 2 })
    const one = await backend.openContext(100)
    await one.prefill(0, tokensOf(100))
    const others = await Promise.all([10, 100, 128, 50].map((tokens) => backend.openContext(tokens)))
    await Promise.all(others.map((context, index) => context.prefill(0, tokensOf([10, 100, 99, 50][index] ?? 0))))
    for (const context of others) expect(await kvOf(context)).toBe(await kvOf(one, 0, context.filledTokens))
  })

  test('that is closed ends what it had, and can be closed again', async () => {
    const backend = await open()
    const context = await backend.openContext(128)
    const call = context.prefill(0, tokensOf(128))
    await backend.close()
    await call
    await backend.close()
    await expect(context.read({ start: 0, end: 1 })).rejects.toMatchObject({ code: 'COMPUTE_FAILED' })
    await expect(backend.openContext(1)).rejects.toMatchObject({ code: 'COMPUTE_FAILED' })
  })

  test('has a fingerprint of its name and its weights', async () => {
    const [a, b, c] = [await open(), await open({ threads: 2 }), await open({ modelName: 'another' })]
    expect(a.model.fingerprint).toBe(b.model.fingerprint)
    expect(a.model.fingerprint).not.toBe(c.model.fingerprint)
    expect([a.model.name, c.model.name]).toEqual(['random-1', 'another'])
    const path = join(folder, 'other.gguf')
    writeFileSync(path, ggufBytes(randomLlama({ ...TINY_LLAMA, seed: 2 })))
    const other = await open({ modelPath: path, modelName: 'random-1' })
    expect(other.model.fingerprint).not.toBe(a.model.fingerprint)
  })

  test('refuses what it cannot run', async () => {
    const file = (name: string, bytes: Uint8Array): string => {
      writeFileSync(join(folder, name), bytes)
      return join(folder, name)
    }
    const tiny = randomLlama(TINY_LLAMA)
    const short = { ...tiny, metadata: { ...tiny.metadata, ...smallTokenizer(290) } }
    await expect(open({ modelPath: join(folder, 'none.gguf') })).rejects.toMatchObject({ code: 'FILE_UNREADABLE' })
    for (const bytes of [new Uint8Array(100), ggufBytes(short)])
      await expect(open({ modelPath: file('bad.gguf', bytes) })).rejects.toMatchObject({ code: 'INVALID_MODEL' })
    await expect(open({ memoryBytesMax: 100_000 })).rejects.toMatchObject({ code: 'COMPUTE_FULL' })
    for (const threads of [0, 65, 1.5])
      await expect(open({ threads })).rejects.toMatchObject({ code: 'INVALID_REQUEST' })
    await expect(open({ memoryBytesMax: 0 })).rejects.toMatchObject({ code: 'INVALID_REQUEST' })
  })
})

describe('a model file', () => {
  test('that is a pipe is refused, and nobody waits at its other end', async () => {
    const path = join(folder, 'pipe.gguf')
    execFileSync('sh', ['-c', `mkfifo '${path}'`])
    await expect(open({ modelPath: path })).rejects.toMatchObject({ code: 'FILE_UNREADABLE' })
    await expect(hashFile(hashers.b3, path)).rejects.toMatchObject({ code: 'FILE_UNREADABLE' })
    // Succeeds only while somebody has opened it to read, or tries to.
    expect(() => openSync(path, constants.O_WRONLY | constants.O_NONBLOCK)).toThrow(/ENXIO/)
  })

  test('that is too large is refused before all of it is read', async () => {
    const path = join(folder, 'large.gguf')
    const tensors = [{ name: 'token_embd.weight', shape: [1, 32], type: 'F32', values: new Float32Array(32) }] as const
    writeFileSync(path, ggufBytes({ ...randomLlama(TINY_LLAMA), tensors }))
    await expect(open({ modelPath: path, memoryBytesMax: 127 })).rejects.toThrow(/need 128 bytes .* may use 127/)
  })

  test('that changes while it is read is refused: its KV would be taken for that of other weights', async () => {
    const path = join(folder, 'changing.gguf')
    writeFileSync(path, ggufBytes(randomLlama(TINY_LLAMA)))
    const changing: ContentHasher = {
      ...hashers.b3,
      start: () => {
        utimesSync(path, 1, 1)
        return hashers.b3.start()
      },
    }
    const opening = open({ modelPath: path, contentHasher: changing })
    await expect(opening).rejects.toMatchObject({ code: 'INVALID_MODEL', message: /has changed/ })
  })
})

describe('the model that comes along', () => {
  const PROMPT = 'Package: libmemcache-dev\nSection: libdevel\nSummary: development files for libmemcache\n\n'

  test('gives this KV and these scores on every machine', async () => {
    const backend = await open({ modelPath: DEFAULT_MODEL_PATH })
    const context = await backend.openContext(700)
    await context.prefill(0, tokensOf(600, 4096))
    expect(backend.model.fingerprint).toBe(GOLDEN.fingerprint)
    expect(await kvOf(context)).toBe(GOLDEN.kv)
    expect(createHash('sha256').update(context.logits()).digest('hex')).toBe(GOLDEN.logits)
  })

  test('gives them by the portable kernel too', async () => {
    const backend = await open({ modelPath: DEFAULT_MODEL_PATH, build: 'portable' })
    expect(backend.description).toBe('1 thread, portable kernel')
    const context = await backend.openContext(64)
    await context.prefill(0, tokensOf(40, 4096))
    expect(await kvOf(context)).toBe(GOLDEN.kvOf40)
  }, 60_000)

  test('writes like a Debian package description', async () => {
    const backend = await open({ modelPath: DEFAULT_MODEL_PATH })
    const context = await backend.openContext(256)
    const prompt = [...backend.model.tokenizer.startTokens, ...backend.model.tokenizer.encode(PROMPT)]
    await context.prefill(0, Uint32Array.from(prompt))
    const written: number[] = []
    for (let next = likeliest(context.logits()); !backend.model.tokenizer.endTokens.includes(next); ) {
      written.push(next)
      await context.prefill(context.filledTokens, Uint32Array.of(next))
      next = likeliest(context.logits())
    }
    expect(backend.model.tokenizer.decode(written)).toBe(GOLDEN.text)
  })

  test('is as perplexed by descriptions that it has not seen as it was when it was trained', async () => {
    const backend = await open({ modelPath: DEFAULT_MODEL_PATH })
    const context = await backend.openContext(512)
    const lines = readFileSync(join(import.meta.dirname, '../../test/golden/descriptions.jsonl'), 'utf8')
      .trim()
      .split('\n')
    let nats = 0
    let count = 0
    for (const line of lines) {
      const tokenIds = [0, ...backend.model.tokenizer.encode((JSON.parse(line) as { text: string }).text)].slice(0, 300)
      for (const [position, token] of tokenIds.slice(0, -1).entries()) {
        await context.prefill(position, Uint32Array.of(token))
        nats += natsOf(context.logits(), tokenIds[position + 1] ?? 0)
        count += 1
      }
    }
    expect(count).toBeGreaterThan(500)
    // Over all 600 descriptions it is 26.4; of these few 64-bit arithmetic would give the same to 0.1 %.
    expect(Math.exp(nats / count)).toBeCloseTo(GOLDEN.perplexity, 1)
  }, 60_000)
})

/** Nats by which a token surprises. */
function natsOf(logits: Float32Array, token: number): number {
  const top = logits.reduce((a, b) => Math.max(a, b))
  const sum = logits.reduce((total, value) => total + Math.exp(value - top), 0)
  return top + Math.log(sum) - (logits[token] ?? 0)
}

const STORIES = join(import.meta.dirname, '../../../shared/data/models/stories260K/stories260K-f32.gguf')
const hasStories = existsSync(STORIES)
const WHY = hasStories ? '' : ` (SKIPPED: no data folder ${STORIES})`

describe.skipIf(!hasStories)(`stories260K${WHY}`, () => {
  test('tells a story', async () => {
    const backend = await open({ modelPath: STORIES })
    const context = await backend.openContext(256)
    const prompt = [...backend.model.tokenizer.startTokens, ...backend.model.tokenizer.encode('Once upon a time')]
    await context.prefill(0, Uint32Array.from(prompt))
    const written: number[] = []
    for (let step = 0; step < 40; step++) {
      const next = likeliest(context.logits())
      written.push(next)
      await context.prefill(context.filledTokens, Uint32Array.of(next))
    }
    expect(backend.model.tokenizer.decode(written)).toBe(GOLDEN.story)
  })
})

function tensorOf({ tensors }: ContextPart, layer: number, side: string) {
  const tensor = tensors.find(({ name }) => name === `layers.${layer}.${side}`)
  if (tensor === undefined) throw new Error(`There is no ${side} of layer ${layer}.`)
  return tensor
}

function joined(pieces: readonly Uint8Array[]): Uint8Array {
  return new Uint8Array(Buffer.concat(pieces))
}

/** Of this version of the arithmetic (KV_ARITHMETIC): another one has another name. */
const GOLDEN = {
  fingerprint: '71da0574814923167c8eb20ae7119616d870511a79b04ddd283fcf2f8fefe33a',
  kv: '3e30a28c05c827880d876a34dd513f88a2970a17c661ddd33130fa9fe4839d15',
  kvOf40: 'f469a759c959e2b48623e9e1dbb9099ddce397f3d88893a212bdc2296c74303f',
  logits: '49eec5bcd26860ead39acdb2dcff70426622dd4e8962514cf6166257b2e99c3f',
  text: ' * memcache - development files\n\nThis package contains the development files for libmemcache.',
  perplexity: 24.16,
  story:
    ', there was a little girl named Lily. She loved to play outside in the park. One day, she saw a big, red ball.',
} as const
