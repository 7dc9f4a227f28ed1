/** What a node measures, as metrics: names and units by the conventions of Prometheus, values read when somebody asks. */
import type { CacheBreakdown } from '../indices/statistics.ts'
import type { HotStats } from '../store/hot.ts'
import type { MetricSamples } from './metric-samples.ts'
import type { NodeNumbers, Observation, TenantNumbers } from './observe-operations.ts'
import { clusterMetrics } from './cluster-metrics.ts'
import { DURATION_BOUNDS_SECONDS } from './request-meters.ts'

/** Durations of requests: a histogram has three series of its own. */
export interface DurationSeries {
  readonly labels: { readonly door: string; readonly route: string }
  /** Requests of at most so many seconds, each class with those below; the last is Infinity. */
  readonly buckets: readonly (readonly [bound: number, requests: number])[]
  readonly requests: number
  readonly seconds: number
}

/** Name and help of the histogram of requests. */
export const REQUEST_DURATION = {
  name: 'membrane_request_duration_seconds',
  help: 'From the first byte of a request to the end of its answer.',
} as const

/** Those of a tenant are for the tenant; those of the node are for who may observe. */
export function metricsOf({ tenants, whole }: Observation): readonly MetricSamples[] {
  return [...tenantMetrics(tenants), ...(whole === null ? [] : nodeMetrics(whole))]
}

export function durationsOf({ whole }: Observation): readonly DurationSeries[] {
  if (whole === null) return []
  return Array.from(whole.meters.requests(), ({ door, route, durations, seconds }) => {
    let requests = 0
    const buckets = durations.map((count, place): readonly [number, number] => {
      requests += count
      return [DURATION_BOUNDS_SECONDS[place] ?? Infinity, requests]
    })
    return { labels: { door, route }, buckets, requests, seconds }
  })
}

function tenantMetrics(tenants: readonly TenantNumbers[]): readonly MetricSamples[] {
  const gauge = (name: string, help: string, valueOf: (numbers: TenantNumbers) => number | null): MetricSamples => ({
    name,
    help,
    type: 'gauge',
    labels: ['tenant'],
    samples: tenants.flatMap((numbers) => {
      const value = valueOf(numbers)
      return value === null ? [] : [{ labels: { tenant: numbers.tenant }, value }]
    }),
  })
  return [
    gauge('membrane_tenant_fragments', 'Fragments of a tenant.', ({ fragments }) => fragments),
    gauge('membrane_tenant_payload_bytes', 'Bytes of them, each in full.', ({ payloadBytes }) => payloadBytes),
    gauge(
      'membrane_tenant_quota_bytes',
      'Its quota of bytes; absent without one.',
      ({ quota }) => quota?.payloadBytesMax ?? null,
    ),
    gauge(
      'membrane_tenant_quota_fragments',
      'Its quota of fragments; absent without one.',
      ({ quota }) => quota?.entriesMax ?? null,
    ),
    byIndex(tenants, {
      name: 'membrane_lookup_hits_total',
      help: 'Look-ups that found something, by index.',
      valueOf: ({ hits }) => hits,
    }),
    byIndex(tenants, {
      name: 'membrane_lookup_misses_total',
      help: 'Look-ups that found nothing, by index.',
      valueOf: ({ misses }) => misses,
    }),
    byTier(tenants, {
      name: 'membrane_lookup_tier_hits_total',
      help: 'The hits by the slowest tier that had to be read.',
      valueOf: ({ hits }) => hits,
    }),
    byTier(tenants, {
      name: 'membrane_saved_tokens_total',
      help: 'Prompt tokens that were read and not prefilled, by tier.',
      valueOf: ({ tokensSaved }) => tokensSaved,
    }),
  ]
}

interface CacheMetric<Counts> {
  readonly name: string
  readonly help: string
  readonly valueOf: (counts: Counts) => number
}

function byIndex(
  tenants: readonly TenantNumbers[],
  { name, help, valueOf }: CacheMetric<CacheBreakdown['byIndex']['exact']>,
): MetricSamples {
  const samples = tenants.flatMap(({ tenant, cache }) =>
    Object.entries(cache?.byIndex ?? {}).map(([index, counts]) => ({
      labels: { tenant, index },
      value: valueOf(counts),
    })),
  )
  return { name, help, type: 'counter', labels: ['tenant', 'index'], samples }
}

function byTier(
  tenants: readonly TenantNumbers[],
  { name, help, valueOf }: CacheMetric<CacheBreakdown['byTier']['memory']>,
): MetricSamples {
  const samples = tenants.flatMap(({ tenant, cache }) =>
    Object.entries(cache?.byTier ?? {}).map(([tier, counts]) => ({ labels: { tenant, tier }, value: valueOf(counts) })),
  )
  return { name, help, type: 'counter', labels: ['tenant', 'tier'], samples }
}

function nodeMetrics({ fabric, node, load, meters, cluster }: NodeNumbers): readonly MetricSamples[] {
  const one = (type: 'gauge' | 'counter', name: string, help: string, value: number): MetricSamples => ({
    name,
    help,
    type,
    labels: [],
    samples: [{ labels: {}, value }],
  })
  const connections = [...meters.connections()].map(([door, value]) => ({ labels: { door }, value }))
  const requests = [...meters.requests()].flatMap(({ door, route, byOutcome }) =>
    [...byOutcome].map(([outcome, value]) => ({ labels: { door, route, outcome }, value })),
  )
  return [
    one('gauge', 'membrane_fragments', 'Fragments of all tenants.', fabric.fragments),
    one('gauge', 'membrane_payload_bytes', 'Bytes of them, each in full.', fabric.payloadBytes),
    one('gauge', 'membrane_content_bytes', 'Bytes that are kept: equal ones once.', fabric.contentBytes),
    one('gauge', 'membrane_unindexed_fragments', 'Fragments that are found by their key only.', fabric.unindexed),
    one('counter', 'membrane_corrupt_fragments_total', 'Fragments that were found damaged.', fabric.corruptEntries),
    one('counter', 'membrane_evictions_total', 'Fragments that left to make room.', fabric.evictions),
    one('counter', 'membrane_expirations_total', 'Fragments whose time was over.', fabric.expirations),
    one('counter', 'membrane_refusals_total', 'Puts that a full store did not take.', fabric.refusals),
    {
      name: 'membrane_requests_total',
      help: 'Requests by door, route and outcome: ok, or the code of the error.',
      type: 'counter',
      labels: ['door', 'route', 'outcome'],
      samples: requests,
    },
    {
      name: 'membrane_connections',
      help: 'Open connections of a door.',
      type: 'gauge',
      labels: ['door'],
      samples: connections,
    },
    one(
      'gauge',
      'membrane_body_bytes_in_flight',
      'Bytes of bodies on their way in, over all doors.',
      meters.bodyBytes(),
    ),
    one(
      'counter',
      'membrane_rate_limited_requests_total',
      'Requests above the rate of their caller.',
      meters.rateLimited,
    ),
    one(
      'gauge',
      'membrane_event_loop_busy_ratio',
      'Share of the time in which the event loop had work, since it was last asked.',
      load.eventLoopRatio,
    ),
    one('gauge', 'membrane_process_resident_memory_bytes', 'Resident bytes of the process.', load.memoryBytes),
    one('gauge', 'membrane_process_memory_limit_bytes', 'Bytes that the process may take.', load.memoryBytesMax),
    ...(fabric.hot === null ? [] : hotMetrics(fabric.hot, one)),
    ...(node === null ? [] : engineMetrics(node, one)),
    ...(cluster === null ? [] : clusterMetrics(cluster)),
  ]
}

type OneMetric = (type: 'gauge' | 'counter', name: string, help: string, value: number) => MetricSamples

/** Of the memory tier over a slower store. */
function hotMetrics(hot: HotStats, one: OneMetric): readonly MetricSamples[] {
  return [
    one('gauge', 'membrane_hot_fragments', 'Fragments in the memory tier.', hot.entries),
    one('gauge', 'membrane_hot_bytes', 'Bytes that they take.', hot.bytes),
    one('gauge', 'membrane_hot_limit_bytes', 'Bytes that the memory tier may take.', hot.bytesMax),
    one('counter', 'membrane_hot_hits_total', 'Reads that were answered from the memory tier.', hot.hits),
    one('counter', 'membrane_hot_misses_total', 'Reads that went on to the store below.', hot.misses),
    one('counter', 'membrane_hot_evictions_total', 'Fragments that left the memory tier for others.', hot.evictions),
  ]
}

function engineMetrics(
  { resident, readAhead, ...counts }: NonNullable<NodeNumbers['node']>,
  one: OneMetric,
): readonly MetricSamples[] {
  return [
    one('counter', 'membrane_prompts_total', 'Prompts that were made ready.', counts.requests),
    one('counter', 'membrane_reused_tokens_total', 'Prompt tokens whose KV was not computed.', counts.reusedTokens),
    one('counter', 'membrane_prefilled_tokens_total', 'Prompt tokens that were computed.', counts.prefilledTokens),
    one('counter', 'membrane_generated_tokens_total', 'Tokens that were generated.', counts.generatedTokens),
    one(
      'counter',
      'membrane_failed_reads_total',
      'Fragments that were found and could not be read.',
      counts.failedReads,
    ),
    one('gauge', 'membrane_resident_contexts', "Contexts in the engine's memory.", resident.contexts),
    one('gauge', 'membrane_resident_contexts_in_use', 'Those of requests under way.', resident.contextsInUse),
    one('gauge', 'membrane_resident_bytes', "Bytes of the engine's memory that contexts occupy.", resident.bytes),
    one('gauge', 'membrane_requests_waiting', 'Requests that wait for a context.', resident.requestsWaiting),
    one(
      'counter',
      'membrane_resident_hits_total',
      "Requests that found a part of their prompt in the engine's memory.",
      resident.hits,
    ),
    one('counter', 'membrane_resident_hit_tokens_total', 'Tokens of those parts.', resident.hitTokens),
    one('counter', 'membrane_resident_demotions_total', 'Contexts that left for the store.', resident.demoted),
    one(
      'counter',
      'membrane_resident_demotions_failed_total',
      'Contexts whose KV has to be computed again.',
      resident.demotionsFailed,
    ),
    one(
      'counter',
      'membrane_read_ahead_fragments_total',
      'Fragments that were read before they were asked for.',
      readAhead.fragments,
    ),
    one(
      'counter',
      'membrane_read_ahead_used_fragments_total',
      'Those that were asked for then.',
      readAhead.usedFragments,
    ),
  ]
}
