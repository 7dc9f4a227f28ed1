/**
 * A store, a machine that loses power at some call to its file system, and what the store had promised by then. What is
 * found afterwards must be a state that the key was in: with `power`, the last one acknowledged or a later one; with
 * `process`, any since a second before the cut.
 */
import type { ContentHash } from '../../src/core/ids.ts'
import type { Durability } from '../../src/store/disk-options.ts'
import { type DiskStore, openDiskStoreOn } from '../../src/store/disk.ts'
import { bytesOf, fragmentOf, isSameBytes, piecesOf, TEST_HASHERS } from '../contracts/store-fixtures.ts'
import { type Random, randomOf } from './random-bytes.ts'
import { UnsyncedFiles } from './unsynced-files.ts'
import { settle, VirtualTimers } from './virtual-timers.ts'

const KEYS = ['a', 'b', 'c', 'd', 'e', 'f']
const STEPS_MAX = 40
const GENERATIONS = 3
const PROMISED_MS = 1000

/** Null: not there. */
type Value = { readonly payload: Uint8Array; readonly head: Uint8Array; readonly contentHash: ContentHash } | null

interface State {
  readonly value: Value
  /** When it was acknowledged; null: it never was. */
  acknowledgedMs: number | null
}

export async function runPowerCut(seed: number): Promise<void> {
  const random = randomOf(seed)
  const durability = random.below(2) === 0 ? 'power' : 'process'
  const machine = new Machine(random, durability)
  for (let generation = 0; generation < GENERATIONS; generation++) await machine.liveAndDie()
}

class Machine {
  readonly #random: Random
  readonly #durability: Durability
  readonly #timers = new VirtualTimers()
  #files = new UnsyncedFiles()
  /** By key, the states it may have been in, in order. */
  #history = new Map<string, State[]>(KEYS.map((key) => [key, [{ value: null, acknowledgedMs: 0 }]]))

  constructor(random: Random, durability: Durability) {
    this.#random = random
    this.#durability = durability
  }

  async liveAndDie(): Promise<void> {
    const files = this.#files
    files.cutAtCall = files.calls + 1 + this.#random.below(this.#random.below(4) === 0 ? 30 : 250)
    try {
      let store = await this.#open()
      const steps = this.#random.below(STEPS_MAX)
      for (let step = 0; step < steps && !files.isCut; step++) store = await this.#step(store)
    } catch (error) {
      if (!files.isCut) throw error
    }
    this.#timers.forgetAll()
    this.#files = files.afterPowerCut(this.#random)
    await settle()
    await this.#check()
  }

  #open(): Promise<DiskStore> {
    const ports = { files: this.#files, lock: () => () => undefined, newSalt: () => bytesOf(8, 1) }
    return openDiskStoreOn(ports, {
      directory: this.#files.root,
      hashers: TEST_HASHERS,
      durability: this.#durability,
      segmentBytesMax: 3000,
      ownSegmentBytesMin: 1500,
      clock: this.#timers,
      alarm: this.#timers,
    })
  }

  async #step(store: DiskStore): Promise<DiskStore> {
    const choice = this.#random.below(100)
    if (choice < 45) await this.#put(store, this.#key())
    else if (choice < 55) await Promise.all(KEYS.slice(0, 3).map((key) => this.#put(store, key)))
    else if (choice < 75) await this.#remove(store, this.#key())
    else if (choice < 90) await this.#timers.advance(this.#random.below(700), () => this.#files.isCut)
    else if (choice < 93) await store.compact()
    else if (choice < 95) await store.sync()
    else if (choice < 97) await this.#removeAndPurge(store, this.#key())
    else {
      await store.close()
      return this.#open()
    }
    return store
  }

  #key(): string {
    return KEYS[this.#random.below(KEYS.length)] ?? 'a'
  }

  async #put(store: DiskStore, key: string): Promise<void> {
    const size = [0, 10, 400, 700, 1600, 2500][this.#random.below(6)] ?? 0
    const put = fragmentOf(key, bytesOf(size, this.#random.below(1e6)), { head: bytesOf(this.#random.below(40), 3) })
    const isInPieces = this.#random.below(4) === 0
    const state = this.#begin(key, put)
    await store.put(isInPieces ? { ...put, payload: piecesOf(put.payload, 700) } : put)
    state.acknowledgedMs = this.#timers.nowMs()
  }

  async #remove(store: DiskStore, key: string): Promise<void> {
    const state = this.#begin(key, null)
    await store.remove([key])
    state.acknowledgedMs = this.#timers.nowMs()
  }

  async #removeAndPurge(store: DiskStore, key: string): Promise<void> {
    await this.#remove(store, key)
    await store.purge()
  }

  #begin(key: string, value: Value): State {
    const state: State = { value, acknowledgedMs: null }
    this.#history.get(key)?.push(state)
    return state
  }

  /** What is there now is what the next life begins with. */
  async #check(): Promise<void> {
    const store = await this.#open()
    for (const [key, history] of this.#history) {
      const found = await store.get(key)
      const allowed = this.#allowed(history)
      const state = allowed.find(({ value }) => isFound(found, value))
      if (state === undefined) {
        const all = history.map(({ value, acknowledgedMs }) => ({ bytes: value?.payload.length, acknowledgedMs }))
        const said = JSON.stringify({ found: found?.payload.length, nowMs: this.#timers.nowMs(), all })
        throw new Error(`${this.#durability}: ${key} is in none of the ${allowed.length} states it may be in: ${said}`)
      }
      this.#history.set(key, [{ value: state.value, acknowledgedMs: this.#timers.nowMs() - 2 * PROMISED_MS }])
    }
    const report = await store.scrub()
    if (report.damaged.length > 0) throw new Error(`Damaged: ${report.damaged.join()}`)
    if (report.orphanBytes > 0) throw new Error(`${report.orphanBytes} bytes belong to nobody`)
    const { corruptEntries } = store.stats()
    if (corruptEntries > 0) throw new Error(`${corruptEntries} entries were found damaged, and only power had gone`)
    await store.compact()
    const { deadBytes, liveBytes } = store.diskStats()
    if (deadBytes > 0) throw new Error(`${deadBytes} bytes are left after compaction, beside ${liveBytes}`)
    await store.close()
  }

  #allowed(history: readonly State[]): readonly State[] {
    const lastMs = this.#durability === 'power' ? Number.POSITIVE_INFINITY : this.#timers.nowMs() - PROMISED_MS
    const first = history.findLastIndex(({ acknowledgedMs }) => acknowledgedMs !== null && acknowledgedMs <= lastMs)
    return history.slice(Math.max(0, first))
  }
}

function isFound(found: Value, value: Value): boolean {
  if (found === null || value === null) return found === value
  return (
    found.contentHash === value.contentHash &&
    isSameBytes(found.payload, value.payload) &&
    isSameBytes(found.head, value.head)
  )
}
