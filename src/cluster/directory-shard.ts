/** What one node keeps of the directory for all: by tenant, what each node says that it holds. */
import type { TenantId } from '../core/ids.ts'
import { MembraneError } from '../core/errors.ts'
import { LIMITS } from '../core/limits.ts'
import { BLOCK_NAME_BYTES, type BlockNames, type Holding } from './block-directory.ts'
import { pickNames } from './held-names.ts'
import { BUCKETS, DIGEST_WORDS, NameTable } from './name-table.ts'

/** See the top of this file. */
export class DirectoryShard {
  readonly #holders = new Map<TenantId, Map<string, NameTable>>()
  /** When each node that has said anything began: what an earlier start of it said does not hold any more. */
  readonly #startedMs = new Map<string, number>()
  #entries = 0
  #refused = 0

  get entries(): number {
    return this.#entries
  }

  /** Entries for which there was no room. */
  get refused(): number {
    return this.#refused
  }

  /** Before anything that this start of the node says. Throws INVALID_REQUEST for an earlier start than one that was heard. */
  begun({ node, startedMs }: { readonly node: string; readonly startedMs: number }): void {
    const known = this.#startedMs.get(node)
    if (known === startedMs) return
    if (known !== undefined && known > startedMs)
      throw new MembraneError('INVALID_REQUEST', `${node} has been started anew since.`)
    if (known !== undefined) this.drop(node)
    this.#startedMs.set(node, startedMs)
  }

  /** What others say of a node's start; nothing for a node that has said nothing, or an earlier start. */
  restarted({ node, startedMs }: { readonly node: string; readonly startedMs: number }): void {
    const known = this.#startedMs.get(node)
    if (known !== undefined && known < startedMs) this.begun({ node, startedMs })
  }

  add(tenant: TenantId, node: string, { names, value }: { readonly names: BlockNames; readonly value: number }): void {
    const table = this.#table(tenant, node)
    for (let at = 0; at < names.length / BLOCK_NAME_BYTES; at++) {
      if (this.#entries >= LIMITS.directoryEntriesMax && table.valueAt(names, at) === 0) {
        this.#refused += 1
        continue
      }
      if (table.valueAt(names, at) !== 0) continue
      table.add(names, at, value)
      this.#entries += 1
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

  /** Makes these all names of one bucket that the node holds; how many were missing, and how many too many. */
  replace(
    tenant: TenantId,
    {
      node,
      bucket,
      names,
      value,
    }: { readonly node: string; readonly bucket: number; readonly names: BlockNames; readonly value: number },
  ): { readonly added: number; readonly removed: number } {
    const before = this.bucket(tenant, node, bucket)
    const kept = new NameTable()
    for (let at = 0; at < names.length / BLOCK_NAME_BYTES; at++) kept.add(names, at, value)
    const count = before.length / BLOCK_NAME_BYTES
    const superfluous = Array.from({ length: count }, (_, at) => at).filter((at) => kept.valueAt(before, at) === 0)
    if (superfluous.length > 0) this.remove(tenant, node, pickNames(before, superfluous))
    const left = count - superfluous.length
    this.add(tenant, node, { names, value })
    return { added: kept.size - left, removed: superfluous.length }
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
        for (let bucket = 0; bucket < BUCKETS; bucket++) {
          if (isKept(bucket) || table.digest[DIGEST_WORDS * bucket] === 0) continue
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
