/** The check of `membrane doctor` over lm://: headers of 186 and 36 bytes, as LMCache writes and reads them. */
import { randomBytes, randomUUID } from 'node:crypto'
import { MembraneError } from '../core/errors.ts'
import { type Check, failed, type Finding, ok } from './doctor-check.ts'
import { type DoctorTarget, DoctorWire } from './doctor-wire.ts'
import { bytesText } from './units.ts'

const COMMANDS = { put: 1, get: 2, exist: 3, health: 5 } as const
const FOUND = 200
const MISSING = 400
const WORDS = 9
const KEY_BYTES = 150
const VALUE_BYTES = 256 * 1024
/** BINARY, uint8, processor: the server echoes them. */
const [FORMAT, DTYPE, LOCATION] = [4, 6, 1]

/** `remove` takes away what was written: lm:// has no word for it. */
export function lmCheck(target: DoctorTarget, remove: ((key: string) => Promise<boolean>) | null): Check {
  return {
    name: 'lm door',
    run: async (signal) => {
      const wire = await DoctorWire.connect(target, signal)
      try {
        return await exchange(wire, remove)
      } finally {
        wire.close()
      }
    },
  }
}

async function exchange(wire: DoctorWire, remove: ((key: string) => Promise<boolean>) | null): Promise<Finding> {
  const startMs = performance.now()
  wire.send([header(COMMANDS.health, '', 0)])
  const health = await answer(wire)
  if (health.code !== FOUND) return failed(`HEALTH was answered with ${health.code}.`, 'Look at the log of the server.')
  const key = `membrane-doctor@1@0@${randomUUID()}@uint8`
  const value = randomBytes(VALUE_BYTES)
  wire.send([header(COMMANDS.put, key, value.length), value])
  // A put is not answered: what is asked next on the same connection comes after it.
  wire.send([header(COMMANDS.get, key, 0)])
  const got = await answer(wire)
  if (got.code !== FOUND || got.length !== value.length)
    return failed(
      `GET after PUT was answered with ${got.code} and ${got.length} bytes.`,
      'Check that the memory has room and that the credential may write.',
    )
  if (!value.equals(await wire.bytes(got.length)))
    return failed('GET gave other bytes than PUT took.', 'Do not use this server: report it.')
  wire.send([header(COMMANDS.exist, `${key}x`, 0)])
  if ((await answer(wire)).code !== MISSING) return failed('EXIST finds what was never put.', 'Report it.')
  const isRemoved = remove !== null && (await remove(key))
  const ms = Math.round(performance.now() - startMs)
  const rest = isRemoved ? '' : `; it stays there as ${key}, since lm:// cannot remove`
  return ok(`${bytesText(VALUE_BYTES)} written, read back and equal in ${ms} ms${rest}`)
}

function header(command: number, key: string, length: number): Buffer {
  const bytes = Buffer.alloc(WORDS * 4 + KEY_BYTES, ' ')
  const words = [command, length, FORMAT, DTYPE, LOCATION, length, 0, 0, 0]
  words.forEach((word, index) => bytes.writeInt32LE(word, index * 4))
  bytes.write(key, WORDS * 4, 'utf8')
  return bytes
}

async function answer(wire: DoctorWire): Promise<{ readonly code: number; readonly length: number }> {
  const bytes = await wire.bytes(WORDS * 4)
  const [code, length] = [bytes.readInt32LE(0), bytes.readInt32LE(4)]
  if ((code === FOUND || code === MISSING) && length >= 0) return { code, length }
  throw new MembraneError('PEER_UNAVAILABLE', `The answer is not one of lm://: code ${code}, length ${length}.`, {
    remedy: 'Check that the address is that of the lm door.',
  })
}
