/** Small whole numbers for names, so that an index keeps four bytes instead of a text. */
import { assert, MembraneError } from '../core/errors.ts'
import type { ModelFingerprint, TenantId } from '../core/ids.ts'
import { LIMITS } from '../core/limits.ts'

/** Numbers from 0 on; a released one is given to another name. */
export class NameTable {
  readonly #what: string
  readonly #namesMax: number
  readonly #idOfName = new Map<string, number>()
  readonly #nameOfId: (string | null)[] = []
  readonly #freeIds: number[] = []

  constructor(what: string, namesMax: number) {
    this.#what = what
    this.#namesMax = namesMax
  }

  get count(): number {
    return this.#idOfName.size
  }

  idOf(name: string): number | null {
    return this.#idOfName.get(name) ?? null
  }

  nameOf(id: number): string | null {
    return this.#nameOfId[id] ?? null
  }

  /** Numbers in use. */
  ids(): readonly number[] {
    return [...this.#idOfName.values()]
  }

  /** The name's number, a new one if need be. Throws LIMIT_REACHED. */
  intern(name: string): number {
    const known = this.#idOfName.get(name)
    if (known !== undefined) return known
    if (this.#idOfName.size >= this.#namesMax) {
      throw new MembraneError('LIMIT_REACHED', `An index knows at most ${this.#namesMax} ${this.#what}.`, {
        details: { what: this.#what, max: this.#namesMax },
        remedy: `Remove what belongs to ${this.#what} that are no longer in use.`,
      })
    }
    const id = this.#freeIds.pop() ?? this.#nameOfId.length
    this.#nameOfId[id] = name
    this.#idOfName.set(name, id)
    return id
  }

  /** The number has no name any more, and the name no number: it gets another one. Nobody gets this one yet. */
  retire(id: number): void {
    const name = this.nameOf(id)
    if (name !== null) this.#idOfName.delete(name)
    this.#nameOfId[id] = null
  }

  /** A retired number may be given to another name: nothing knows it any more. */
  release(id: number): void {
    assert(this.nameOf(id) === null, `number ${id} still has a name`)
    this.#freeIds.push(id)
  }
}

/** Whose blocks, hashed how, of which model: block hashes mean something only within it. */
export interface Namespace {
  readonly tenant: TenantId
  /** Chain id of the block hashes. Not every chain binds the model. */
  readonly chain: string
  readonly model: ModelFingerprint
}

/** Numbers of namespaces, at most LIMITS.indexNamespacesMax. */
export class Namespaces {
  readonly #names = new NameTable('namespaces (tenant, hash chain and model)', LIMITS.indexNamespacesMax)

  get count(): number {
    return this.#names.count
  }

  idOf(namespace: Namespace): number | null {
    return this.#names.idOf(nameOf(namespace))
  }

  /** Throws LIMIT_REACHED. */
  intern(namespace: Namespace): number {
    return this.#names.intern(nameOf(namespace))
  }

  /** Nothing may be in it any more. Releasing one that is free changes nothing. */
  release(id: number): void {
    if (this.#names.nameOf(id) === null) return
    this.#names.retire(id)
    this.#names.release(id)
  }

  /** Numbers in use. */
  ids(): readonly number[] {
    return this.#names.ids()
  }

  /** Null for a number that is free. */
  namespaceOf(id: number): Namespace | null {
    const name = this.#names.nameOf(id)
    if (name === null) return null
    const [tenant, model, chain] = name.split(' ')
    return { tenant: tenant as TenantId, chain: chain ?? '', model: model as ModelFingerprint }
  }
}

/** None of the three holds a space. */
function nameOf({ tenant, chain, model }: Namespace): string {
  return `${tenant} ${model} ${chain}`
}
