/** The order in which a bounded store learns what was there when it was opened. */
import type { StoredEntry } from '../core/ports.ts'
import type { EntryTraits } from './bounded-owner.ts'
import { ownerOf } from './canonical-contents.ts'

/** An entry that was there. */
export interface FoundEntry {
  readonly entry: StoredEntry
  readonly traits: EntryTraits
}

/**
 * Parents before what builds upon them, because a policy learns a chain from its head on. Each key once: a store that
 * others share may list an entry twice.
 */
export function parentsFirst(found: readonly FoundEntry[]): readonly FoundEntry[] {
  const byName = new Map<string, FoundEntry>()
  for (const one of found) {
    const { chainName } = one.traits
    if (chainName !== null) byName.set(nameWithin(one.entry, chainName), one)
  }
  const ordered = new Map<string, FoundEntry>()
  const parentOf = ({ entry, traits: { parentName } }: FoundEntry): FoundEntry | undefined =>
    parentName === null ? undefined : byName.get(nameWithin(entry, parentName))
  for (const last of found) {
    if (ordered.has(last.entry.key)) continue
    const chain = new Set<FoundEntry>()
    // A chain that bites its own tail comes from wrong descriptions, and ends where it began.
    let one: FoundEntry | undefined = last
    while (one !== undefined && !chain.has(one) && !ordered.has(one.entry.key)) {
      chain.add(one)
      one = parentOf(one)
    }
    for (const found of [...chain].toReversed()) ordered.set(found.entry.key, found)
  }
  return [...ordered.values()]
}

/** Two owners may use one chain name. */
function nameWithin({ key }: StoredEntry, chainName: string): string {
  return `${ownerOf(key)}/${chainName}`
}
