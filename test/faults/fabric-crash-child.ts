/**
 * Works on a fabric until it is killed: node test/faults/fabric-crash-child.ts DIRECTORY SEED
 * Says what it begins and what has been acknowledged, as crash-child.ts does, of what is pinned; the rest may be evicted.
 */
import { writeSync } from 'node:fs'
import {
  describedBytes,
  FABRIC_TENANTS,
  openCrashFabric,
  PAYLOAD_BYTES_MAX,
  PINNED_NAMES,
} from './fabric-crash-options.ts'
import { randomBytes, randomOf } from './random-bytes.ts'

const [directory = '', seedText = ''] = process.argv.slice(2)
const random = randomOf(Number(seedText))
let number = 0

function say(line: string): void {
  writeSync(1, `${line}\n`)
}

try {
  const { fabric } = await openCrashFabric(directory)
  say('open')
  /** Few contents, so that tenants have the same ones; a length follows from its seed. */
  const content = () => {
    const seed = random.below(30)
    return { seed, bytes: (seed * 7919) % PAYLOAD_BYTES_MAX }
  }
  const work = async (lane: number): Promise<never> => {
    const tenant = FABRIC_TENANTS[lane % FABRIC_TENANTS.length] ?? FABRIC_TENANTS[0]
    const own = fabric.of(tenant)
    for (;;) {
      const isPinned = lane < FABRIC_TENANTS.length && random.below(3) === 0
      const name = isPinned ? `pinned-${random.below(PINNED_NAMES)}` : `free-${lane}-${random.below(40)}`
      const { bytes, seed } = content()
      const isRemoval = random.below(4) === 0
      const mine = number++
      if (isPinned) say(`begin ${mine} ${isRemoval ? 'remove' : 'put'} ${tenant}/${name} ${bytes} ${seed}`)
      if (isRemoval) await own.remove([`opaque/=${name}`])
      else {
        await own.put({
          description: describedBytes(bytes, seed),
          foreignKey: new TextEncoder().encode(name),
          payload: randomBytes(bytes, seed),
          hints: { isPinned },
        })
      }
      if (isPinned) say(`done ${mine}`)
      if (random.below(50) === 0) await fabric.purge()
      await new Promise(setImmediate)
    }
  }
  await Promise.all([0, 1, 2, 3].map(work))
} catch (error) {
  say(`failed ${error instanceof Error ? error.stack : String(error)}`)
  process.exitCode = 1
}
