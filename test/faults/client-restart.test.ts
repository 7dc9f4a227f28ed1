import { createHash } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { MembraneError } from '../../src/core/errors.ts'
import { seededRandom } from '../../src/core/random.ts'
import { keyOfName, openClient } from '../../src/server/client-library.ts'
import { runs } from '../effort.ts'
import { startMembraneServer } from '../membrane-server.ts'

const WRITERS = 4
const BYTES_MAX = 600_000

/** The same bytes for the same number, of a length that differs. */
function payloadOf(index: number): Uint8Array {
  const block = createHash('sha512').update(`payload ${index}`).digest()
  const payload = Buffer.alloc(1 + ((index * 7919 * 97) % BYTES_MAX))
  for (let at = 0; at < payload.length; at += block.length) block.copy(payload, at)
  return payload
}

test('a server that is killed while clients put has everything that it acknowledged when it is back, and the clients go on', {
  timeout: 3_600_000,
}, async () => {
  const server = await startMembraneServer()
  const client = await openClient({ url: server.url, retriesMax: 100, timeoutMs: 300_000 })
  const random = seededRandom(20_26)
  try {
    const acknowledged = new Set<number>()
    const failures: unknown[] = []
    let next = 0
    const over = new AbortController()
    const write = async (): Promise<void> => {
      while (!over.signal.aborted) {
        const index = next
        next += 1
        try {
          await client.put({ key: keyOfName(`restart-${index}`), payload: payloadOf(index) })
          acknowledged.add(index)
        } catch (error) {
          failures.push(error)
        }
      }
    }
    const writers = Array.from({ length: WRITERS }, write)
    for (let kill = 0; kill < runs(2, 40); kill += 1) {
      const before = acknowledged.size
      // Not before work goes on after the last time, nor always at the same point of it.
      while (acknowledged.size < before + 10 + Math.floor(random() * 20)) await delay(5)
      await server.kill()
      await server.restart()
    }
    const resumedFrom = acknowledged.size
    while (acknowledged.size < resumedFrom + 10) await delay(5)
    over.abort()
    await Promise.all(writers)
    expect(failures).toEqual([])
    // What is not synced is lost by a power cut, not by the end of a process: every acknowledged one is there.
    await server.kill()
    await server.restart()
    for (const index of acknowledged) {
      const found = await client.get(keyOfName(`restart-${index}`))
      expect(found === null ? 'missing' : Buffer.compare(found.payload, payloadOf(index)), `put ${index}`).toBe(0)
    }
    const presence = await client.has([...acknowledged].map((index) => keyOfName(`restart-${index}`)))
    expect(presence.leadingPresent).toBe(acknowledged.size)
  } finally {
    await client.close()
    await server.stop()
  }
})

test('a stream goes on where it was when the server is killed and comes back', { timeout: 120_000 }, async () => {
  const server = await startMembraneServer()
  const client = await openClient({ url: server.url, retriesMax: 100, timeoutMs: 100_000 })
  try {
    const payload = Buffer.alloc(48 * 1024 * 1024, payloadOf(1))
    const { key } = await client.put({ payload })
    const found = await client.stream(key)
    let at = 0
    let isKilled = false
    for await (const piece of found?.pieces ?? []) {
      expect(Buffer.compare(piece, payload.subarray(at, at + piece.length))).toBe(0)
      at += piece.length
      if (isKilled || at < 5_000_000) continue
      isKilled = true
      await server.kill()
      await server.restart()
    }
    expect(at).toBe(payload.length)
  } finally {
    await client.close()
    await server.stop()
  }
})

test('a client whose server does not come back says so before its deadline', async () => {
  const server = await startMembraneServer()
  const client = await openClient({ url: server.url, retriesMax: 2, retryDelayMs: 1 })
  try {
    await server.kill()
    const error: unknown = await client.put({ payload: payloadOf(1) }).catch((thrown: unknown) => thrown)
    expect(error).toBeInstanceOf(MembraneError)
    expect(error).toMatchObject({ code: 'PEER_UNAVAILABLE', details: { tries: 3 } })
  } finally {
    await client.close()
    await server.stop()
  }
})
