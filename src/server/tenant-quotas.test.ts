import { describe, expect, test } from 'vitest'
import { parseTenantId } from '../core/ids.ts'
import type { SnapshotStorage } from '../core/ports.ts'
import { rejectsWith } from '../../test/contracts/store-fixtures.ts'
import { openTenantQuotas } from './tenant-quotas.ts'

const ANN = parseTenantId('ann')
const QUOTA = { payloadBytesMax: 100, entriesMax: 3 }

function memory(): SnapshotStorage & { bytes: Uint8Array | null; isBroken: boolean } {
  return {
    bytes: null,
    isBroken: false,
    async read() {
      return this.bytes
    },
    async write(pieces) {
      if (this.isBroken) throw new Error('no room')
      this.bytes = Buffer.concat([...pieces])
    },
    async remove() {
      this.bytes = null
    },
  }
}

describe('quotas of tenants', () => {
  test('outlive a restart, also their removal', async () => {
    const storage = memory()
    const quotas = await openTenantQuotas(storage)
    await quotas.set(ANN, QUOTA)
    expect((await openTenantQuotas(storage)).quotaOf(ANN)).toEqual(QUOTA)
    expect([await quotas.remove(ANN), await quotas.remove(ANN)]).toEqual([true, false])
    expect((await openTenantQuotas(storage)).quotaOf(ANN)).toBeNull()
  })

  test('that change at once are all written down', async () => {
    const storage = memory()
    const quotas = await openTenantQuotas(storage)
    const tenants = Array.from({ length: 20 }, (_, index) => parseTenantId(`t${index}`))
    await Promise.all(tenants.map((tenant) => quotas.set(tenant, QUOTA)))
    expect((await openTenantQuotas(storage)).all.size).toBe(20)
  })

  test('that cannot be written down do not hold either, and later ones do', async () => {
    const storage = memory()
    const quotas = await openTenantQuotas(storage)
    storage.isBroken = true
    await expect(quotas.set(ANN, QUOTA)).rejects.toThrow('no room')
    expect(quotas.quotaOf(ANN)).toBeNull()
    storage.isBroken = false
    await quotas.set(ANN, QUOTA)
    expect(quotas.quotaOf(ANN)).toEqual(QUOTA)
  })

  test('are whole numbers of 1 or more', async () => {
    const quotas = await openTenantQuotas(null)
    for (const wrong of [0, -1, 1.5, Number.NaN, Infinity])
      await rejectsWith(quotas.set(ANN, { ...QUOTA, entriesMax: wrong }), 'INVALID_REQUEST')
  })

  test.each([
    '',
    '{',
    '[]',
    '{"version":2,"quotas":{}}',
    '{"version":1,"quotas":{"ann":{}}}',
    '{"version":1,"quotas":{"a b":{"payloadBytesMax":1,"entriesMax":1}}}',
  ])('are not thought away when their file is %j', async (text) => {
    const storage = { ...memory(), bytes: new TextEncoder().encode(text) }
    await rejectsWith(openTenantQuotas(storage), 'STORE_FORMAT')
  })
})
