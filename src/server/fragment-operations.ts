/** What can be done with stored fragments, once for all doors. Missing is an outcome; everything else that fails throws. */
import type { BlockHashes } from '../core/block-hashes.ts'
import { byteSignature } from '../core/fragment-bytes.ts'
import { fragmentKey } from '../core/fragment-key.ts'
import type { FragmentDescription } from '../core/fragment.ts'
import type { ModelFingerprint } from '../core/ids.ts'
import type { Clock, GetOptions, StoredEntry, StoredFragment, StoredStream } from '../core/ports.ts'
import type { TenantUsage } from '../store/tenants.ts'
import type { Caller } from './caller.ts'
import type { Fabric } from './fabric.ts'
import type { Gate } from './gate.ts'
import type { Described, FabricPut, FabricPutResult, HeldPrefix } from './tenant-fabric.ts'

/** Which of some keys are there, in order, and until when they stay. */
export interface Presence {
  readonly isPresent: readonly boolean[]
  readonly leasedUntilMs: number
}

export interface FragmentOperationsParts {
  readonly fabric: Fabric
  readonly gate: Gate
  readonly clock: Clock
  /** Of look-ups that name none. */
  readonly leaseMs: number
}

/** See the top of this file. Every call throws FORBIDDEN, RATE_LIMITED and DRAINING beside what is said. */
export class FragmentOperations {
  readonly #parts: FragmentOperationsParts

  constructor(parts: FragmentOperationsParts) {
    this.#parts = parts
  }

  /** Throws what `TenantFabric.put` throws. `refused` is an outcome: a full store rather keeps what it has. */
  put(caller: Caller, put: FabricPut): Promise<FabricPutResult> {
    this.#parts.gate.enter(caller, 'write', put.payloadBytes ?? 0)
    return this.#own(caller).put(put)
  }

  /** Bytes under a key that an engine gave them. */
  putOpaque(caller: Caller, put: Omit<FabricPut, 'description'> & { readonly foreignKey: Uint8Array }) {
    return this.put(caller, { ...put, description: OPAQUE })
  }

  get(caller: Caller, key: string, options?: GetOptions): Promise<Described<StoredFragment> | null> {
    this.#parts.gate.enter(caller, 'read')
    return this.#own(caller).get(key, options)
  }

  stream(caller: Caller, key: string, options?: Pick<GetOptions, 'span'>): Promise<Described<StoredStream> | null> {
    this.#parts.gate.enter(caller, 'read')
    return this.#own(caller).stream(key, options)
  }

  head(caller: Caller, key: string): Promise<Described<StoredEntry> | null> {
    this.#parts.gate.enter(caller, 'read')
    return this.#own(caller).head(key)
  }

  /** What is there stays readable until `leasedUntilMs`; no lease is taken for `leaseMs` 0. */
  async has(caller: Caller, keys: readonly string[], leaseMs: number = this.#parts.leaseMs): Promise<Presence> {
    this.#parts.gate.enter(caller, 'read')
    const leasedUntilMs = this.#parts.clock.nowMs() + leaseMs
    const own = this.#own(caller)
    const isPresent = await (leaseMs > 0 ? own.lease(keys, leaseMs) : own.has(keys))
    return { isPresent, leasedUntilMs }
  }

  /** The leading blocks of a prompt that are here, leased. */
  longestPrefix(
    caller: Caller,
    prompt: { readonly model: ModelFingerprint; readonly hashes: BlockHashes; readonly blockTokens: number },
    leaseMs: number = this.#parts.leaseMs,
  ): Promise<HeldPrefix> {
    this.#parts.gate.enter(caller, 'read')
    return this.#own(caller).longestPrefix(prompt, { leaseMs, blockTokens: prompt.blockTokens })
  }

  /** How many were there. */
  remove(caller: Caller, keys: readonly string[]): Promise<number> {
    this.#parts.gate.enter(caller, 'write')
    return this.#own(caller).remove(keys)
  }

  /** Keys in no order. */
  keys(caller: Caller, prefix?: string): AsyncIterable<string> {
    this.#parts.gate.enter(caller, 'read')
    return this.#own(caller).keys(prefix)
  }

  /** Entries in no order, but those whose head this version cannot read. */
  list(caller: Caller, prefix?: string): AsyncIterable<Described<StoredEntry>> {
    this.#parts.gate.enter(caller, 'read')
    return this.#own(caller).list(prefix)
  }

  /** What the caller's tenant holds. */
  usage(caller: Caller): TenantUsage {
    this.#parts.gate.enter(caller, 'read')
    return this.#own(caller).usage
  }

  #own({ tenant }: Caller) {
    return this.#parts.fabric.of(tenant)
  }
}

/** The key of bytes under a key that an engine gave them, 1 or more bytes. Throws INVALID_REQUEST for one that is too long. */
export function opaqueKey(foreignKey: Uint8Array): string {
  return fragmentKey({ kind: 'opaque', name: foreignKey })
}

const OPAQUE: FragmentDescription = {
  signature: byteSignature('opaque', 'application/octet-stream'),
  parent: null,
  blocks: [],
  blockTokens: 1,
  group: null,
  text: null,
  sequence: null,
  derivedFrom: [],
}
