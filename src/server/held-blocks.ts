/** Keeps what this node says that it holds (`HeldNames`) in step with its fabric. */
import { setImmediate } from 'node:timers/promises'
import { writeHex } from '../core/hex.ts'
import { parseTenantId } from '../core/ids.ts'
import type { HashFunction } from '../core/ports.ts'
import { BLOCK_NAME_BYTES, type BlockNames } from '../cluster/block-directory.ts'
import type { HeldNames } from '../cluster/held-names.ts'
import { nameOfKey } from './cluster-elsewhere.ts'
import type { Fabric } from './fabric.ts'

export interface HeldBlocksParts {
  readonly fabric: Pick<Fabric, 'watch' | 'indices'>
  readonly held: HeldNames
  /** Names fragments that have no blocks. */
  readonly hash: HashFunction
}

/** Between two looks at whether anything else is to be done. */
const FRAGMENTS_AT_ONCE = 500

/** See the top of this file. */
export class HeldBlocks {
  readonly #parts: HeldBlocksParts
  /** Each counts once, however often it is put. */
  readonly #keys = new Set<string>()
  readonly #unwatch: () => void
  #isClosed = false

  constructor(parts: HeldBlocksParts) {
    this.#parts = parts
    this.#unwatch = parts.fabric.watch({ joined: ({ key }) => this.#joined(key), left: (key) => this.#left(key) })
  }

  /** What was there before. Ends when all of it is named. */
  async fill(): Promise<void> {
    const keys = Array.from(this.#parts.fabric.indices.fragments(), ({ key }) => key)
    for (const [index, key] of keys.entries()) {
      if (index % FRAGMENTS_AT_ONCE === 0) await setImmediate()
      if (this.#isClosed) return
      // It may have left meanwhile.
      if (this.#parts.fabric.indices.get(key) !== null) this.#joined(key)
    }
  }

  close(): void {
    this.#isClosed = true
    this.#unwatch()
  }

  #joined(key: string): void {
    if (this.#keys.has(key)) return
    this.#keys.add(key)
    const { tenant, names } = this.#namesOf(key)
    this.#parts.held.add(tenant, names)
  }

  /** Before it has left the indices: they know its blocks. */
  #left(key: string): void {
    if (!this.#keys.delete(key)) return
    const { tenant, names } = this.#namesOf(key)
    this.#parts.held.remove(tenant, names)
  }

  #namesOf(key: string) {
    const slash = key.indexOf('/')
    const tenant = parseTenantId(key.slice(0, slash))
    const blocks = this.#parts.fabric.indices.get(key)?.description.blocks ?? []
    const names = blocks.length === 0 ? nameOfKey(key.slice(slash + 1), this.#parts.hash) : namesOfBlocks(blocks)
    return { tenant, names }
  }
}

function namesOfBlocks(blocks: readonly string[]): BlockNames {
  const names = new Uint8Array(BLOCK_NAME_BYTES * blocks.length)
  for (const [index, block] of blocks.entries()) {
    const digits = block.indexOf(':') + 1
    writeHex(block.slice(digits, digits + 2 * BLOCK_NAME_BYTES), names, BLOCK_NAME_BYTES * index)
  }
  return names
}
