/** What one node keeps of the directory for all: by tenant, what each node says that it holds. */
import type { TenantId } from '../core/ids.ts'
import { LIMITS } from '../core/limits.ts'
import { BLOCK_NAME_BYTES, type BlockNames, type Holding } from './block-directory.ts'
import { NameTable } from './name-table.ts'

/** See the top of this file. */
export class DirectoryShard {
  readonly #holders = new Map<TenantId, Map<string, NameTable>>()
  #entries = 0
  #refused = 0

  get entries(): number {
    return this.#entries
  }

  /** Entries for which there was no room. */
  get refused(): number {
    return this.#refused
  }

  add(tenant: TenantId, node: string, { names, value }: { readonly names: BlockNames; readonly value: number }): void {
    const table = this.#table(tenant, node)
    for (let at = 0; at < names.length / BLOCK_NAME_BYTES; at++) {
      if (this.#entries >= LIMITS.directoryEntriesMax && table.valueAt(names, at) === 0) {
        this.#refused += 1
        continue
      }
      const before = table.size
      if (table.valueAt(names, at) === 0) table.add(names, at, value)
      this.#entries += table.size - before
    }
  }

  remove(tenant: TenantId, node: string, names: BlockNames): void {
    const table = this.#holders.get(tenant)?.get(node)
    if (table === undefined) return
    for (let at = 0; at < names.length / BLOCK_NAME_BYTES; at++)
      if (table.remove(names, at, { isWhole: true })) this.#entries -= 1
    if (table.size === 0) this.drop(node, tenant)
  }

  /** Who holds any of the names. */
  locate(tenant: TenantId, names: BlockNames): readonly Holding[] {
    const count = names.length / BLOCK_NAME_BYTES
    const found: Holding[] = []
    for (const [node, table] of this.#holders.get(tenant) ?? []) {
      const tiers = new Uint8Array(count)
      let isAny = false
      for (let at = 0; at < count; at++) {
        const value = table.valueAt(names, at)
        tiers[at] = value
        if (value > 0) isAny = true
      }
      if (isAny) found.push({ node, tiers })
    }
    return found
  }

  /** Of what a node said that it holds; zeroes for one that has said nothing. */
  digest(tenant: TenantId, node: string): Uint32Array {
    return this.#holders.get(tenant)?.get(node)?.digest ?? EMPTY
  }

  bucket(tenant: TenantId, node: string, bucket: number): BlockNames {
    return this.#holders.get(tenant)?.get(node)?.bucket(bucket) ?? new Uint8Array(0)
  }

  /** Forgets what a node said, of one tenant or of all. */
  drop(node: string, tenant?: TenantId): void {
    for (const [of, holders] of this.#holders) {
      if (tenant !== undefined && of !== tenant) continue
      this.#entries -= holders.get(node)?.size ?? 0
      holders.delete(node)
      if (holders.size === 0) this.#holders.delete(of)
    }
  }

  /** Forgets what is not this node's to keep any more: of all nodes, the names of the buckets that `isKept` denies. */
  keep(isKept: (bucket: number) => boolean): void {
    for (const [tenant, holders] of this.#holders)
      for (const [node, table] of holders)
        for (let bucket = 0; bucket < 256; bucket++) {
          if (isKept(bucket) || table.digest[3 * bucket] === 0) continue
          this.remove(tenant, node, table.bucket(bucket))
        }
  }

  /** Every node that has said anything. */
  nodes(): ReadonlySet<string> {
    return new Set([...this.#holders.values()].flatMap((holders) => [...holders.keys()]))
  }

  #table(tenant: TenantId, node: string): NameTable {
    const holders = this.#holders.get(tenant) ?? new Map<string, NameTable>()
    this.#holders.set(tenant, holders)
    const table = holders.get(node) ?? new NameTable()
    holders.set(node, table)
    return table
  }
}

const EMPTY = new NameTable().digest
