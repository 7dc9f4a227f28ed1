/**
 * Works on a data directory until it is killed: node test/faults/crash-child.ts DIRECTORY SEED DURABILITY
 * Says on standard output what it begins and what has been acknowledged, by writes that are in the pipe when they end:
 * `begin NUMBER put KEY BYTES SEED`, `begin NUMBER remove KEY`, `done NUMBER`. What a failure says begins with `failed`.
 */
import { writeSync } from 'node:fs'
import { loadPureContentHashers } from '../../src/hashing/content-hashers.ts'
import { CRASH_KEYS, openCrashStore } from './crash-options.ts'
import { randomBytes, randomOf } from './random-bytes.ts'

const [directory = '', seedText = '', durability = ''] = process.argv.slice(2)
const hashers = await loadPureContentHashers()
const SIZES = [0, 100, 3000, 20_000, 59_999, 60_000, 150_000, 1_500_000]
const LANES = 4

const random = randomOf(Number(seedText))
let number = 0

function say(line: string): void {
  writeSync(1, `${line}\n`)
}

try {
  const store = await openCrashStore(directory, durability === 'power' ? 'power' : 'process')
  say('open')
  const put = async (key: string): Promise<void> => {
    const mine = number++
    const size = SIZES[random.below(SIZES.length)] ?? 0
    const seed = random.below(1_000_000)
    say(`begin ${mine} put ${key} ${size} ${seed}`)
    const payload = randomBytes(size, seed)
    const contentHash = hashers.s256.hash(payload)
    const pieces = async function* (): AsyncGenerator<Uint8Array> {
      for (let at = 0; at < size; at += 50_000) {
        await new Promise(setImmediate)
        yield payload.subarray(at, at + 50_000)
      }
    }
    const head = randomBytes(seed % 50, seed)
    await store.put({ key, head, payloadBytes: size, contentHash, payload: random.below(3) === 0 ? pieces() : payload })
    say(`done ${mine}`)
  }
  const remove = async (key: string): Promise<void> => {
    const mine = number++
    say(`begin ${mine} remove ${key}`)
    await store.remove([key])
    say(`done ${mine}`)
    if (random.below(20) === 0) await store.purge()
  }
  /** Each lane has keys of its own, so what it begins is in order. */
  const work = async (lane: number): Promise<never> => {
    for (;;) {
      const key = `key-${lane + LANES * random.below(CRASH_KEYS / LANES)}`
      const choice = random.below(100)
      if (choice < 60) await put(key)
      else if (choice < 97) await remove(key)
      else await store.compact()
      await new Promise(setImmediate)
    }
  }
  await Promise.all(Array.from({ length: LANES }, (_, lane) => work(lane)))
} catch (error) {
  say(`failed ${error instanceof Error ? error.stack : String(error)}`)
  process.exitCode = 1
}
