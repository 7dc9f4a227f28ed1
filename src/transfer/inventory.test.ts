import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { MembraneError } from '../core/errors.ts'
import { parseContentHash } from '../core/ids.ts'
import { seededRandom } from '../core/random.ts'
import { loadChainHashes } from '../hashing/chain-hashes.ts'
import { runs } from '../../test/effort.ts'
import { exchangeInventories, type InventoryExchange } from '../../test/exchange-inventories.ts'
import { Inventory, type InventoryEntry } from './inventory.ts'
import { decodeRequest, encodeResponse } from './inventory-messages.ts'
import { answerInventory, Reconciliation } from './reconcile.ts'

const { blake3: hash } = await loadChainHashes()
const secret = new Uint8Array(16).fill(7)

function entryOf(number: number, version = 0): InventoryEntry {
  const contentHash = parseContentHash(`b3:${version.toString(16).padStart(64, '0')}`)
  return { key: `opaque/=${number}`, contentHash, payloadBytes: number }
}

function inventoryOf(entries: Iterable<InventoryEntry>): Inventory {
  const inventory = new Inventory({ hash, secret })
  for (const entry of entries) inventory.add(entry)
  return inventory
}

function keys(entries: Iterable<InventoryEntry | null>): string[] {
  return [...entries].map((entry) => `${entry?.key} ${entry?.contentHash}`).sort()
}

/** What is missing on either side is exactly what the other one has alone. */
function expectExact(
  here: readonly InventoryEntry[],
  there: readonly InventoryEntry[],
  [a, b]: readonly [Inventory, Inventory],
): InventoryExchange {
  const found = exchangeInventories(a, b)
  const [inHere, inThere] = [new Set(keys(here)), new Set(keys(there))]
  expect(keys(found.missingThere)).toEqual(keys(here).filter((key) => !inThere.has(key)))
  expect(keys(found.missingHere.map((id) => b.find(id)))).toEqual(keys(there).filter((key) => !inHere.has(key)))
  return found
}

describe('an inventory', () => {
  test('finds exactly what two random sets do not share', () => {
    const sets = fc.tuple(fc.nat(3000), fc.nat(400), fc.nat(400), fc.nat(50))
    fc.assert(
      fc.property(sets, fc.nat(), ([shared, alone, aloneThere, changed], first) => {
        const all = (from: number, count: number, version = 0): InventoryEntry[] =>
          Array.from({ length: count }, (_, index) => entryOf(first + from + index, version))
        const here = [...all(0, shared), ...all(10_000, alone), ...all(20_000, changed, 1)]
        const there = [...all(0, shared), ...all(30_000, aloneThere), ...all(20_000, changed, 2)]
        expectExact(here, there, [inventoryOf(here), inventoryOf(there)])
      }),
      { numRuns: runs(40) },
    )
  })

  test('is the same whatever the order in which entries came and went', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.nat(300), fc.boolean()), { maxLength: 2000, size: 'max' }),
        fc.nat(),
        (steps, seed) => {
          const held = new Map<number, InventoryEntry>()
          const inventory = new Inventory({ hash, secret })
          for (const [number, isAdded] of steps) {
            const entry = entryOf(number)
            expect(isAdded ? inventory.add(entry) : inventory.remove(entry)).toBe(held.has(number) !== isAdded)
            if (isAdded) held.set(number, entry)
            else held.delete(number)
            expect(inventory.has(entry)).toBe(isAdded)
          }
          const random = seededRandom(seed)
          const fresh = inventoryOf([...held.values()].sort(() => random() - 0.5))
          expect(inventory.count).toBe(held.size)
          expect(inventory.root()).toEqual(fresh.root())
          expect(exchangeInventories(inventory, fresh)).toMatchObject({
            missingHere: [],
            missingThere: [],
            roundTrips: 1,
          })
          expectExact([...held.values()], [], [inventory, inventoryOf([])])
        },
      ),
      { numRuns: runs(40) },
    )
  })

  test('exchanges a few bytes where nothing differs, and little where little does', () => {
    const entries = Array.from({ length: 60_000 }, (_, number) => entryOf(number))
    const here = inventoryOf(entries)
    const there = inventoryOf(entries)
    expect(exchangeInventories(here, there).bytes).toBeLessThan(100)
    const changed = entries.filter((_, index) => index % 1200 === 0)
    for (const entry of changed.slice(0, 25)) here.remove(entry)
    for (const entry of changed.slice(25)) there.remove(entry)
    const found = exchangeInventories(here, there)
    expect(keys(found.missingThere)).toEqual(keys(changed.slice(25)))
    expect(keys(found.missingHere.map((id) => there.find(id)))).toEqual(keys(changed.slice(0, 25)))
    expect(found.bytes).toBeLessThan(30_000)
    expect(found.roundTrips).toBeLessThanOrEqual(4)
  })

  test('has other ids with another secret', () => {
    const other = new Inventory({ hash, secret: new Uint8Array(16).fill(8) })
    other.add(entryOf(1))
    expect(other.root()).not.toEqual(inventoryOf([entryOf(1)]).root())
    expect(() => new Inventory({ hash, secret: new Uint8Array(15) })).toThrow('16 to 64 bytes')
  })

  test('ends a comparison with a node that always has more', () => {
    const here = inventoryOf([])
    const reconciliation = new Reconciliation(here)
    const digests = new Uint32Array(48).fill(1000)
    const endless = (request: Uint8Array): Uint8Array => {
      const decoded = decodeRequest(request)
      const more = { kind: 'children', digests } as const
      if (decoded.kind === 'root') return encodeResponse([[more]])
      return encodeResponse(
        decoded.questions.map(({ compared, prefix }) => {
          if (compared === null) return [{ kind: 'list', ids: [] }]
          return Array.from({ length: 16 }, () => (prefix.digits < 7 ? more : { kind: 'list' as const, ids: [] }))
        }),
      )
    }
    expect(() => {
      for (let request: Uint8Array | null = reconciliation.start(); request !== null; )
        request = reconciliation.next(endless(request))
    }).toThrow(expect.objectContaining({ code: 'LIMIT_REACHED' }))
  })

  test('is compared in parts where very much differs', () => {
    const there = inventoryOf(Array.from({ length: 20_000 }, (_, number) => entryOf(number)))
    const here = inventoryOf([])
    let rounds = 0
    for (let isComplete = false; !isComplete; rounds++) {
      const reconciliation = new Reconciliation(here, 5000)
      for (let request: Uint8Array | null = reconciliation.start(); request !== null; )
        request = reconciliation.next(answerInventory(there, request))
      const { missingHere } = reconciliation.difference
      isComplete = reconciliation.difference.isComplete
      if (!isComplete) expect(missingHere.length).toBeGreaterThanOrEqual(5000)
      expect(missingHere.length).toBeGreaterThan(0)
      for (const id of missingHere) here.add(there.find(id) ?? entryOf(-1))
    }
    expect(here.root()).toEqual(there.root())
    expect(rounds).toBeGreaterThan(1)
  })

  test('believes no list that names an id twice, or in another order', () => {
    const here = inventoryOf([])
    const there = inventoryOf([1, 2, 3].map((number) => entryOf(number)))
    const request = new Reconciliation(here).start()
    const response = answerInventory(there, request).slice()
    for (const [to, from] of [
      [-8, -16],
      [-24, -8],
    ] as const) {
      const lie = response.slice()
      lie.set(response.subarray(response.length + from, response.length + from + 8), response.length + to)
      const reconciliation = new Reconciliation(here)
      reconciliation.start()
      expect(() => reconciliation.next(lie)).toThrow('ascending')
    }
  })

  test('answers nothing but INVALID_REQUEST to what is no request, and believes no such response', () => {
    const inventory = inventoryOf(Array.from({ length: 1000 }, (_, number) => entryOf(number)))
    const other = inventoryOf(Array.from({ length: 1000 }, (_, number) => entryOf(2 * number)))
    const requests: Uint8Array[] = []
    const responses: Uint8Array[] = []
    const reconciliation = new Reconciliation(inventory)
    for (let request: Uint8Array | null = reconciliation.start(); request !== null; ) {
      requests.push(request.slice())
      responses.push(answerInventory(other, request).slice())
      request = reconciliation.next(responses.at(-1) ?? request)
    }
    const damage = fc.array(fc.tuple(fc.nat(), fc.nat(255)), { minLength: 1, maxLength: 4 })
    fc.assert(
      fc.property(
        fc.nat(requests.length - 1),
        damage,
        fc.option(fc.nat()),
        fc.boolean(),
        (message, flips, end, isRequest) => {
          const bytes = ((isRequest ? requests : responses)[message] ?? new Uint8Array()).slice()
          for (const [at, value] of flips) bytes[at % bytes.length] = value
          const cut = end === null ? bytes : bytes.subarray(0, end % bytes.length)
          const attacked = new Reconciliation(inventory)
          try {
            if (isRequest) answerInventory(other, cut)
            else {
              attacked.start()
              for (const response of responses.slice(0, message)) attacked.next(response)
              attacked.next(cut)
            }
          } catch (error) {
            expect(error).toBeInstanceOf(MembraneError)
            expect(error).toMatchObject({ code: 'INVALID_REQUEST' })
          }
        },
      ),
      { numRuns: runs(300) },
    )
  })
})
