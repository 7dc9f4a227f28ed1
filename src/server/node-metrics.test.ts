import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { BYTES, open } from '../../test/contracts/fabric-fixtures.ts'
import { parseTenantId } from '../core/ids.ts'
import { clusterMetrics } from './cluster-metrics.ts'
import type { ClusterStatus } from './cluster-node.ts'
import type { Engine } from './compute-operations.ts'
import { Gate } from './gate.ts'
import { durationsOf, metricsOf, REQUEST_DURATION } from './node-metrics.ts'
import { ObserveOperations } from './observe-operations.ts'
import { RequestMeters } from './request-meters.ts'
import { openTenantQuotas } from './tenant-quotas.ts'

const tenant = parseTenantId('ann')
const resident = {
  contexts: 1,
  contextsInUse: 1,
  bytes: 2,
  requestsWaiting: 3,
  hits: 4,
  hitTokens: 5,
  demoted: 6,
  demotionsFailed: 7,
}
const readAhead = {
  fragments: 1,
  bytes: 2,
  usedFragments: 3,
  usedBytes: 4,
  wastedFragments: 5,
  cancelledFragments: 6,
  heldBytes: 7,
}
const stats = {
  requests: 1,
  reusedTokens: 2,
  prefilledTokens: 3,
  generatedTokens: 4,
  failedReads: 5,
  rebuildSeconds: 6,
}
/** Its numbers are all that is asked of it. */
const engine = { kind: 'node', node: { stats: () => ({ ...stats, resident, readAhead }) } } as unknown as Engine

const link = { datacentre: 'dc-2', bytesPerSecond: 1e8, rttSeconds: 0.04, lossRatio: 0.1, utilisation: 0.5 }
const facts = { incarnation: 1, address: 'a:1', roles: [], version: '1', startedMs: 1, isDraining: false, sinceMs: 1 }
const numbers = { capacityBytes: null, storedBytes: 1, fragments: 1, eventLoopRatio: 0, running: 0, prefill: null }
const cluster: ClusterStatus = {
  cluster: 'membrane',
  engine: 'gossip',
  self: 'a',
  members: [
    { ...facts, ...numbers, node: 'a', state: 'alive', datacentre: 'dc-1', links: [link] },
    { ...facts, ...numbers, node: 'b', state: 'gone', datacentre: 'dc-2', links: [] },
  ],
  membership: { messages: 1, bytes: 2, suspected: 3, refuted: 4, removed: 5 },
  directory: { own: 6, waiting: 7, lookups: 8, failures: 9, refused: 10 },
  replication: {},
  reads: { asked: 11, brought: 12, missed: 13, failed: 14 },
  prefill: { asked: 15, used: 16, failed: 17, cancelled: 18, hedged: 19, bytes: 20, seconds: 21, overlapSeconds: 22 },
  routing: null,
  notes: [],
}

async function openObserved() {
  const { fabric } = await open()
  const meters = new RequestMeters()
  const quotas = await openTenantQuotas(null)
  const gate = new Gate(null)
  const observe = new ObserveOperations({ fabric, engine, gate, quotas, meters, node: 'n' })
  return { fabric, meters, quotas, observe }
}

describe('metrics', () => {
  test('are those of docs/metrics.md, by name, type, labels and meaning', async () => {
    const { observe } = await openObserved()
    const { tenants, whole } = observe.numbers({ tenant, role: 'admin', name: 'a' })
    if (whole === null) throw new Error('An admin observes.')
    const hot = { entries: 1, bytes: 2, bytesMax: 3, hits: 4, misses: 5, evictions: 6 }
    const observation = { tenants, whole: { ...whole, fabric: { ...whole.fabric, hot }, cluster } }
    const rows = metricsOf(observation).map(
      ({ name, type, labels, help }) => `| \`${name}\` | ${type} | ${labels.join(', ')} | ${help} |`,
    )
    const duration = `| \`${REQUEST_DURATION.name}\` | histogram | door, route | ${REQUEST_DURATION.help} |`
    const document = readFileSync(new URL('../../docs/metrics.md', import.meta.url), 'utf8')
    const documented = document.split('\n').filter((line) => line.startsWith('| `'))
    expect(documented.toSorted()).toEqual([...rows, duration].toSorted())
  })

  test('are called as Prometheus calls them', async () => {
    const { observe } = await openObserved()
    for (const { name, type } of metricsOf(observe.numbers({ tenant, role: 'admin', name: 'a' }))) {
      expect(name).toMatch(/^membrane_[a-z_]+$/)
      expect(name.endsWith('_total'), name).toBe(type === 'counter')
    }
  })

  test('say what happened', async () => {
    const { fabric, meters, quotas, observe } = await openObserved()
    await fabric.of(tenant).put({ description: BYTES, payload: new Uint8Array(7) })
    await quotas.set(tenant, { payloadBytesMax: 100, entriesMax: 3 })
    meters.answered({ door: 'http', route: 'GET /x', outcome: 'ok', seconds: 0.003 })
    meters.answered({ door: 'http', route: 'GET /x', outcome: 'RATE_LIMITED', seconds: 99 })
    meters.watchDoor({ door: 'http', connections: () => 2 })
    meters.watchBodies(() => 11)
    const observation = observe.numbers({ tenant, role: 'monitor', name: 'm' })
    const valueOf = (name: string) =>
      metricsOf(observation)
        .find((metric) => metric.name === name)
        ?.samples.map(({ labels, value }) => [...Object.values(labels), value])
    expect(valueOf('membrane_tenant_payload_bytes')).toEqual([['ann', 7]])
    expect(valueOf('membrane_tenant_quota_bytes')).toEqual([['ann', 100]])
    expect(valueOf('membrane_requests_total')).toEqual([
      ['http', 'GET /x', 'ok', 1],
      ['http', 'GET /x', 'RATE_LIMITED', 1],
    ])
    expect(valueOf('membrane_connections')).toEqual([['http', 2]])
    expect(valueOf('membrane_body_bytes_in_flight')).toEqual([[11]])
    expect(valueOf('membrane_rate_limited_requests_total')).toEqual([[1]])
    expect(valueOf('membrane_resident_hit_tokens_total')).toEqual([[5]])
    const [duration] = durationsOf(observation)
    expect(duration).toMatchObject({ requests: 2, seconds: 99.003 })
    expect(duration?.buckets.slice(0, 3)).toEqual([
      [0.001, 0],
      [0.0025, 0],
      [0.005, 1],
    ])
    expect(duration?.buckets.slice(-2)).toEqual([
      [30, 1],
      [Infinity, 2],
    ])
    const clusters = new Map(
      clusterMetrics(cluster).map(({ name, samples }) => [
        name,
        samples.map(({ labels, value }) => ({ ...labels, value })),
      ]),
    )
    expect(clusters.get('membrane_cluster_nodes')).toEqual([
      { state: 'alive', datacentre: 'dc-1', value: 1 },
      { state: 'gone', datacentre: 'dc-2', value: 1 },
    ])
    expect(clusters.get('membrane_elsewhere_failed_total')).toEqual([{ value: 14 }])
    expect(clusters.get('membrane_link_loss_ratio')).toEqual([{ datacentre: 'dc-2', value: 0.1 }])
    const own = observe.numbers({ tenant: parseTenantId('bob'), role: 'reader', name: 'b' })
    expect([durationsOf(own), metricsOf(own).every(({ name }) => !name.includes('requests'))]).toEqual([[], true])
    expect(metricsOf(own).flatMap(({ samples }) => samples.map(({ labels }) => labels['tenant']))).toEqual([
      'bob',
      'bob',
    ])
  })
})
