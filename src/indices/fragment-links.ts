/**
 * Which fragments refer to which, by the hashes in their descriptions: one that follows another names the block hash it
 * follows, one that was made from others names theirs. Whoever comes first, both find each other. Names are a tenant's:
 * a fragment never refers to another tenant's.
 */
import type { FragmentDescription } from '../core/fragment.ts'
import type { ContentHash, TenantId } from '../core/ids.ts'
import type { EdgeKind } from './graph-edges.ts'

export interface LinkedFragment {
  readonly tenant: TenantId
  readonly contentHash: ContentHash
  readonly description: FragmentDescription
}

export interface FragmentLink {
  readonly from: number
  readonly to: number
  readonly kind: EdgeKind
}

/** Fragments that one is linked with by one name: copies, layers and heads of one block would each be linked with each. */
const LINKS_OF_NAME_MAX = 8

export class FragmentLinks {
  /** Fragments that a name stands for: its last block hash, or its content hash. */
  readonly #named = new Map<string, Set<number>>()
  /** Fragments that refer to a name. */
  readonly #referring = new Map<string, Map<number, EdgeKind>>()

  /** Names that are known: none when there are no fragments. */
  get names(): number {
    return this.#named.size + this.#referring.size
  }

  /** Links between the fragment and those that are there already. */
  insert(number: number, fragment: LinkedFragment): readonly FragmentLink[] {
    const links: FragmentLink[] = []
    for (const [name, kind] of referencesOf(fragment)) {
      for (const named of firstOf(this.#named.get(name)?.keys())) links.push(link(kind, number, named))
      const referring = this.#referring.get(name)
      if (referring === undefined) this.#referring.set(name, new Map([[number, kind]]))
      else referring.set(number, kind)
    }
    for (const name of namesOf(fragment)) {
      for (const [referring, kind] of firstOf(this.#referring.get(name)?.entries()))
        if (referring !== number) links.push(link(kind, referring, number))
      const named = this.#named.get(name)
      if (named === undefined) this.#named.set(name, new Set([number]))
      else named.add(number)
    }
    return links
  }

  remove(number: number, fragment: LinkedFragment): void {
    for (const [name] of referencesOf(fragment)) forget(this.#referring, name, number)
    for (const name of namesOf(fragment)) forget(this.#named, name, number)
  }
}

/** What was made from another leads to it; what follows another is led to. */
function link(kind: EdgeKind, referring: number, named: number): FragmentLink {
  return kind === 'prefix-of' ? { from: named, to: referring, kind } : { from: referring, to: named, kind }
}

function namesOf({ tenant, contentHash, description }: LinkedFragment): readonly string[] {
  const last = description.blocks.at(-1)
  return last === undefined ? [`${tenant} ${contentHash}`] : [`${tenant} ${contentHash}`, `${tenant} ${last}`]
}

function referencesOf({ tenant, description }: LinkedFragment): ReadonlyMap<string, EdgeKind> {
  const references = new Map<string, EdgeKind>()
  for (const hash of description.derivedFrom) references.set(`${tenant} ${hash}`, 'derived-from')
  if (description.parent !== null) references.set(`${tenant} ${description.parent}`, 'prefix-of')
  return references
}

function forget<Members extends { delete(number: number): boolean; readonly size: number }>(
  table: Map<string, Members>,
  name: string,
  number: number,
): void {
  const members = table.get(name)
  members?.delete(number)
  if (members?.size === 0) table.delete(name)
}

function* firstOf<Item>(items: Iterable<Item> | undefined): Generator<Item, void> {
  let count = 0
  for (const item of items ?? []) {
    if (count++ === LINKS_OF_NAME_MAX) return
    yield item
  }
}
