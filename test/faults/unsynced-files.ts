/**
 * A file system in memory that forgets. It keeps apart what has been synced and what has not; when power goes, any
 * part of the latter may be there or not: sectors of 512 bytes in any order, one of them torn, sizes, names, renames and
 * deletions. Only `sync` and `syncDirectory` make anything last. It also can be full.
 */
import type { Files, StoreFile } from '../../src/store/files.ts'
import type { Random } from './random-bytes.ts'

const SECTOR_BYTES = 512

interface Inode {
  /** As it is on the device. */
  synced: Uint8Array
  /** As the running system sees it. */
  current: Uint8Array
  pending: Change[]
}

type Change =
  | { readonly kind: 'write'; readonly offset: number; readonly bytes: Uint8Array }
  | { readonly kind: 'truncate'; readonly size: number }

type NameChange =
  | { readonly kind: 'link'; readonly path: string; readonly inode: Inode }
  | { readonly kind: 'unlink'; readonly path: string }
  | { readonly kind: 'rename'; readonly from: string; readonly to: string }

export class UnsyncedFiles implements Files {
  readonly root = '/simulated'
  readonly #syncedNames: Map<string, Inode>
  readonly #names: Map<string, Inode>
  #pendingNames: NameChange[] = []
  /** Calls that change something, since the start. */
  calls = 0
  /** Power goes at this call; null: it does not. */
  cutAtCall: number | null = null
  /** Bytes of all files; more is refused. */
  capacityBytes = Number.POSITIVE_INFINITY
  /** What `sync` throws, or null. */
  syncError: Error | null = null
  isCut = false

  constructor(names: ReadonlyMap<string, Inode> = new Map()) {
    this.#syncedNames = new Map(names)
    this.#names = new Map(names)
  }

  open(path: string, mode: 'create' | 'write'): StoreFile {
    this.#live()
    const there = this.#names.get(path)
    if (mode === 'write') {
      if (there === undefined) throw systemError('ENOENT', path)
      return this.#handle(there)
    }
    if (there !== undefined) throw systemError('EEXIST', path)
    this.#change()
    const inode: Inode = { synced: new Uint8Array(0), current: new Uint8Array(0), pending: [] }
    this.#names.set(path, inode)
    this.#pendingNames.push({ kind: 'link', path, inode })
    return this.#handle(inode)
  }

  rename(from: string, to: string): void {
    this.#change()
    const change: NameChange = { kind: 'rename', from, to }
    if (!this.#names.has(from)) throw systemError('ENOENT', from)
    applyName(this.#names, change)
    this.#pendingNames.push(change)
  }

  unlink(path: string): void {
    this.#change()
    if (!this.#names.has(path)) throw systemError('ENOENT', path)
    this.#names.delete(path)
    this.#pendingNames.push({ kind: 'unlink', path })
  }

  list(path: string): readonly string[] {
    this.#live()
    const inside = [...this.#names.keys()].filter((name) => path === '.' || name.startsWith(`${path}/`))
    return [...new Set(inside.map((name) => (path === '.' ? name : name.slice(path.length + 1)).split('/')[0] ?? ''))]
  }

  async makeDirectory(): Promise<void> {
    this.#live()
  }

  async syncDirectory(path: string): Promise<void> {
    this.#change()
    const covered = this.#pendingNames.filter((change) => directoryOf(change) === path)
    await Promise.resolve()
    this.#live()
    for (const change of covered) applyName(this.#syncedNames, change)
    this.#pendingNames = this.#pendingNames.filter((change) => !covered.includes(change))
  }

  /** Bytes of all files that have a name. */
  usedBytes(): number {
    return [...this.#names.values()].reduce((sum, { current }) => sum + current.length, 0)
  }

  /** Every file as the running system sees it. What is changed in it is changed. */
  contents(): ReadonlyMap<string, Uint8Array> {
    return new Map([...this.#names].map(([name, { current }]) => [name, current]))
  }

  /** The same files in a machine that was switched off in order. `change` may damage them. */
  copy(change: (name: string, bytes: Uint8Array) => Uint8Array = (_, bytes) => bytes): UnsyncedFiles {
    return new UnsyncedFiles(
      new Map([...this.#names].map(([name, { current }]) => [name, inodeOf(change(name, current.slice()))])),
    )
  }

  /** What is left when power has gone. */
  afterPowerCut(random: Random): UnsyncedFiles {
    this.isCut = true
    const luck = lucky(random)
    const names = new Map(this.#syncedNames)
    for (const change of this.#pendingNames) if (luck()) applyName(names, change)
    const survivors = new Map<Inode, Inode>()
    for (const inode of names.values()) survivors.set(inode, inodeOf(survivingBytes(inode, random)))
    return new UnsyncedFiles(
      new Map([...names].map(([name, inode]) => [name, survivors.get(inode) ?? inodeOf(new Uint8Array(0))])),
    )
  }

  #handle(inode: Inode): StoreFile {
    const read = (targets: readonly Uint8Array[], position: number): number => {
      this.#live()
      let filled = 0
      for (const target of targets) {
        const part = inode.current.subarray(position + filled, position + filled + target.length)
        target.set(part)
        filled += part.length
      }
      return filled
    }
    const write = (bytes: Uint8Array, offset: number): void => {
      const change: Change = { kind: 'write', offset, bytes }
      inode.current = applied(inode.current, change)
      inode.pending.push(change)
    }
    return {
      read,
      readLater: async (targets, position) => {
        await Promise.resolve()
        return read(targets, position)
      },
      write: (pieces, position) => {
        const bytes = Uint8Array.from(Buffer.concat(pieces))
        // Power may go in the middle of a write, and a device is full in the middle of one.
        const willBeCut = this.calls + 1 === this.cutAtCall
        if (willBeCut) write(bytes, position)
        this.#change()
        const room = this.capacityBytes - this.usedBytes() + Math.max(0, inode.current.length - position)
        if (room < bytes.length) {
          if (room > 0) write(bytes.subarray(0, room), position)
          throw systemError('ENOSPC', 'write')
        }
        write(bytes, position)
      },
      sync: async () => {
        this.#change()
        if (this.syncError !== null) throw this.syncError
        const covered = inode.pending.length
        await Promise.resolve()
        this.#live()
        for (const change of inode.pending.slice(0, covered)) inode.synced = applied(inode.synced, change)
        inode.pending = inode.pending.slice(covered)
      },
      truncate: (size) => {
        this.#change()
        const change: Change = { kind: 'truncate', size }
        inode.current = applied(inode.current, change)
        inode.pending.push(change)
      },
      size: () => inode.current.length,
      close: () => undefined,
    }
  }

  #live(): void {
    if (this.isCut) throw systemError('EPOWER', 'the power is gone')
  }

  #change(): void {
    this.#live()
    this.calls += 1
    if (this.calls === this.cutAtCall) this.isCut = true
    this.#live()
  }
}

function inodeOf(bytes: Uint8Array): Inode {
  return { synced: bytes, current: bytes.slice(), pending: [] }
}

function applied(bytes: Uint8Array, change: Change): Uint8Array {
  if (change.kind === 'truncate') {
    const cut = new Uint8Array(change.size)
    cut.set(bytes.subarray(0, change.size))
    return cut
  }
  const end = change.offset + change.bytes.length
  const longer = end > bytes.length ? new Uint8Array(end) : bytes.slice()
  if (end > bytes.length) longer.set(bytes)
  longer.set(change.bytes, change.offset)
  return longer
}

/** Of every sector one of the states it has been in since the last sync; of the size too. */
function survivingBytes({ synced, pending }: Inode, random: Random): Uint8Array {
  const states = [synced]
  for (const change of pending) states.push(applied(states.at(-1) ?? synced, change))
  const luck = lucky(random)
  const pick = (): Uint8Array => (luck() ? states.at(-1) : states[random.below(states.length)]) ?? synced
  const size = pick().length
  const survived = new Uint8Array(size)
  for (let at = 0; at < size; at += SECTOR_BYTES) {
    survived.set(pick().subarray(at, Math.min(size, at + SECTOR_BYTES)), at)
    if (random.below(50) > 0) continue
    const tornAt = at + random.below(SECTOR_BYTES)
    survived.set(pick().subarray(tornAt, Math.min(size, at + SECTOR_BYTES)), Math.min(size, tornAt))
  }
  return survived
}

/** Little is kept, about half of it, or nearly all. */
function lucky(random: Random): () => boolean {
  const percent = [0, 3, 50, 97, 100][random.below(5)] ?? 50
  return () => random.below(100) < percent
}

function applyName(names: Map<string, Inode>, change: NameChange): void {
  if (change.kind === 'link') names.set(change.path, change.inode)
  else if (change.kind === 'unlink') names.delete(change.path)
  else {
    const inode = names.get(change.from)
    if (inode === undefined) return
    names.delete(change.from)
    names.set(change.to, inode)
  }
}

function directoryOf(change: NameChange): string {
  const path = change.kind === 'rename' ? change.to : change.path
  return path.includes('/') ? path.slice(0, path.lastIndexOf('/')) : '.'
}

function systemError(code: string, path: string): Error {
  return Object.assign(new Error(`${code}: ${path}`), { code })
}
