/** `membrane replay --cache-only`: what caches of several sizes and policies would have held of a trace. */
import { basename } from 'node:path'
import { InvalidArgumentError } from 'commander'
import { MembraneError } from '../core/errors.ts'
import { LIMITS } from '../core/limits.ts'
import { compareCaches, type ComparedCache, REFERENCE_POLICY } from '../planner/replay-compare.ts'
import type { ClosedHints } from '../planner/replay-sessions.ts'
import type { Trace } from '../planner/trace.ts'
import { EVICTION_POLICIES, type EvictionPolicyName, parseEvictionPolicy } from '../policy/evict-policies.ts'
import { heading, percent, printJson, printText, table, tokens } from './print.ts'
import { refuseGiven } from './refused-flags.ts'
import type { GlobalFlags } from './run-command.ts'
import { parseSeed } from './simulate-flags.ts'

export interface CacheOnlyFlags extends GlobalFlags {
  readonly cacheOnly?: boolean
  readonly cacheBlocks?: readonly number[]
  readonly policy?: string
  readonly closedHints?: number
  readonly seed: string
}

/** Everything else describes a deployment. `workers` and `color` are of no consequence. */
const KNOWN_FLAGS: readonly string[] = [
  'cacheOnly',
  'cacheBlocks',
  'policy',
  'closedHints',
  'seed',
  'json',
  'debug',
  'color',
]
const DEFAULT_CACHE_BLOCKS: readonly number[] = [1000, 3000, 5000, 10_000, 30_000, 50_000]

export function replayCaches(trace: Trace, flags: CacheOnlyFlags): void {
  const others = Object.keys(flags).filter((name) => !KNOWN_FLAGS.includes(name)) as (keyof CacheOnlyFlags)[]
  refuseGiven(flags, others, 'does not go with --cache-only: no deployment is simulated')
  const closedHints = hintsOf(flags)
  const policies = flags.policy === undefined ? policyNames() : policiesOf(flags.policy)
  const caches = compareCaches(trace, { cacheBlocks: flags.cacheBlocks ?? DEFAULT_CACHE_BLOCKS, policies, closedHints })
  if (flags.json === true)
    printJson({ trace: basename(trace.name), closedHints, referencePolicy: REFERENCE_POLICY, caches })
  else printText(cachesText(trace, caches, closedHints))
}

/** Sizes as `--cache-blocks` takes them: whole numbers, with commas between them. */
export function parseBlockCounts(text: string): readonly number[] {
  return text.split(',').map((part) => {
    const blocks = /^\d+$/.test(part) ? Number(part) : Number.NaN
    if (blocks <= LIMITS.cacheBlocksMax) return blocks
    throw new InvalidArgumentError(
      `Expected whole numbers from 0 to ${LIMITS.cacheBlocksMax}, with commas between them.`,
    )
  })
}

/** Policies as `--policy` takes them: names, with commas between them. */
function policiesOf(text: string): readonly EvictionPolicyName[] {
  return text.split(',').map(parseEvictionPolicy)
}

function policyNames(): readonly EvictionPolicyName[] {
  return Object.keys(EVICTION_POLICIES).map(parseEvictionPolicy)
}

function hintsOf({ closedHints: ratio, seed }: CacheOnlyFlags): ClosedHints | null {
  if (ratio === undefined) return null
  if (ratio >= 0 && ratio <= 1) return { ratio, seed: parseSeed(seed) }
  throw new MembraneError('INVALID_REQUEST', `--closed-hints must be from 0 to 1, found ${ratio}.`)
}

function cachesText(trace: Trace, caches: readonly ComparedCache[], closedHints: ClosedHints | null): string {
  const rows = caches.map((cache) => [
    tokens(cache.cacheBlocks),
    cache.policy,
    percent(cache.hitRatioTokens),
    percent(cache.hitRatioBlocks),
    cache.overLru === null ? null : cache.overLru.toFixed(2),
    tokens(cache.evictions),
  ])
  const hinted =
    closedHints === null ? '' : `, and the end of ${percent(closedHints.ratio)} of the sessions is known when it comes`
  return [
    `${heading(`Prefix caches on ${basename(trace.name)}`)}: ${tokens(trace.requestCount)} requests, ${tokens(trace.blocks?.ids.length ?? 0)} blocks of ${trace.blocks?.blockTokens ?? 0} tokens${hinted}.`,
    table(['blocks', 'policy', 'tokens hit', 'blocks hit', `over ${REFERENCE_POLICY}`, 'evictions'], rows),
  ].join('\n\n')
}
