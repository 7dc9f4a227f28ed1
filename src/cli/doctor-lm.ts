/** The check of `membrane doctor` over lm://: headers of 186 and 36 bytes, as LMCache writes and reads them. */
import { randomBytes, randomUUID } from 'node:crypto'
import {
  LM_ANSWER_BYTES,
  LM_CODES,
  LM_MISSING,
  type LmCommand,
  lmShapeOfBytes,
  parseLmAnswer,
  writeLmRequest,
} from '../api/lm-codec.ts'
import { MembraneError } from '../core/errors.ts'
import { type Check, failed, type Finding, ok } from './doctor-check.ts'
import { type DoctorTarget, DoctorWire } from './doctor-wire.ts'
import { bytesText } from './units.ts'

const VALUE_BYTES = 256 * 1024

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
  wire.send([header('health', '', 0)])
  const health = await answer(wire)
  if (health.code !== LM_CODES.found)
    return failed(`HEALTH was answered with ${health.code}.`, 'Look at the log of the server.')
  const key = `membrane-doctor@1@0@${randomUUID()}@uint8`
  const value = randomBytes(VALUE_BYTES)
  wire.send([header('put', key, value.length), value])
  // A put is not answered: what is asked next on the same connection comes after it.
  wire.send([header('get', key, 0)])
  const got = await answer(wire)
  if (got.code !== LM_CODES.found || got.length !== value.length)
    return failed(
      `GET after PUT was answered with ${got.code} and ${got.length} bytes.`,
      'Check that the memory has room and that the credential may write.',
    )
  if (!value.equals(await wire.bytes(got.length)))
    return failed('GET gave other bytes than PUT took.', 'Do not use this server: report it.')
  wire.send([header('exist', `${key}x`, 0)])
  if ((await answer(wire)).code !== LM_CODES.missing) return failed('EXIST finds what was never put.', 'Report it.')
  const isRemoved = remove !== null && (await remove(key))
  const ms = Math.round(performance.now() - startMs)
  const rest = isRemoved ? '' : `; it stays there as ${key}, since lm:// cannot remove`
  return ok(`${bytesText(VALUE_BYTES)} written, read back and equal in ${ms} ms${rest}`)
}

function header(command: LmCommand, key: string, length: number): Uint8Array {
  const shape = command === 'put' ? lmShapeOfBytes(length) : LM_MISSING
  return writeLmRequest({ ...shape, command, length, key: new TextEncoder().encode(key) })
}

async function answer(wire: DoctorWire): Promise<ReturnType<typeof parseLmAnswer>> {
  try {
    return parseLmAnswer(await wire.bytes(LM_ANSWER_BYTES))
  } catch (cause) {
    if (!(cause instanceof MembraneError) || cause.code !== 'INVALID_REQUEST') throw cause
    throw new MembraneError('PEER_UNAVAILABLE', cause.message, {
      remedy: 'Check that the address is that of the lm door.',
      cause,
    })
  }
}
