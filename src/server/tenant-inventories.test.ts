import { expect, test } from 'vitest'
import { parseTenantId, type TenantId } from '../core/ids.ts'
import { LIMITS } from '../core/limits.ts'
import { byteDescription } from '../core/fragment-bytes.ts'
import { loadChainHashes } from '../hashing/chain-hashes.ts'
import { loadContentHashers } from '../hashing/content-hashers.ts'
import { MemoryStore } from '../store/memory.ts'
import { Inventory, type InventoryEntry } from '../transfer/inventory.ts'
import { DEFAULT_FABRIC_OPTIONS, type Fabric, type FabricWatcher, openFabric } from './fabric.ts'
import { TenantInventories } from './tenant-inventories.ts'

const { hashers } = await loadContentHashers()
const { blake3: hash } = await loadChainHashes()
const clock = { nowMs: Date.now }
const options = { hash, secret: new Uint8Array(32) }

async function openWorld(): Promise<{ fabric: Fabric; inventories: TenantInventories }> {
  const fabric = await openFabric({ ...DEFAULT_FABRIC_OPTIONS, store: new MemoryStore(clock), hashers, clock, seed: 1 })
  return { fabric, inventories: new TenantInventories(fabric, () => options) }
}

const [one, other] = [parseTenantId('one'), parseTenantId('other')]

async function put(fabric: Fabric, tenant: TenantId, name: string, text: string): Promise<string> {
  const { key } = await fabric.of(tenant).put({
    description: byteDescription('opaque', 'text/plain'),
    foreignKey: new TextEncoder().encode(name),
    payload: new TextEncoder().encode(text),
  })
  return key
}

async function rootOf(fabric: Fabric, tenant: TenantId): Promise<Uint32Array> {
  const fresh = new Inventory(options)
  for await (const entry of fabric.of(tenant).list()) fresh.add(entry)
  return fresh.root()
}

test('an inventory has what its tenant holds, and follows puts, replacements and removals', async () => {
  const { fabric, inventories } = await openWorld()
  const first = await put(fabric, one, 'a', 'first')
  await put(fabric, other, 'b', 'of another')
  const inventory = await inventories.of(one)
  expect(inventory.count).toBe(1)
  await put(fabric, one, 'c', 'second')
  await put(fabric, one, 'a', 'replaced')
  expect((await inventories.of(one)).root()).toEqual(await rootOf(fabric, one))
  expect(inventory.count).toBe(2)
  await fabric.of(one).remove([first])
  expect((await inventories.of(one)).root()).toEqual(await rootOf(fabric, one))
  expect((await inventories.of(other)).count).toBe(1)
  inventories.close()
})

test('what changes while the listing runs is as it is afterwards, whatever the listing still says', async () => {
  const entryOf = (name: string, text: string): InventoryEntry => ({
    key: name,
    contentHash: hashers.b3.hash(new TextEncoder().encode(text)),
    payloadBytes: text.length,
  })
  const whole = (entry: InventoryEntry): InventoryEntry => ({ ...entry, key: `one/${entry.key}` })
  let watcher: FabricWatcher = { joined: () => undefined, left: () => undefined }
  const list = async function* (): AsyncGenerator<InventoryEntry> {
    yield entryOf('stays', 'old')
    watcher.left('one/removed')
    watcher.joined(whole(entryOf('replaced', 'new')))
    watcher.joined(whole(entryOf('added', 'new')))
    yield entryOf('removed', 'old')
    yield entryOf('replaced', 'old')
  }
  const watch = (given: FabricWatcher) => {
    watcher = given
    return () => undefined
  }
  const inventory = await new TenantInventories({ of: () => ({ list }), watch }, () => options).of(one)
  const expected = new Inventory(options)
  for (const entry of [entryOf('stays', 'old'), entryOf('replaced', 'new'), entryOf('added', 'new')])
    expected.add(entry)
  expect(inventory.root()).toEqual(expected.root())
})

test('few inventories are kept, and one that was let go is made anew', async () => {
  const { fabric, inventories } = await openWorld()
  await put(fabric, one, 'a', 'first')
  await inventories.of(one)
  for (let index = 0; index < LIMITS.transferInventoriesMax; index++) await inventories.of(parseTenantId(`t${index}`))
  expect(inventories.count).toBe(LIMITS.transferInventoriesMax)
  await put(fabric, one, 'b', 'later')
  expect((await inventories.of(one)).root()).toEqual(await rootOf(fabric, one))
})
