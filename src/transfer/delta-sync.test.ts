import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { MembraneError } from '../core/errors.ts'
import { type ContentHash, parseContentHash } from '../core/ids.ts'
import { loadChainHashes } from '../hashing/chain-hashes.ts'
import { runs } from '../../test/effort.ts'
import { compareInventories, type InventoryPeer, planSync } from './delta-sync.ts'
import { answerEntries, decodeEntries, decodeIds, encodeIds } from './entry-messages.ts'
import { Inventory, type InventoryEntry } from './inventory.ts'
import { answerInventory } from './reconcile.ts'

const { blake3: hash } = await loadChainHashes()

function hashOf(number: number): ContentHash {
  return parseContentHash(`b3:${number.toString(16).padStart(64, '0')}`)
}

function entryOf(number: number): InventoryEntry {
  return { key: `opaque/=key-${number}`, contentHash: hashOf(number), payloadBytes: 10 * number }
}

function inventoryOf(entries: Iterable<InventoryEntry>, secret = 1): Inventory {
  const inventory = new Inventory({ hash, secret: new Uint8Array(32).fill(secret) })
  for (const entry of entries) inventory.add(entry)
  return inventory
}

function peerOf(inventory: Inventory): InventoryPeer {
  return {
    compare: (request) => Promise.resolve(answerInventory(inventory, request).slice()),
    entries: (request) => Promise.resolve(answerEntries(inventory, request).slice()),
  }
}

function kvKey(block: number, start: number): string {
  const digits = block.toString(16).padStart(64, '0')
  return `kv/blake3/${'5a'.repeat(32)}/${digits}/t${start}/l0-32/h/BF16/tokens,heads,headDim/rope:10000/whole`
}

describe('a comparison of inventories', () => {
  test('says what is missing on either side, by name', async () => {
    const numbers = fc.uniqueArray(fc.nat(5000), { maxLength: 2500, size: 'max' })
    await fc.assert(
      fc.asyncProperty(numbers, numbers, async (here, there) => {
        const comparison = await compareInventories(
          inventoryOf(here.map(entryOf)),
          peerOf(inventoryOf(there.map(entryOf))),
        )
        const inOrder = (entries: readonly InventoryEntry[]): number[] =>
          entries.map(({ payloadBytes }) => payloadBytes / 10).sort((a, b) => a - b)
        const [hereSet, thereSet] = [new Set(here), new Set(there)]
        expect(inOrder(comparison.missingHere)).toEqual(
          [...thereSet].filter((number) => !hereSet.has(number)).sort((a, b) => a - b),
        )
        expect(inOrder(comparison.missingThere)).toEqual(
          [...hereSet].filter((number) => !thereSet.has(number)).sort((a, b) => a - b),
        )
        expect(comparison.missingHere.every((entry) => entry.key === entryOf(entry.payloadBytes / 10).key)).toBe(true)
      }),
      { numRuns: runs(15) },
    )
  })

  test('is refused with a node that has another secret, and passes over what has gone meanwhile', async () => {
    const there = inventoryOf([1, 2, 3].map(entryOf))
    const stranger = inventoryOf([4, 5, 6].map(entryOf), 2)
    const liar: InventoryPeer = {
      ...peerOf(there),
      entries: (request) => {
        const ids = decodeIds(request)
        const all = encodeIds(ids.map(() => idOf(stranger)))
        return Promise.resolve(answerEntries(stranger, all))
      },
    }
    await expect(compareInventories(inventoryOf([]), liar)).rejects.toMatchObject({ code: 'INVALID_REQUEST' })
    const vanishing: InventoryPeer = {
      ...peerOf(there),
      entries: (request) => {
        there.remove(entryOf(2))
        return Promise.resolve(answerEntries(there, request))
      },
    }
    const { missingHere } = await compareInventories(inventoryOf([]), vanishing)
    expect(missingHere.map(({ key }) => key).sort()).toEqual([entryOf(1).key, entryOf(3).key])
  })

  test('believes no answer that is malformed', () => {
    const inventory = inventoryOf([1, 2, 3].map(entryOf))
    const answer = answerEntries(inventory, encodeIds([idOf(inventory)])).slice()
    const flips = fc.array(fc.tuple(fc.nat(), fc.nat(255)), { minLength: 1, maxLength: 3 })
    fc.assert(
      fc.property(flips, fc.nat(), (flips, end) => {
        const damaged = answer.slice()
        for (const [at, value] of flips) damaged[at % damaged.length] = value
        for (const [bytes, decode] of [
          [damaged, (bytes: Uint8Array) => decodeEntries(bytes, 1)],
          [damaged.subarray(0, end % damaged.length), (bytes: Uint8Array) => decodeEntries(bytes, 1)],
          [damaged, decodeIds],
        ] as const) {
          try {
            decode(bytes)
          } catch (error) {
            expect(error).toBeInstanceOf(MembraneError)
            expect(error).toMatchObject({ code: 'INVALID_REQUEST' })
          }
        }
      }),
      { numRuns: runs(200) },
    )
  })
})

/** Of any entry. */
function idOf(inventory: Inventory): Uint8Array {
  const ids: Uint8Array[] = []
  inventory.visit({ digits: 0, value: 0 }, (id) => ids.push(id.slice(0, 8)))
  return ids[0] ?? new Uint8Array(8)
}

describe('a plan of a sync', () => {
  test('fetches each content once, what is here not at all, and beginnings of prompts first', () => {
    const entry = (key: string, content: number): InventoryEntry => ({
      key,
      contentHash: hashOf(content),
      payloadBytes: 100 + content,
    })
    const missing = [
      entry('artifact/x', 9),
      entry(kvKey(3, 512), 3),
      entry(kvKey(2, 256), 2),
      entry(kvKey(20, 1024), 2),
      entry(kvKey(7, 256), 7),
      entry(kvKey(1, 0), 1),
    ]
    const plan = planSync(missing, { holds: (contentHash) => contentHash === hashOf(7) })
    expect(plan.fetch.map(({ key }) => key)).toEqual([kvKey(1, 0), kvKey(2, 256), kvKey(3, 512), 'artifact/x'])
    expect(plan.link.map(({ key }) => key)).toEqual([kvKey(7, 256), kvKey(20, 1024)])
    expect(plan.fetchBytes).toBe(400 + 1 + 2 + 3 + 9)
    const owned = planSync([entry('t/b', 1), entry('t/a', 2)], {
      holds: () => false,
      tokenStart: (key) => (key === 't/b' ? 0 : 5),
    })
    expect(owned.fetch.map(({ key }) => key)).toEqual(['t/b', 't/a'])
  })
})
