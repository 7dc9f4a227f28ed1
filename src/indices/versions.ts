/**
 * Versions of prefixes that people change over time: a system prompt, a tool list, a document. A version is the
 * prefix's last block hash; a lineage is a name with all its versions. Each knows the version that it was made from,
 * so that a cache can be warmed for the newest one and reuse what it shares with those before.
 *
 *   support-bot:  v1 <- v2 <- v4      `latest` v5; `history(v4)` v4, v2, v1; `commonAncestor(v4, v5)` v2
 *                       ^-- v5
 */
import { assert } from '../core/errors.ts'
import type { BlockHash } from '../core/ids.ts'
import { LIMITS } from '../core/limits.ts'

/** `present`: it was there, with the same parent. `unknown-parent`, `other-parent`: nothing was added. */
export type VersionAddition = 'added' | 'present' | 'unknown-parent' | 'other-parent'

/** A version and what it was made from. */
export interface PrefixVersion {
  readonly version: BlockHash
  /** Null for the first version, and for one whose predecessors were all removed. */
  readonly parent: BlockHash | null
}

/** Parents of versions, in the order in which they were added: the last is the latest, a parent is before its successors. */
type Lineage = Map<BlockHash, BlockHash | null>

/** Bounds, at least 1 each. */
export interface PrefixVersionsOptions {
  readonly lineagesMax: number
  readonly versionsMax: number
}

/** LIMITS.prefixLineagesMax and prefixVersionsMax. */
export const DEFAULT_PREFIX_VERSIONS: PrefixVersionsOptions = {
  lineagesMax: LIMITS.prefixLineagesMax,
  versionsMax: LIMITS.prefixVersionsMax,
}

/** The versions of one tenant's prefixes. Calls take time linear in the versions of one lineage. */
export class PrefixVersions {
  readonly #options: PrefixVersionsOptions
  /** In the order in which they were last added to. */
  readonly #lineages = new Map<string, Lineage>()

  constructor(options: PrefixVersionsOptions = DEFAULT_PREFIX_VERSIONS) {
    assert(options.lineagesMax >= 1 && options.versionsMax >= 1, 'there is room for a version')
    this.#options = options
  }

  get lineageCount(): number {
    return this.#lineages.size
  }

  /**
   * A version stands after its parent and keeps it, so lineages have no cycles. Beyond `versionsMax` the oldest version
   * is removed, and the new one's parent only if nothing else is there; beyond `lineagesMax` the lineage that was longest not added to.
   */
  add(lineage: string, version: BlockHash, parent: BlockHash | null): VersionAddition {
    const parents = this.#lineages.get(lineage) ?? (new Map() as Lineage)
    const known = parents.get(version)
    if (known !== undefined) return known === parent ? 'present' : 'other-parent'
    if (parent !== null && !parents.has(parent)) return 'unknown-parent'
    parents.set(version, parent)
    this.#lineages.delete(lineage)
    this.#lineages.set(lineage, parents)
    this.#evict(lineage, parents, parent)
    return 'added'
  }

  /** The version that was added last and not removed, or null where there is none. */
  latest(lineage: string): BlockHash | null {
    return [...(this.#lineages.get(lineage)?.keys() ?? [])].at(-1) ?? null
  }

  /** All versions, in the order in which they were added. */
  versions(lineage: string): readonly PrefixVersion[] {
    return [...(this.#lineages.get(lineage) ?? [])].map(([version, parent]) => ({ version, parent }))
  }

  /** The version and its predecessors, the newest first; empty when it is not known. */
  history(lineage: string, version: BlockHash): readonly BlockHash[] {
    const parents = this.#lineages.get(lineage)
    const history: BlockHash[] = []
    if (parents?.has(version) !== true) return history
    for (let at: BlockHash | null = version; at !== null; at = parents.get(at) ?? null) {
      history.push(at)
      assert(history.length <= parents.size, 'versions have no cycle')
    }
    return history
  }

  /** The newest version that both come from, which may be one of them; null where there is none. */
  commonAncestor(lineage: string, a: BlockHash, b: BlockHash): BlockHash | null {
    const ofA = new Set(this.history(lineage, a))
    return this.history(lineage, b).find((version) => ofA.has(version)) ?? null
  }

  /** Its successors follow its parent from then on. False when it is not known. */
  remove(lineage: string, version: BlockHash): boolean {
    const parents = this.#lineages.get(lineage)
    const parent = parents?.get(version)
    if (parents === undefined || parent === undefined) return false
    parents.delete(version)
    for (const [successor, itsParent] of parents) if (itsParent === version) parents.set(successor, parent)
    if (parents.size === 0) this.#lineages.delete(lineage)
    return true
  }

  #evict(lineage: string, parents: Lineage, parent: BlockHash | null): void {
    if (parents.size > this.#options.versionsMax) {
      const [oldest, second] = parents.keys()
      const victim = oldest === parent && parents.size > 2 ? second : oldest
      if (victim !== undefined) this.remove(lineage, victim)
    }
    const [quietest] = this.#lineages.keys()
    if (this.#lineages.size > this.#options.lineagesMax && quietest !== undefined) this.#lineages.delete(quietest)
  }
}
