/** One tenant's fragments, as a rebuild asks for them. */
import { throwIfAborted } from '../core/cancel.ts'
import type { CallOptions } from '../core/compute.ts'
import type { Fragment } from '../core/fragment.ts'
import type { PromptName, PutOutcome } from '../core/ports.ts'
import type { LocalFragment, RebuildMemory } from '../reconstruct/rebuild-ports.ts'
import type { LentBuffers } from './read-buffers.ts'
import type { TenantFabric } from './tenant-fabric.ts'

export class FabricMemory implements RebuildMemory {
  readonly #fabric: TenantFabric
  readonly #lent: LentBuffers | null
  /** Bytes of the fragments that were found. */
  readonly #sizes = new Map<string, number>()

  /** With `lent`, what is read is only good until those end: for one rebuild. */
  constructor(fabric: TenantFabric, lent: LentBuffers | null = null) {
    this.#fabric = fabric
    this.#lent = lent
  }

  /** A fragment that lies in an engine's own memory is none that can be read from here. */
  async find({ model, hashes }: PromptName, leaseSeconds: number): Promise<readonly LocalFragment[]> {
    const found = await this.#fabric.fragmentsOf({ model, hashes }, leaseSeconds * 1000)
    return found.flatMap(({ key, description, contentHash, payloadBytes, tier }) => {
      if (tier === 'device') return []
      if (tier === 'disk') this.#sizes.set(key, payloadBytes)
      return [{ key, description, contentHash, payloadBytes, tier }]
    })
  }

  async read(key: string, { signal }: CallOptions = {}): Promise<Uint8Array | null> {
    throwIfAborted(signal)
    const bytes = this.#sizes.get(key)
    const found =
      this.#lent === null || bytes === undefined
        ? await this.#fabric.get(key)
        : await this.#lent.read(bytes, async (into) => this.#fabric.get(key, { into }))
    return found?.payload ?? null
  }

  async put({ description, payload }: Fragment): Promise<PutOutcome> {
    const { outcome } = await this.#fabric.put({ description, payload })
    return outcome
  }

  used(session: string, keys: readonly string[]): void {
    this.#fabric.accessed(session, keys)
  }
}
