/**
 * Reading everything, computing everything, and what a plan chooses, on a real node: engine, executor and clock, over a
 * fabric whose store is throttled to the speed of a link. Links are chosen around the one over which reading takes as
 * long as computing on this machine. Rates start as assumed on each link, and are learnt from the node's own rebuilds.
 */
import { readFileSync } from 'node:fs'
import { createHashChain } from '../src/core/hash-chains.ts'
import { DEFAULT_TENANT } from '../src/core/ids.ts'
import { medianOfSorted, sortedAscending } from '../src/core/quantile.ts'
import type { KvBackend } from '../src/core/compute.ts'
import { loadChainHashes } from '../src/hashing/chain-hashes.ts'
import { loadContentHashers } from '../src/hashing/content-hashers.ts'
import { MeasuredRates } from '../src/policy/measured-rates.ts'
import type { RateBook } from '../src/reconstruct/rebuild-ports.ts'
import { DEFAULT_FABRIC_OPTIONS, openFabric } from '../src/server/fabric.ts'
import { DEFAULT_MODEL_PATH, MemoryStore, openCpuBackend } from '../src/server/library.ts'
import { Node } from '../src/server/node.ts'
import { DEFAULT_NODE_OPTIONS } from '../src/server/node-options.ts'
import { systemAlarm, systemStopwatch } from '../src/server/system-time.ts'
import { ROOT } from './command-line.ts'
import { throttled } from './throttled-store.ts'

const PROMPT_TOKENS = 1500
const BLOCK_TOKENS = 16
const FRAGMENT_TOKENS = 128
const LINKS = 12
/** The slowest and the fastest link, of the one at which reading and computing take the same time. */
const SLOWEST_RATIO = 1 / 3
const FASTEST_RATIO = 8
const LATENCY_SECONDS = 1e-3
const WARM_UP_REBUILDS = 5
/** Of each way over each link: slow links take seconds. */
const ROUNDS = 5
const RATIO_TARGET = 1.1

export interface RealResult {
  readonly bytesPerSecond: number
  readonly readSeconds: number
  readonly prefillSeconds: number
  readonly plannedSeconds: number
  /** One entry a rebuild. */
  readonly plannedRuns: readonly number[]
  readonly computedTokens: number
  /** Rebuilds from assumed rates until all that follow stay within the target; null where some of the last do not. */
  readonly warmUpRebuilds: number | null
}

/** Reads whatever there is. */
const READ_ALL: RateBook = {
  read: () => ({ latencySeconds: 0, bytesPerSecond: 1e12, isMeasured: true }),
  prefillSeconds: ({ start, end }) => end - start,
  isPrefillMeasured: true,
  observeRead: () => {},
  observePrefill: () => {},
}

const [{ hashers }, chainHashes] = await Promise.all([loadContentHashers(), loadChainHashes()])
const clock = { nowMs: () => Date.now() }

export async function measureReal(threads: number): Promise<readonly RealResult[]> {
  const backend = await openCpuBackend({
    modelPath: DEFAULT_MODEL_PATH,
    threads,
    memoryBytesMax: 1024 ** 3,
    blake3: chainHashes.blake3,
    contentHasher: hashers.b3,
  })
  try {
    const prompt = backend.model.tokenizer.encode(readFileSync(`${ROOT}examples/packages.txt`, 'utf8'))
    const tokenIds = prompt.slice(0, PROMPT_TOKENS)
    const prefill = await resultOf(backend, tokenIds, { bytesPerSecond: 1e9, isProbe: true })
    const bytes = (backend.model.parts[0]?.bytes ?? 0) * PROMPT_TOKENS
    const results: RealResult[] = []
    for (let k = 0; k < LINKS; k++) {
      const ratio = SLOWEST_RATIO * (FASTEST_RATIO / SLOWEST_RATIO) ** (k / (LINKS - 1))
      const bytesPerSecond = (ratio * bytes) / prefill.prefillSeconds
      results.push(await resultOf(backend, tokenIds, { bytesPerSecond, isProbe: false }))
    }
    return results
  } finally {
    await backend.close()
  }
}

async function resultOf(
  backend: KvBackend,
  tokenIds: Uint32Array,
  { bytesPerSecond, isProbe }: { readonly bytesPerSecond: number; readonly isProbe: boolean },
): Promise<RealResult> {
  const store = throttled(new MemoryStore(clock), { bytesPerSecond, latencySeconds: LATENCY_SECONDS })
  // What the assumed rates say of `remote` is a fair guess of none of these links.
  const fabric = await openFabric({ ...DEFAULT_FABRIC_OPTIONS, store, hashers, clock, tier: 'remote', seed: 1 })
  let kvHash: string | null = null
  /** In a node of its own, so that nothing is left in the engine's memory. */
  const rebuild = async (rates: RateBook, reuse: 'exact' | 'none') => {
    const node = new Node({
      ...DEFAULT_NODE_OPTIONS,
      fragmentTokens: FRAGMENT_TOKENS,
      readAheadBytesMax: 0,
      fabric,
      backend: { ...backend, close: async () => {} },
      chain: createHashChain('blake3', { hashes: chainHashes, blockTokens: BLOCK_TOKENS }),
      rates,
      hashers,
      stopwatch: systemStopwatch,
      alarm: systemAlarm,
    })
    const rebuilt = await node.rebuild({ tenant: DEFAULT_TENANT, prompt: { tokenIds }, reuse, wantsKvHash: true })
    await node.close()
    kvHash ??= rebuilt.kvHash
    if (rebuilt.kvHash !== kvHash) throw new Error(`KV ${rebuilt.kvHash} in place of ${kvHash}.`)
    return rebuilt
  }
  try {
    const unlearnt = new MeasuredRates()
    await rebuild(unlearnt, 'none')
    const rates = new MeasuredRates()
    const warmUps = isProbe ? 0 : WARM_UP_REBUILDS
    const [first, planned, computed, read, prefilled]: number[][] = [[], [], [], [], []]
    for (let turn = 0; turn < warmUps; turn++) first?.push((await rebuild(rates, 'exact')).seconds)
    for (let turn = 0; turn < ROUNDS; turn++) {
      prefilled?.push((await rebuild(unlearnt, 'none')).seconds)
      if (isProbe) continue
      const { seconds, prefilledTokens } = await rebuild(rates, 'exact')
      planned?.push(seconds)
      computed?.push(prefilledTokens)
      read?.push((await rebuild(READ_ALL, 'exact')).seconds)
    }
    const [readSeconds, prefillSeconds] = [median(read), median(prefilled)]
    const most = RATIO_TARGET * Math.min(readSeconds, prefillSeconds)
    const last = (first ?? []).findLastIndex((seconds) => seconds > most)
    return {
      bytesPerSecond,
      readSeconds,
      prefillSeconds,
      plannedSeconds: median(planned),
      plannedRuns: planned ?? [],
      computedTokens: median(computed),
      warmUpRebuilds: last === WARM_UP_REBUILDS - 1 ? null : last + 1,
    }
  } finally {
    await fabric.close()
  }
}

function median(values: readonly number[] = []): number {
  return values.length === 0 ? Number.NaN : medianOfSorted(sortedAscending(values))
}
