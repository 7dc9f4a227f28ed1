/**
 * 4 GB over HTTP through a proxy that cuts twenty connections, from one data directory into another: how much is sent
 * twice. MEMBRANE_TRANSFER_BYTES takes another size; some four times as much room is needed on the disk for a while.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { byteDescription } from '../src/core/fragment-bytes.ts'
import { DEFAULT_TENANT } from '../src/core/ids.ts'
import { seededRandom } from '../src/core/random.ts'
import { loadContentHashers } from '../src/hashing/content-hashers.ts'
import { DEFAULT_FABRIC_OPTIONS, type Fabric, openFabric } from '../src/server/fabric.ts'
import { HttpPeer } from '../src/server/http-peer.ts'
import { StagedFiles } from '../src/server/staged-files.ts'
import { syncFrom } from '../src/server/sync-from.ts'
import { openDiskStore } from '../src/store/disk.ts'
import { DEFAULT_CHUNK_BYTES } from '../src/transfer/chunks.ts'
import { openCuttingProxy } from '../test/cutting-proxy.ts'
import { openTestServer } from '../test/test-server.ts'
import type { Bench, Findings } from './bench.ts'

const BYTES = 4e9
const CUTS = 20
const CONNECTIONS = 4
const PAYLOAD_BYTES = 500e6
const PIECE_BYTES = 1024 * 1024
/** Of what is beyond the chunks that were cut. */
const RESENT_RATIO_MAX = 0.02

const clock = { nowMs: Date.now }
const { hashers } = await loadContentHashers()

export const bench: Bench = {
  summary: 'a transfer over HTTP whose connections are cut',
  probes: {},
  run: async (): Promise<Findings> => {
    const totalBytes = Number(process.env['MEMBRANE_TRANSFER_BYTES'] ?? BYTES)
    const folder = mkdtempSync(join(tmpdir(), 'membrane-transfer-'))
    try {
      return await transfer(folder, totalBytes)
    } finally {
      rmSync(folder, { recursive: true, force: true })
    }
  },
}

async function transfer(folder: string, totalBytes: number): Promise<Findings> {
  const openDisk = (name: string) =>
    openDiskStore({ directory: join(folder, name), durability: 'process', hashers, clock })
  const server = await openTestServer({ fabric: { store: await openDisk('from'), tier: 'disk' } })
  const to = await openFabric({ ...DEFAULT_FABRIC_OPTIONS, store: await openDisk('to'), hashers, clock, seed: 1 })
  const sizes: number[] = []
  for (let left = totalBytes; left > 0; left -= PAYLOAD_BYTES) sizes.push(Math.min(left, PAYLOAD_BYTES))
  for (const [index, size] of sizes.entries()) await putRandom(server.fabric, index, size)
  const random = seededRandom(1)
  const at = Array.from({ length: CUTS }, () => Math.floor(random() * totalBytes))
  const proxy = await openCuttingProxy(server.port('http'), at)
  const peer = new HttpPeer({ url: `http://127.0.0.1:${proxy.port}`, connectionsMax: CONNECTIONS + 1 })
  const files = new StagedFiles(join(folder, 'to', 'transfers'))
  const parts = { own: to.of(), peer, hashers, files, scope: DEFAULT_TENANT }
  const startMs = performance.now()
  const report = await syncFrom(parts, { connections: CONNECTIONS })
  const ms = performance.now() - startMs
  const [sent, came] = [await hashesOf(server.fabric), await hashesOf(to)]
  const again = await syncFrom(parts, { connections: CONNECTIONS })
  const { bytesReceived = 0, bytesDiscarded = 0, cuts = 0 } = report.transfer?.counters ?? {}
  const beyond = Math.max(0, bytesDiscarded - proxy.cuts() * DEFAULT_CHUNK_BYTES) / totalBytes
  peer.close()
  await proxy.close()
  await to.close()
  await server.close()
  return {
    rows: [
      { what: `${totalBytes / 1e9} GB over ${CONNECTIONS} connections, ${proxy.cuts()} of them cut`, runsMs: [ms] },
    ],
    notes: [
      `${report.fetched} of ${sizes.length} fragments came; bytes equal by their hashes: ${sent === came}.`,
      `${bytesReceived} bytes received, ${bytesDiscarded} of them in vain (${((100 * bytesDiscarded) / totalBytes).toFixed(3)} %), after ${cuts} cuts that were noticed.`,
      `Beyond a chunk for each cut: ${(100 * beyond).toFixed(3)} %; at most ${100 * RESENT_RATIO_MAX} % is promised: ${beyond <= RESENT_RATIO_MAX}.`,
      `The second sync exchanged ${again.comparedBytes} bytes and fetched ${again.fetched}.`,
    ],
  }
}

async function putRandom(fabric: Fabric, index: number, payloadBytes: number): Promise<void> {
  const piece = new Uint8Array(PIECE_BYTES)
  const random = seededRandom(index)
  for (let at = 0; at < piece.length; at++) piece[at] = 256 * random()
  const pieces = function* (): Generator<Uint8Array> {
    for (let start = 0; start < payloadBytes; start += PIECE_BYTES) {
      // No two pieces alike, so that none can stand for another.
      new DataView(piece.buffer).setFloat64(0, start)
      yield piece.slice(0, Math.min(PIECE_BYTES, payloadBytes - start))
    }
  }
  const hasher = hashers.b3.start()
  for (const one of pieces()) hasher.update(one)
  await fabric.of().put({
    description: byteDescription('opaque'),
    foreignKey: new TextEncoder().encode(`payload ${index}`),
    payload: inOrder(pieces()),
    contentHash: hasher.contentHash(),
    payloadBytes,
  })
}

async function* inOrder(pieces: Iterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  yield* pieces
}

/** Of the bytes as they are read now, which also verifies them. */
async function hashesOf(fabric: Fabric): Promise<string> {
  const hashes: string[] = []
  for await (const { key } of fabric.of().list()) {
    const found = await fabric.of().stream(key)
    const hasher = hashers.b3.start()
    if (found !== null) for await (const piece of found.chunks) hasher.update(piece)
    hashes.push(`${key} ${hasher.contentHash()}`)
  }
  return hashes.toSorted().join('\n')
}
