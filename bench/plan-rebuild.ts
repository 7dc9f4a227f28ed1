/**
 * Plans of rebuilds: what a prompt waits for before the first byte is asked for. The plan itself is the smaller part of
 * it, so what comes before stands beside it: the hashes of the prompt's blocks, the look-up in a fabric, and the check
 * of what it proposes.
 */
import { createHashChain } from '../src/core/hash-chains.ts'
import { DEFAULT_TENANT, parseModelFingerprint } from '../src/core/ids.ts'
import { type BlockHashes, unpackBlockHashes } from '../src/core/block-hashes.ts'
import { loadChainHashes } from '../src/hashing/chain-hashes.ts'
import { loadContentHashers } from '../src/hashing/content-hashers.ts'
import { findCandidates } from '../src/reconstruct/rebuild-candidates.ts'
import { DEFAULT_FABRIC_OPTIONS, openFabric } from '../src/server/fabric.ts'
import { MemoryStore } from '../src/store/memory.ts'
import { planRebuild } from '../src/reconstruct/plan-rebuild.ts'
import type { RebuildPlanRequest, RebuildRates, ReuseCandidate } from '../src/reconstruct/rebuild-plan.ts'
import type { Bench, Findings, Row } from './bench.ts'
import { measureWarm, RUNS } from './harness.ts'

const BLOCK_TOKENS = 16
const KV_BYTES_PER_TOKEN = 2048
const SHORT_TOKENS = 1500
const LONG_TOKENS = 131_072
const SHORT_TARGET_MS = 1
const LONG_TARGET_MS = 5

const WARM_UP_TURNS = 30
const MODEL = parseModelFingerprint('ab'.repeat(32))
const PART = {
  layers: { start: 0, end: 4 },
  dtype: 'F32',
  layout: 'tokens,heads,headDim',
  positionEncoding: 'rope:10000',
} as const
const MODEL_PARTS = {
  name: 'bench',
  parts: [{ kind: 'kv', pool: 'kv', bytes: KV_BYTES_PER_TOKEN, ...PART }],
  isCanonical: true,
  chat: null,
  tokenizer: {
    vocabularyTokens: 32_000,
    startTokens: [],
    endTokens: [],
    encode: () => new Uint32Array(0),
    decode: () => '',
    decoder: () => ({ push: () => '', end: () => '' }),
  },
} as const

/** Latency and bandwidth by place. Computing is about as quick as a node, so that plans have something to decide. */
const PLACES = { memory: [5e-5, 2e9], disk: [5e-4, 5e8], b: [1e-3, 2e7], c: [1e-3, 1e8] } as const
const rates: RebuildRates = {
  read: (place) => {
    const [latencySeconds, bytesPerSecond] = PLACES[place as keyof typeof PLACES]
    return { latencySeconds, bytesPerSecond, isMeasured: true }
  },
  prefillSeconds: ({ start, end }) => 1e-4 * (end - start) + 0.5e-8 * (end * end - start * start),
  isPrefillMeasured: true,
}

const requests = {
  short: requestOf(SHORT_TOKENS, fragments(SHORT_TOKENS, 256, ['memory', 'b', 'disk']), true),
  fragments: requestOf(LONG_TOKENS, fragments(LONG_TOKENS, 512, ['disk', 'b', 'c', 'b']), true),
  'one-place': requestOf(LONG_TOKENS, fragments(LONG_TOKENS, BLOCK_TOKENS, ['b']), false),
  blocks: requestOf(LONG_TOKENS, fragments(LONG_TOKENS, BLOCK_TOKENS, ['disk', 'b', 'c']), false),
} as const

const probes = {
  short: probeOf(requests.short),
  fragments: probeOf(requests.fragments),
  'one-place': probeOf(requests['one-place']),
  blocks: probeOf(requests.blocks),
} as const satisfies Bench['probes']

export const bench: Bench = {
  summary: `plans of prompts of ${SHORT_TOKENS} and ${LONG_TOKENS} tokens in blocks of ${BLOCK_TOKENS}`,
  probes,
  run: async (): Promise<Findings> => {
    const names = Object.keys(probes) as (keyof typeof probes)[]
    const warm = measureWarm(probes, names)
    return {
      rows: [
        ...names.map((name) => ({
          what: `${name}: ${requests[name].promptTokens} tokens, ${requests[name].candidates.length} candidates`,
          runsMs: warm[name],
          targetMs: name === 'short' ? SHORT_TARGET_MS : LONG_TARGET_MS,
          note: noteOf(requests[name]),
        })),
        ...(await rowsBefore(SHORT_TOKENS, 512)),
        ...(await rowsBefore(LONG_TOKENS, 512)),
        ...(await rowsBefore(LONG_TOKENS, BLOCK_TOKENS)),
      ],
    }
  },
}

/** What comes before the plan, of a prompt whose whole blocks are all in a fabric. */
async function rowsBefore(tokens: number, fragmentTokens: number): Promise<readonly Row[]> {
  const [hashes, { hashers }] = await Promise.all([loadChainHashes(), loadContentHashers()])
  const clock = { nowMs: () => Date.now() }
  const store = new MemoryStore(clock)
  const fabric = await openFabric({ ...DEFAULT_FABRIC_OPTIONS, store, hashers, clock, tier: 'memory', seed: 1 })
  const own = fabric.of(DEFAULT_TENANT)
  const chain = createHashChain('blake3', { hashes, blockTokens: BLOCK_TOKENS })
  const tokenIds = Uint32Array.from({ length: tokens }, (_, index) => (index * 7919) % 32_000)
  const hashAll = (): BlockHashes => chain.hash(tokenIds, { model: MODEL })
  const blockHashes = hashAll()
  const blocks = unpackBlockHashes(blockHashes)
  const heldTokens = blocks.length * BLOCK_TOKENS
  for (let start = 0; start < heldTokens; start += fragmentTokens) {
    const [first, end] = [start / BLOCK_TOKENS, Math.min(start + fragmentTokens, heldTokens) / BLOCK_TOKENS]
    await own.put({
      description: {
        signature: { model: MODEL, kind: 'kv', tokens: { start, end: end * BLOCK_TOKENS }, heads: null, ...PART },
        parent: first === 0 ? null : (blocks[first - 1] ?? null),
        blocks: blocks.slice(first, end),
        blockTokens: BLOCK_TOKENS,
        group: null,
        text: null,
        sequence: null,
        derivedFrom: [],
      },
      // Nobody reads it here.
      payload: new TextEncoder().encode(String(start)),
    })
  }
  const lookUp = () => own.fragmentsOf({ model: MODEL, hashes: blockHashes }, 10_000)
  const found = await lookUp()
  const proposed = found.map(({ key, description, contentHash }) => ({
    source: 'disk' as const,
    place: 'disk',
    description,
    key,
    contentHash,
    payloadBytes: (description.signature.tokens.end - description.signature.tokens.start) * KV_BYTES_PER_TOKEN,
    read: async () => null,
  }))
  const model = { ...MODEL_PARTS, fingerprint: MODEL, contextTokensMax: tokens }
  const check = () =>
    findCandidates(proposed, { model, blockTokens: BLOCK_TOKENS, blocks: unpackBlockHashes(blockHashes) })
  if (check().length !== found.length) throw new Error('Every fragment was to be a candidate.')
  const steps = { 'hash the blocks': hashAll, 'look up in the fabric': lookUp, 'check what it proposes': check }
  const rows = Object.entries(steps).map(([step, work]) => ({ step, work, runsMs: new Array<number>() }))
  for (let turn = 0; turn < RUNS + WARM_UP_TURNS; turn++)
    for (const { work, runsMs } of rows) {
      const startMs = performance.now()
      await work()
      if (turn >= WARM_UP_TURNS) runsMs.push(performance.now() - startMs)
    }
  await fabric.close()
  const of = `${tokens} tokens in ${found.length} ${found.length === 1 ? 'fragment' : 'fragments'}`
  return rows.map(({ step, runsMs }) => ({ what: `before the plan, ${of}: ${step}`, runsMs }))
}

/** Speed without what it is for would say little. */
function noteOf(request: RebuildPlanRequest): string {
  const { steps, expectedSeconds, prefillAllSeconds } = planRebuild(request)
  const computed = steps.filter(({ source }) => source === 'prefill')
  const tokens = computed.reduce((sum, { span }) => sum + span.end - span.start, 0)
  return `${steps.length} steps, ${tokens} tokens computed, ready after ${expectedSeconds.toFixed(3)} s instead of ${prefillAllSeconds.toFixed(3)} s.`
}

/** From these places by turns, so that neighbours cannot be joined; with a second copy, in a node, of every other one. */
function fragments(tokens: number, fragmentTokens: number, places: readonly (keyof typeof PLACES)[]): ReuseCandidate[] {
  const candidates: ReuseCandidate[] = []
  for (let start = 0; start + fragmentTokens <= tokens; start += fragmentTokens) {
    const place = places[(start / fragmentTokens) % places.length] ?? 'disk'
    candidates.push({
      source: place === 'memory' || place === 'disk' ? place : 'peer',
      place,
      span: { start, end: start + fragmentTokens },
      bytes: fragmentTokens * KV_BYTES_PER_TOKEN,
      reads: 1,
      continuesAt: 'any',
      recomputedTokens: 0,
    })
  }
  return candidates
}

function requestOf(
  promptTokens: number,
  candidates: readonly ReuseCandidate[],
  hasCopies: boolean,
): RebuildPlanRequest {
  const copies = candidates
    .filter((_, k) => hasCopies && k % 2 === 0)
    .map((candidate): ReuseCandidate => ({ ...candidate, source: 'peer', place: candidate.place === 'c' ? 'b' : 'c' }))
  const all = [...candidates, ...copies].toSorted((a, b) => a.span.start - b.span.start)
  return { promptTokens, blockTokens: BLOCK_TOKENS, candidates: all, offers: [], rates, parallelReads: 4 }
}

function probeOf(request: RebuildPlanRequest) {
  return { prepare: () => () => planRebuild(request) }
}
