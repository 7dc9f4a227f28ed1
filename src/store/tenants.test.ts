import { describe, expect, test } from 'vitest'
import { DEFAULT_TENANT, parseTenantId } from '../core/ids.ts'
import { LIMITS } from '../core/limits.ts'
import type { Clock, FragmentStore } from '../core/ports.ts'
import { describeFragmentStore } from '../../test/contracts/fragment-store.ts'
import {
  bytesOf,
  expectFragment,
  fragmentOf,
  rejectsWith,
  sha256Of,
  toArray,
  VirtualClock,
} from '../../test/contracts/store-fixtures.ts'
import { openBoundedStore } from './bounded.ts'
import { REFERENCE_HEAD_BYTES } from './canonical-reference.ts'
import { openCanonicalStore } from './canonical.ts'
import { MemoryStore } from './memory.ts'
import { Tenants } from './tenants.ts'

const [ANN, BOB] = [parseTenantId('ann'), parseTenantId('bob')]

async function openTenants(clock: Clock = new VirtualClock(), inner: FragmentStore = new MemoryStore(clock)) {
  const canonical = await openCanonicalStore(inner, { emptyContentHash: sha256Of(new Uint8Array(0)) })
  const bounded = await openBoundedStore(canonical, {
    payloadBytesMax: 2 ** 40,
    entriesMax: 10_000,
    policy: 'leaf-lru',
    clock,
    traitsOf: () => ({ chainName: null, parentName: null, density: 1, priority: 1, isPinned: false }),
    quotaOf: () => null,
    ttlMs: null,
    heldBytes: () => canonical.contentBytes,
    joined: () => {},
    left: () => {},
  })
  return { tenants: new Tenants(bounded), bounded, canonical, inner }
}

describeFragmentStore("a tenant's store", {
  open: async (clock) => (await openTenants(clock)).tenants.of(DEFAULT_TENANT),
  bounds: {
    keyBytesMax: LIMITS.storeKeyBytesMax - 'r/default/'.length,
    headBytesMax: LIMITS.storeHeadBytesMax - REFERENCE_HEAD_BYTES,
  },
})

describe('tenants', () => {
  test('see only their own, under the same keys', async () => {
    const { tenants } = await openTenants()
    const [ann, bob] = [tenants.of(ANN), tenants.of(BOB)]
    const hers = fragmentOf('report', bytesOf(100, 1))
    const his = fragmentOf('report', bytesOf(200, 2))
    await ann.put(hers)
    expect(await bob.get('report')).toBeNull()
    expect(await bob.has(['report', '../ann/report', 'ann/report'])).toEqual([false, false, false])
    expect(await bob.put(his)).toBe('stored')
    expectFragment(await ann.get('report'), hers)
    expectFragment(await bob.get('report'), his)
    expect((await toArray(ann.list())).map(({ key }) => key)).toEqual(['report'])
    expect(await bob.remove(['report'])).toBe(1)
    expectFragment(await ann.get('report'), hers)
    expect(tenants.usage(ANN)).toEqual({ entries: 1, payloadBytes: 100 })
    expect(tenants.usage(BOB)).toEqual({ entries: 0, payloadBytes: 0 })
  })

  test('keep equal bytes once, and are charged in full, as if they were alone', async () => {
    const { tenants, canonical } = await openTenants()
    const payload = bytesOf(4000)
    expect(await tenants.of(ANN).put(fragmentOf('k', payload))).toBe('stored')
    expect(await tenants.of(BOB).put(fragmentOf('k', payload))).toBe('stored')
    await canonical.sync()
    expect(canonical.contentBytes).toBe(4000)
    expect(tenants.usage(ANN)).toEqual(tenants.usage(BOB))
    await tenants.of(ANN).remove(['k'])
    expectFragment(await tenants.of(BOB).get('k'), fragmentOf('k', payload))
  })

  test('pass entries to another tenant only by sharing them, under its own keys and heads', async () => {
    const { tenants } = await openTenants()
    const [ann, bob] = [tenants.of(ANN), tenants.of(BOB)]
    for (const index of [0, 1, 3]) await ann.put(fragmentOf(`block-${index}`, bytesOf(50, index)))
    const entries = [0, 1, 2, 3].map((index) => ({
      key: `block-${index}`,
      as: `his-${index}`,
      head: bytesOf(7, index),
    }))
    expect(await tenants.share(ANN, BOB, entries)).toBe(2)
    expectFragment(await bob.get('his-1'), fragmentOf('his-1', bytesOf(50, 1), { head: bytesOf(7, 1) }))
    expect(await bob.has(['block-0', 'his-2', 'his-3'])).toEqual([false, false, false])
    await ann.remove(['block-1'])
    expect(await bob.has(['his-1'])).toEqual([true])
  })

  test('replace nothing that the other tenant has', async () => {
    const { tenants } = await openTenants()
    const [ann, bob] = [tenants.of(ANN), tenants.of(BOB)]
    const his = fragmentOf('k', bytesOf(50, 1))
    await bob.put(his)
    await ann.put(fragmentOf('k', bytesOf(50, 2)))
    await tenants.share(ANN, BOB, [{ key: 'k', as: 'k', head: bytesOf(7) }])
    expectFragment(await bob.get('k'), his)
  })

  test('are erased: what only they had is gone, and what others have stays', async () => {
    const calls: string[] = []
    const memory = new MemoryStore(new VirtualClock())
    const inner: FragmentStore = {
      put: (put) => memory.put(put),
      get: (key, options) => memory.get(key, options),
      stream: (key, options) => memory.stream(key, options),
      head: (key) => memory.head(key),
      has: (keys) => memory.has(keys),
      remove: (keys) => {
        calls.push(...keys)
        return memory.remove(keys)
      },
      list: (prefix) => memory.list(prefix),
      stats: () => memory.stats(),
      sync: () => memory.sync(),
      purge: async () => void calls.push('purge'),
      close: () => memory.close(),
    }
    const { tenants } = await openTenants(new VirtualClock(), inner)
    const [shared, alone] = [bytesOf(60, 1), bytesOf(60, 2)]
    await tenants.of(ANN).put(fragmentOf('shared', shared))
    await tenants.of(ANN).put(fragmentOf('alone', alone))
    await tenants.of(BOB).put(fragmentOf('shared', shared))
    expect(await tenants.erase(ANN)).toBe(2)
    const [decoy, ...removed] = calls
      .slice(0, -1)
      .toSorted((a, b) => Number(b.startsWith('d/')) - Number(a.startsWith('d/')))
    expect(decoy?.startsWith(`d/${sha256Of(shared)}`)).toBe(true)
    expect(removed.toSorted()).toEqual([`b/${sha256Of(alone)}`, 'r/ann/alone', 'r/ann/shared'].toSorted())
    expect(calls.at(-1)).toBe('purge')
    expect(tenants.usage(ANN)).toEqual({ entries: 0, payloadBytes: 0 })
    expectFragment(await tenants.of(BOB).get('shared'), fragmentOf('shared', shared))
    expect(await tenants.erase(ANN)).toBe(0)
  })

  test.each(['constructor', 'toString', 'valueOf'])('may be called %s', async (name) => {
    const { tenants } = await openTenants()
    const tenant = parseTenantId(name)
    expect(tenants.usage(tenant)).toEqual({ entries: 0, payloadBytes: 0 })
    expect(tenants.of(tenant).stats()).toEqual({ entries: 0, payloadBytes: 0, corruptEntries: 0 })
  })

  test('have stores that close without closing those of others', async () => {
    const { tenants } = await openTenants()
    const ann = tenants.of(ANN)
    await ann.put(fragmentOf('k', bytesOf(1)))
    await ann.close()
    await rejectsWith(ann.get('k'), 'STORE_CLOSED')
    expect(await tenants.of(ANN).has(['k'])).toEqual([true])
  })
})
