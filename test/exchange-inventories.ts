/** Two inventories compared in one process, with what it would have taken on a network. */
import type { Inventory } from '../src/transfer/inventory.ts'
import { answerInventory, type InventoryDifference, Reconciliation } from '../src/transfer/reconcile.ts'

export interface InventoryExchange extends InventoryDifference {
  readonly bytes: number
  readonly roundTrips: number
}

export function exchangeInventories(here: Inventory, there: Inventory): InventoryExchange {
  const reconciliation = new Reconciliation(here)
  let [bytes, roundTrips] = [0, 0]
  for (let request: Uint8Array | null = reconciliation.start(); request !== null; roundTrips++) {
    const response = answerInventory(there, request)
    bytes += request.length + response.length
    request = reconciliation.next(response)
  }
  return { ...reconciliation.difference, bytes, roundTrips }
}
