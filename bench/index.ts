/**
 * The indices: block operations a second (look-ups, additions and removals with tiers, 8 holders) on a conversation
 * trace, bytes for a block and holder, the longest prefix of a prompt of 131,072 tokens, and what overlaps a span.
 */
import { existsSync, readFileSync } from 'node:fs'
import { gunzipSync } from 'node:zlib'
import type { BlockHashes } from '../src/core/block-hashes.ts'
import type { ModelFingerprint, TenantId } from '../src/core/ids.ts'
import { seededRandom } from '../src/core/random.ts'
import { ExactIndex } from '../src/indices/exact.ts'
import { PositionalIndex } from '../src/indices/positional.ts'
import type { Bench, Findings } from './bench.ts'
import { measureWarm, ratioOf } from './harness.ts'
import { NaiveIndex, textsOf } from './naive-index.ts'
import { syntheticTrace } from './synthetic-trace.ts'

/** Mooncake's own file is not part of this project; whoever has it names it here. */
const MOONCAKE = process.env['MEMBRANE_MOONCAKE_TRACE']
const hasMooncake = MOONCAKE !== undefined && existsSync(MOONCAKE)

const HOLDERS = 8
/** Blocks a holder has before its oldest prompts go: so that additions and removals come to a balance. */
const HOLDER_BLOCKS = 20_000
const DIGEST_BYTES = 32
const PROMPT_BLOCKS = 8192
const SPANS = 100_000
const BLOCK_TOKENS = 16
const OPERATIONS_PER_SECOND_TARGET = 3e6
const OPERATIONS_PER_SECOND_STRETCH = 10e6
const PAIR_BYTES_TARGET = 64
const PREFIX_TARGET_MS = 1
const OVERLAP_TARGET_MS = 0.02
const INDEX_OPTIONS = { pairsMax: 2 ** 24, seed: 12_031 }

const probes = {
  trace: {
    prepare: () => {
      const prompts = promptsOf(traceText())
      return () => replay(prompts).operations
    },
  },
  'trace-naive': {
    prepare: () => {
      const prompts = promptsOf(traceText()).map(textsOf)
      return () => replayNaive(prompts)
    },
  },
  prefix: {
    prepare: () => {
      const hashes = randomHashes(PROMPT_BLOCKS)
      const index = crowdedIndex(hashes)
      return () => index.longestPrefix(0, hashes)
    },
  },
  'prefix-naive': {
    prepare: () => {
      const texts = textsOf(randomHashes(PROMPT_BLOCKS))
      const index = new NaiveIndex()
      index.add(textsOf(randomHashes(500_000, 2)), 0, 500_000, 0, 'disk')
      for (let holder = 0; holder < HOLDERS; holder++) index.add(texts, 0, PROMPT_BLOCKS >> holder, holder, 'memory')
      return () => index.longestPrefix(texts)
    },
  },
  overlap: {
    prepare: () => {
      const { index, sequence } = crowdedSequence()
      let start = 0
      return () => {
        start = (start + 7919 * BLOCK_TOKENS) % (SPANS * BLOCK_TOKENS)
        return index.overlapping(sequence, { start, end: start + 8 * BLOCK_TOKENS }, 100)
      }
    },
  },
  'overlap-scan': {
    prepare: () => {
      const spans = Array.from({ length: SPANS }, (_, index) => spanOf(index))
      let at = 0
      return () => {
        at = (at + 7919 * BLOCK_TOKENS) % (SPANS * BLOCK_TOKENS)
        return spans.filter(({ start, end }) => start < at + 8 * BLOCK_TOKENS && end > at)
      }
    },
  },
} as const satisfies Bench['probes']

export const bench: Bench = {
  summary: `block operations of ${HOLDERS} holders on a conversation trace, longest prefix, overlap`,
  probes,
  run: async (): Promise<Findings> => {
    const prompts = promptsOf(traceText())
    const { operations, matchedBlocks, index } = replay(prompts)
    if (replayNaive(prompts.map(textsOf)) !== matchedBlocks) throw new Error('The naive index matches other blocks.')
    const bytesPerPair = index.byteLength / index.pairs
    const worst = worstBytesPerPair()
    const times = measureWarm(probes, ['trace', 'trace-naive', 'prefix', 'prefix-naive', 'overlap', 'overlap-scan'])
    const perSecond = (runsMs: readonly number[]): string =>
      `${(operations / Math.min(...runsMs) / 1000).toFixed(1)} M block operations/s`
    const targetMs = (operations / OPERATIONS_PER_SECOND_TARGET) * 1000
    return {
      rows: [
        { what: `${operations} block operations`, runsMs: times.trace, targetMs, note: perSecond(times.trace) },
        { what: 'peer: Map of Maps', runsMs: times['trace-naive'], note: perSecond(times['trace-naive']) },
        { what: `longest prefix of ${PROMPT_BLOCKS} blocks`, runsMs: times.prefix, targetMs: PREFIX_TARGET_MS },
        { what: 'peer: Map of Maps', runsMs: times['prefix-naive'] },
        { what: `overlap among ${SPANS} spans`, runsMs: times.overlap, targetMs: OVERLAP_TARGET_MS },
        { what: 'peer: a look through all spans', runsMs: times['overlap-scan'] },
      ],
      ratios: [
        ratioOf('Map of Maps / exact index, trace', times['trace-naive'], times.trace),
        ratioOf('Map of Maps / exact index, longest prefix', times['prefix-naive'], times.prefix),
        ratioOf('look through all / interval tree', times['overlap-scan'], times.overlap),
      ],
      notes: [
        hasMooncake ? "Mooncake's conversation trace." : 'A synthetic trace.',
        `Stretch: ${OPERATIONS_PER_SECOND_STRETCH / 1e6} M block operations/s, ${((operations / OPERATIONS_PER_SECOND_STRETCH) * 1000).toFixed(1)} ms.`,
        `${bytesPerPair.toFixed(1)} bytes for a block and holder after the trace (${index.blocks} blocks, ${index.pairs} pairs).`,
        `${worst.toFixed(1)} at worst with one holder each, 100,000 blocks to 2 million, target ${PAIR_BYTES_TARGET}: ${worst <= PAIR_BYTES_TARGET ? 'met' : 'NOT MET'}.`,
      ],
    }
  },
}

interface Replay {
  readonly operations: number
  readonly matchedBlocks: number
  readonly index: ExactIndex
}

/**
 * Each prompt is looked up and goes to the holder with the longest run of those that are due; what it lacks is added in
 * memory, the second half of it on disk as well, and what is too much for the holder is removed, the oldest first.
 */
function replay(prompts: readonly BlockHashes[]): Replay {
  const index = new ExactIndex(INDEX_OPTIONS)
  const queues = Array.from({ length: HOLDERS }, (): { prompt: BlockHashes; start: number }[] => [])
  const heads = new Int32Array(HOLDERS)
  const blocksOf = new Int32Array(HOLDERS)
  let operations = 0
  let matchedBlocks = 0
  for (const [number, prompt] of prompts.entries()) {
    const match = index.longestPrefix(0, prompt)
    const run = match.runs[0]
    const holder = run !== undefined && 2 * run.blocks > prompt.count ? run.holder : number % HOLDERS
    const start = match.runs.find((one) => one.holder === holder)?.blocks ?? 0
    const middle = (start + prompt.count) >> 1
    index.add({ namespace: 0, hashes: prompt, start }, holder, 'memory')
    index.add({ namespace: 0, hashes: prompt, start: middle }, holder, 'disk')
    operations += match.blocks + 1 + (prompt.count - start) + (prompt.count - middle)
    matchedBlocks += match.blocks
    queues[holder]?.push({ prompt, start })
    blocksOf[holder] = (blocksOf[holder] ?? 0) + prompt.count - start
    while ((blocksOf[holder] ?? 0) > HOLDER_BLOCKS) {
      const head = heads[holder] ?? 0
      heads[holder] = head + 1
      const oldest = queues[holder]?.[head]
      if (oldest === undefined) break
      const hashes = oldest.prompt
      index.remove({ namespace: 0, hashes, start: oldest.start }, holder, null)
      operations += hashes.count - oldest.start
      blocksOf[holder] = (blocksOf[holder] ?? 0) - hashes.count + oldest.start
    }
  }
  return { operations, matchedBlocks, index }
}

/** The same with a map of maps. Gives the blocks that were matched. */
function replayNaive(prompts: readonly (readonly string[])[]): number {
  const index = new NaiveIndex()
  const queues = Array.from({ length: HOLDERS }, (): { prompt: readonly string[]; start: number }[] => [])
  const heads = new Int32Array(HOLDERS)
  const blocksOf = new Int32Array(HOLDERS)
  let matchedBlocks = 0
  for (const [number, prompt] of prompts.entries()) {
    const { blocks, runs } = index.longestPrefix(prompt)
    const [best, run] = [...runs].sort((a, b) => b[1] - a[1] || a[0] - b[0])[0] ?? [0, 0]
    const holder = 2 * run > prompt.length ? best : number % HOLDERS
    const start = runs.get(holder) ?? 0
    index.add(prompt, start, prompt.length, holder, 'memory')
    index.add(prompt, (start + prompt.length) >> 1, prompt.length, holder, 'disk')
    matchedBlocks += blocks
    queues[holder]?.push({ prompt, start })
    blocksOf[holder] = (blocksOf[holder] ?? 0) + prompt.length - start
    while ((blocksOf[holder] ?? 0) > HOLDER_BLOCKS) {
      const head = heads[holder] ?? 0
      heads[holder] = head + 1
      const oldest = queues[holder]?.[head]
      if (oldest === undefined) break
      for (const hash of oldest.prompt.slice(oldest.start)) index.remove(hash, holder)
      blocksOf[holder] = (blocksOf[holder] ?? 0) - oldest.prompt.length + oldest.start
    }
  }
  return matchedBlocks
}

/** The prompt among half a million other blocks, with one holder that has all of it and others that have some. */
function crowdedIndex(hashes: BlockHashes): ExactIndex {
  const index = new ExactIndex(INDEX_OPTIONS)
  index.add({ namespace: 0, hashes: randomHashes(500_000, 2) }, 0, 'disk')
  for (let holder = 0; holder < HOLDERS; holder++)
    index.add({ namespace: 0, hashes, end: hashes.count >> holder }, holder, 'memory')
  return index
}

function crowdedSequence(): {
  readonly index: PositionalIndex
  readonly sequence: Parameters<PositionalIndex['at']>[0]
} {
  const index = new PositionalIndex({ spansMax: SPANS, seed: 1 })
  const sequence = { tenant: 'a' as TenantId, model: 'f'.repeat(64) as ModelFingerprint, sequence: 's' }
  const random = seededRandom(5)
  const order = Array.from({ length: SPANS }, (_, fragment) => ({ fragment, at: random() })).sort((a, b) => a.at - b.at)
  for (const { fragment } of order) index.insert(sequence, spanOf(fragment), fragment)
  return { index, sequence }
}

/** A span of four blocks begins at every block, so some ten overlap one of eight blocks. */
function spanOf(index: number): { readonly start: number; readonly end: number } {
  return { start: index * BLOCK_TOKENS, end: (index + 4) * BLOCK_TOKENS }
}

function worstBytesPerPair(): number {
  const index = new ExactIndex(INDEX_OPTIONS)
  const hashes = randomHashes(2_000_000, 3)
  let worst = 0
  for (let start = 0; start < hashes.count; start += 10_000) {
    index.add({ namespace: 0, hashes, start, end: start + 10_000 }, 0, 'memory')
    if (index.pairs >= 100_000) worst = Math.max(worst, index.byteLength / index.pairs)
  }
  return worst
}

function traceText(): string {
  if (!hasMooncake) return syntheticTrace()
  const bytes = readFileSync(MOONCAKE)
  return (bytes[0] === 0x1f ? gunzipSync(bytes) : bytes).toString('utf8')
}

/** One digest a block id, random and the same each time. */
function promptsOf(text: string): BlockHashes[] {
  const lists = text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => (JSON.parse(line) as { readonly hash_ids: readonly number[] }).hash_ids)
  const digests = randomHashes(
    1 + lists.reduce((max, ids) => ids.reduce((most, id) => Math.max(most, id), max), 0),
  ).bytes
  return lists.map((ids) => {
    const bytes = new Uint8Array(ids.length * DIGEST_BYTES)
    for (const [index, id] of ids.entries())
      bytes.set(digests.subarray(id * DIGEST_BYTES, (id + 1) * DIGEST_BYTES), index * DIGEST_BYTES)
    return { chain: 'bench', digestBytes: DIGEST_BYTES, count: ids.length, bytes }
  })
}

function randomHashes(count: number, seed = 1): BlockHashes {
  const random = seededRandom(seed)
  const words = Int32Array.from({ length: (count * DIGEST_BYTES) / 4 }, () => Math.floor(2 ** 32 * random()))
  return { chain: 'bench', digestBytes: DIGEST_BYTES, count, bytes: new Uint8Array(words.buffer) }
}
