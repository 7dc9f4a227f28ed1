/** Plans of rebuilds: what a prompt waits for before the first byte is asked for. */
import { planRebuild } from '../src/reconstruct/plan-rebuild.ts'
import type { RebuildPlanRequest, RebuildRates, ReuseCandidate } from '../src/reconstruct/rebuild-plan.ts'
import type { Bench, Findings } from './bench.ts'
import { measureWarm } from './harness.ts'

const BLOCK_TOKENS = 16
const KV_BYTES_PER_TOKEN = 2048
const SHORT_TOKENS = 1500
const LONG_TOKENS = 131_072
const SHORT_TARGET_MS = 1
const LONG_TARGET_MS = 5

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
      rows: names.map((name) => ({
        what: `${name}: ${requests[name].promptTokens} tokens, ${requests[name].candidates.length} candidates`,
        runsMs: warm[name],
        targetMs: name === 'short' ? SHORT_TARGET_MS : LONG_TARGET_MS,
        note: noteOf(requests[name]),
      })),
    }
  },
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
