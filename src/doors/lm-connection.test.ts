import type { Socket } from 'node:net'
import { Duplex } from 'node:stream'
import pino from 'pino'
import { expect, test } from 'vitest'
import { DEFAULT_TENANT } from '../core/ids.ts'
import { LmConnection, type LmDoorParts } from './lm-connection.ts'

/** A peer that sends, and takes nothing until it is told to. */
class Peer extends Duplex {
  taken: Buffer[] = []
  #whenTaken: (() => void) | null = null

  override _read(): void {}

  override _write(bytes: Buffer, _encoding: string, done: () => void): void {
    this.taken.push(bytes)
    this.#whenTaken = done
  }

  takePart(): void {
    this.#whenTaken?.()
  }
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

function get(key: string): Buffer {
  const request = Buffer.alloc(186, ' ')
  for (const [index, value] of [2, 0, 0, 0, 0, 0, 0, 0, 0].entries()) request.writeInt32LE(value, 4 * index)
  request.write(key, 36)
  return request
}

test('who takes nothing of an answer for the time of a stall is cut, and who takes a part of it is not', async () => {
  let nowMs = 1_000_000
  const payload = new Uint8Array(20 * 1024 * 1024)
  const entry = { payloadBytes: payload.length, description: { signature: { layout: 'application/octet-stream' } } }
  const found = { entry, payload, chunks: null, ended: () => {} }
  const parts = {
    isLocationFirst: false,
    nowMs: () => nowMs,
    counts: { failedPuts: 0, violations: 0 },
    log: pino({ enabled: false }),
    operations: {
      fragments: { read: async () => found },
      gate: { admit: (caller: unknown) => caller },
      meters: { answered: () => {} },
    },
  }
  const [patient, stalled] = [new Peer(), new Peer()]
  const connections = [patient, stalled].map(
    (peer) =>
      new LmConnection(parts as unknown as LmDoorParts, peer as unknown as Socket, {
        name: 'any',
        tenant: DEFAULT_TENANT,
        role: 'writer',
      }),
  )
  for (const connection of connections) void connection.serve()
  for (const peer of [patient, stalled]) peer.push(get('large'))
  await turn()
  for (let passed = 0; passed < 4; passed++) {
    nowMs += 20_000
    patient.takePart()
    await turn()
    for (const connection of connections) connection.check(30_000)
  }
  expect(stalled.destroyed).toBe(true)
  expect(patient.destroyed).toBe(false)
  expect(Buffer.concat(patient.taken)).toHaveLength(36 + payload.length)
})
