/**
 * What this node lacks and another one has: brought here when somebody reads it, so that the next read is local, and
 * counted as there when somebody asks whether it is.
 */
import type { CallOptions } from '../core/compute.ts'
import { MembraneError } from '../core/errors.ts'
import { parseFragmentKey } from '../core/fragment-key.ts'
import { writeHex } from '../core/hex.ts'
import type { TenantId } from '../core/ids.ts'
import { LIMITS } from '../core/limits.ts'
import type { HashFunction } from '../core/ports.ts'
import { BLOCK_NAME_BYTES, type BlockDirectory, type Holding } from '../cluster/block-directory.ts'
import type { Member } from '../cluster/member.ts'
import type { HotCopies } from '../cluster/hot-copies.ts'
import type { Membership } from '../cluster/membership.ts'
import type { ClusterForget, Forgotten } from './cluster-forget.ts'
import type { ClusterPull } from './cluster-pull.ts'
import type { PeerConnections } from './peer-connections.ts'

/** As operations see the other nodes. */
export interface Elsewhere {
  /** Whether the fragment is here now. Never throws for other nodes: who fails has nothing. */
  bring(tenant: TenantId, key: string, options?: CallOptions): Promise<boolean>
  /** Whether another node says that it has it: one answer a key, in order. */
  has(tenant: TenantId, keys: readonly string[]): Promise<readonly boolean[]>
  /** Somebody has read what is here. */
  touched(tenant: TenantId, key: string): void
  /** Removes copies at other nodes: of each, whether there was one. Nodes that fail are passed over. */
  forget(tenant: TenantId, what: readonly Forgotten[]): Promise<readonly boolean[]>
  /** All of a tenant, or what lies under a prefix, at all other nodes. Throws PEER_UNAVAILABLE when some did not answer. */
  erase(tenant: TenantId, prefix: string | null): Promise<number>
}

export interface ClusterElsewhereParts {
  readonly membership: Membership
  readonly directory: BlockDirectory
  readonly connections: PeerConnections
  readonly pull: ClusterPull
  readonly forget: ClusterForget
  readonly copies: HotCopies
  /** Names fragments that have no blocks. */
  readonly hash: HashFunction
  /** A node that was said to have a fragment did not have it, or gave other bytes. */
  readonly missed: (tenant: TenantId, key: string, node: string) => void
}

/** Of counted since the start. */
export interface ElsewhereStats {
  readonly asked: number
  readonly brought: number
  readonly missed: number
  readonly failed: number
  /** Copies that had come by being read, and went because nobody read them any more. */
  readonly demoted: number
}

/** Holders that are tried for one read. */
const HOLDERS_MAX = 3

/** See the top of this file. */
export class ClusterElsewhere implements Elsewhere {
  readonly #parts: ClusterElsewhereParts
  /** One fetch of a fragment, however many ask for it. */
  readonly #underWay = new Map<string, Promise<boolean>>()
  readonly #stats = { asked: 0, brought: 0, missed: 0, failed: 0, demoted: 0 }

  constructor(parts: ClusterElsewhereParts) {
    this.#parts = parts
  }

  get stats(): ElsewhereStats {
    return { ...this.#stats }
  }

  bring(tenant: TenantId, key: string, options: CallOptions = {}): Promise<boolean> {
    if (!this.#hasOthers()) return Promise.resolve(false)
    const name = `${tenant}/${key}`
    const running = this.#underWay.get(name)
    if (running !== undefined) return running
    const bringing = this.#bring(tenant, key, options).finally(() => this.#underWay.delete(name))
    this.#underWay.set(name, bringing)
    return bringing
  }

  async has(tenant: TenantId, keys: readonly string[]): Promise<readonly boolean[]> {
    if (!this.#hasOthers() || keys.length === 0) return keys.map(() => false)
    const found: boolean[] = []
    for (let from = 0; from < keys.length; from += LIMITS.directoryNamesMax) {
      const asked = keys.slice(from, from + LIMITS.directoryNamesMax)
      const holdings = await this.#locate(tenant, asked)
      found.push(...asked.map((_, index) => holdings.some(({ tiers }) => (tiers[index] ?? 0) > 0)))
    }
    return found
  }

  forget(tenant: TenantId, what: readonly Forgotten[]): Promise<readonly boolean[]> {
    return this.#parts.forget.forget(tenant, what)
  }

  /** A copy that had been brought here has gone. */
  readonly demoted = (): void => {
    this.#stats.demoted += 1
  }

  touched(tenant: TenantId, key: string): void {
    this.#parts.copies.touched(tenant, key)
  }

  erase(tenant: TenantId, prefix: string | null): Promise<number> {
    return this.#parts.forget.erase(tenant, prefix)
  }

  async #bring(tenant: TenantId, key: string, options: CallOptions): Promise<boolean> {
    this.#stats.asked += 1
    const { membership } = this.#parts
    const holdings = await this.#locate(tenant, [key])
    const holders = holdings
      .flatMap(({ node, tiers }) => (tiers[0] === 0 ? [] : (membership.member(node) ?? [])))
      .filter(({ state }) => state === 'alive' || state === 'suspect')
      .toSorted((a, b) => this.#distance(a) - this.#distance(b))
      .slice(0, HOLDERS_MAX)
    for (const holder of holders) if (await this.#bringFrom(holder, tenant, key, options)) return true
    return false
  }

  async #bringFrom(holder: Member, tenant: TenantId, key: string, options: CallOptions): Promise<boolean> {
    const { connections, pull, missed } = this.#parts
    try {
      const { signal } = options
      const described = await connections
        .bytesOf(holder.address, tenant)
        .describe(key, signal === undefined ? {} : { signal })
      if (described === null) {
        this.#stats.missed += 1
        missed(tenant, key, holder.node)
        return false
      }
      const wanted = { key, contentHash: described.contentHash, payloadBytes: described.payloadBytes }
      const [outcome] = await pull.pull(tenant, holder, [wanted], options)
      if (outcome?.kind === 'stored') {
        this.#stats.brought += 1
        this.#parts.copies.brought(tenant, key)
        return true
      }
      if (outcome?.kind === 'gone' || outcome?.kind === 'damaged') missed(tenant, key, holder.node)
      this.#stats.failed += 1
      return false
    } catch (error) {
      if (!(error instanceof MembraneError)) throw error
      this.#stats.failed += 1
      return false
    }
  }

  /** A directory that does not answer has nothing to say. */
  async #locate(tenant: TenantId, keys: readonly string[]): Promise<readonly Holding[]> {
    const { directory, membership, hash } = this.#parts
    const names = new Uint8Array(BLOCK_NAME_BYTES * keys.length)
    for (const [index, key] of keys.entries()) names.set(nameOfKey(key, hash), BLOCK_NAME_BYTES * index)
    try {
      const found = await directory.locate(tenant, names)
      return found.filter(({ node }) => node !== membership.self.node)
    } catch (error) {
      if (!(error instanceof MembraneError)) throw error
      return []
    }
  }

  #hasOthers(): boolean {
    const { membership } = this.#parts
    const { node: own } = membership.self
    return membership.members().some(({ node, state }) => node !== own && (state === 'alive' || state === 'suspect'))
  }

  /** Suspects last, then other datacentres, then the busier. */
  #distance({ state, datacentre, telemetry }: Member): number {
    const { self } = this.#parts.membership
    return (state === 'alive' ? 0 : 4) + (datacentre === self.datacentre ? 0 : 2) + telemetry.eventLoopRatio
  }
}

/** Under which name the directory has a fragment: that of its last block, or of its key where it has no blocks. */
export function nameOfKey(key: string, hash: HashFunction): Uint8Array {
  const block = lastBlockOf(key)
  if (block === null) {
    const message = new TextEncoder().encode(key)
    const digest = new Uint8Array(Math.max(hash.digestBytes, BLOCK_NAME_BYTES))
    hash.digestInto(message, digest, 0)
    return digest.subarray(0, BLOCK_NAME_BYTES)
  }
  const digits = block.slice(block.indexOf(':') + 1)
  const name = new Uint8Array(BLOCK_NAME_BYTES)
  writeHex(digits.slice(0, 2 * BLOCK_NAME_BYTES), name, 0)
  return name
}

function lastBlockOf(key: string): string | null {
  try {
    const name = parseFragmentKey(key)
    return 'block' in name ? name.block : null
  } catch (error) {
    if (error instanceof MembraneError) return null
    throw error
  }
}
