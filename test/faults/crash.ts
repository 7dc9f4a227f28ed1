/** Kills a process that works on a data directory, and compares what is there with what it had acknowledged. */
import { spawn } from 'node:child_process'
import { readdirSync, rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { DiskStore } from '../../src/store/disk.ts'
import { CRASH_KEYS, openCrashStore } from './crash-options.ts'
import { type Random, randomBytes } from './random-bytes.ts'

/** What was put under a key, or null: not there. */
type Value = { readonly bytes: number; readonly seed: number } | null

export class CrashedDirectory {
  readonly #directory: string
  readonly #random: Random
  readonly #durability: 'process' | 'power'
  /** By key, what it holds. */
  #held = new Map<string, Value>()

  constructor(directory: string, random: Random, durability: 'process' | 'power') {
    this.#directory = directory
    this.#random = random
    this.#durability = durability
  }

  /** Gives the number of calls that were acknowledged. Throws when a promise was broken. */
  async round(): Promise<number> {
    // Every other time, all segments have to be read.
    if (this.#random.below(2) === 0) rmSync(join(this.#directory, 'snapshot'), { force: true })
    const lines = await this.#runAndKill()
    const failed = lines.find((line) => line.startsWith('failed'))
    if (failed !== undefined)
      throw new Error(`The process failed by itself: ${lines.slice(lines.indexOf(failed)).join('\n')}`)
    const allowed = this.#allowedAfter(lines)
    const store = await openCrashStore(this.#directory, this.#durability)
    try {
      await this.#check(store, allowed)
    } finally {
      await store.close()
    }
    return lines.filter((line) => line.startsWith('done')).length
  }

  async #runAndKill(): Promise<string[]> {
    const script = fileURLToPath(new URL('crash-child.ts', import.meta.url))
    const seed = String(this.#random.below(2 ** 30))
    const child = spawn(process.execPath, [script, this.#directory, seed, this.#durability], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    let output = ''
    const isOpen = new Promise<void>((resolve) => {
      child.stdout.setEncoding('utf8').on('data', (text: string) => {
        output += text
        if (output.startsWith('open\n')) resolve()
      })
    })
    const isOver = new Promise((resolve) => child.on('close', resolve))
    // Sometimes while it opens the directory.
    if (this.#random.below(10) > 0) await Promise.race([isOpen, isOver])
    const lifeMs = this.#random.below(this.#random.below(3) === 0 ? 20 : 200)
    await Promise.race([new Promise((resolve) => setTimeout(resolve, lifeMs)), isOver])
    child.kill('SIGKILL')
    await isOver
    // The last line may be cut short.
    return output.split('\n').slice(0, -1)
  }

  /** By key: what was last acknowledged, and what had been begun since. */
  #allowedAfter(lines: readonly string[]): Map<string, Value[]> {
    const allowed = new Map([...this.#held].map(([key, value]) => [key, [value]]))
    const begun = new Map<string, { readonly key: string; readonly value: Value }>()
    for (const line of lines) {
      const [verb, number = '', call, key = '', bytes, seed] = line.split(' ')
      if (verb === 'begin') {
        const value = call === 'put' ? { bytes: Number(bytes), seed: Number(seed) } : null
        begun.set(number, { key, value })
        allowed.set(key, [...(allowed.get(key) ?? [null]), value])
      } else if (verb === 'done') {
        const done = begun.get(number)
        if (done !== undefined) allowed.set(done.key, [done.value])
      }
    }
    return allowed
  }

  async #check(store: DiskStore, allowed: ReadonlyMap<string, readonly Value[]>): Promise<void> {
    const held = new Map<string, Value>()
    let payloadBytes = 0
    for (let index = 0; index < CRASH_KEYS; index++) {
      const key = `key-${index}`
      const found = await store.get(key)
      const candidates = allowed.get(key) ?? [null]
      const value = candidates.find((candidate) => isFound(found, candidate))
      if (value === undefined) {
        throw new Error(`${key} holds ${found?.payloadBytes} bytes, and may hold ${JSON.stringify(candidates)}.`)
      }
      held.set(key, value)
      payloadBytes += value?.bytes ?? 0
    }
    this.#held = held
    const stats = store.stats()
    if (stats.payloadBytes !== payloadBytes) throw new Error(`${stats.payloadBytes} bytes, expected ${payloadBytes}`)
    if (stats.corruptEntries > 0) throw new Error(`${stats.corruptEntries} entries are said to be damaged`)
    const { orphanBytes, damaged } = await store.scrub()
    if (orphanBytes > 0 || damaged.length > 0)
      throw new Error(`${orphanBytes} orphan bytes, damaged: ${damaged.join()}`)
    await store.compact()
    const { liveBytes, deadBytes } = store.diskStats()
    const onDisk = segmentBytes(this.#directory)
    if (deadBytes > 0 || onDisk !== liveBytes) {
      throw new Error(`${onDisk} bytes on disk, ${liveBytes} live, ${deadBytes} dead`)
    }
  }
}

function isFound(found: Awaited<ReturnType<DiskStore['get']>>, value: Value): boolean {
  if (found === null || value === null) return found === value
  const { bytes, seed } = value
  return (
    Buffer.compare(found.payload, randomBytes(bytes, seed)) === 0 &&
    Buffer.compare(found.head, randomBytes(seed % 50, seed)) === 0
  )
}

function segmentBytes(directory: string): number {
  const segments = join(directory, 'segments')
  return readdirSync(segments).reduce((sum, name) => sum + statSync(join(segments, name)).size, 0)
}
