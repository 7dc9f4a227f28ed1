/**
 * Stored bytes that are in memory, through everything that stands above a store: get by a tenant, and put of payloads
 * whose memory is given away. The peers are what nobody can do without: one copy of the bytes, or one hash of them.
 */
import { randomFillSync } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { byteDescription } from '../src/core/fragment-bytes.ts'
import { DEFAULT_TENANT } from '../src/core/ids.ts'
import { loadContentHashers } from '../src/hashing/content-hashers.ts'
import { DEFAULT_FABRIC_OPTIONS, type Fabric, type FabricOptions, openFabric } from '../src/server/fabric.ts'
import type { TenantFabric } from '../src/server/tenant-fabric.ts'
import { openDiskStore } from '../src/store/disk.ts'
import { MemoryStore } from '../src/store/memory.ts'
import type { Bench, Findings, Ratio, Row } from './bench.ts'
import { kept, ratioOf, RUNS } from './harness.ts'

const MB = 2 ** 20
const SIZES = { '64 B': 64, '1 MB': MB, '4 MB': 4 * MB, '32 MB': 32 * MB }
const PUT_SIZES = { '1 MB': MB, '4 MB': 4 * MB }
const GETS = 2000
const COPIED_BYTES = 32 * MB
const PUTS = 8
const HOT_BYTES = 512 * MB

const { hashers } = await loadContentHashers()
const clock = { nowMs: Date.now }
const DESCRIPTION = byteDescription('artifact')

export const bench: Bench = {
  summary: 'reads from memory and verified puts of given memory, through all wrappers, against a copy and a hash',
  probes: {},
  run: async (): Promise<Findings> => {
    const directory = mkdtempSync(join(tmpdir(), 'membrane-bench-'))
    const memory = await open({ store: new MemoryStore(clock), tier: 'memory' })
    const disk = await open({ store: await openDiskStore({ directory, hashers }), hotBytesMax: HOT_BYTES })
    try {
      const times = new Map<string, number[]>()
      const works = [
        ...(await gets('memory', memory)),
        ...(await gets('hot over disk', disk)),
        ...copies(),
        ...hashes(),
      ]
      works.push(...smallCalls(memory), ...puts('memory', memory), ...puts('hot over disk', disk))
      // One turn more than counts: the first warms up.
      for (let turn = 0; turn <= RUNS; turn++) {
        for (const { what, run } of works) {
          const ms = await run()
          if (turn > 0) times.set(what, [...(times.get(what) ?? []), ms])
        }
      }
      return findings(times)
    } finally {
      await memory.close()
      await disk.close()
      rmSync(directory, { recursive: true })
    }
  },
}

/** `run` gives the milliseconds of one call. */
interface Timed {
  readonly what: string
  readonly run: () => Promise<number>
}

function open(options: Pick<FabricOptions, 'store'> & Partial<FabricOptions>): Promise<Fabric> {
  return openFabric({ ...DEFAULT_FABRIC_OPTIONS, hashers, clock, seed: 1, ...options })
}

async function gets(where: string, fabric: Fabric): Promise<Timed[]> {
  const own = fabric.of(DEFAULT_TENANT)
  const works: Timed[] = []
  for (const [size, bytes] of Object.entries(SIZES)) {
    const { key } = await put(own, `get ${size}`, randomPayload(bytes))
    works.push({ what: `${where}: get ${size}`, run: () => meanMs(GETS, () => own.read(key)) })
  }
  return works
}

function smallCalls(fabric: Fabric): Timed[] {
  const own = fabric.of(DEFAULT_TENANT)
  const { promise, resolve } = Promise.withResolvers<string>()
  void put(own, 'small', randomPayload(64)).then(({ key }) => resolve(key))
  return [
    { what: 'memory: get 64 B with its description', run: () => meanMs(GETS, async () => own.get(await promise)) },
    { what: 'memory: lease one', run: () => meanMs(GETS, async () => own.lease([await promise], 1000)) },
    {
      what: 'memory: put 64 B',
      run: () => meanMs(GETS / 10, (index) => put(own, `put ${index}`, randomPayload(64))),
    },
  ]
}

/** Other bytes under the same few keys each time, made beforehand. */
function puts(where: string, fabric: Fabric): Timed[] {
  const own = fabric.of(DEFAULT_TENANT)
  return Object.entries(PUT_SIZES).map(([size, bytes]) => ({
    what: `${where}: put ${size}`,
    run: () => {
      const payloads = Array.from({ length: PUTS }, () => randomPayload(bytes))
      return meanMs(PUTS, (index) => put(own, `put ${size} ${index}`, payloads[index] ?? randomPayload(bytes)))
    },
  }))
}

function copies(): Timed[] {
  return Object.entries(SIZES).map(([size, bytes]) => {
    const [source, target] = [randomPayload(bytes), new Uint8Array(bytes)]
    const calls = Math.ceil(COPIED_BYTES / Math.max(MB, bytes))
    return { what: `copy ${size}`, run: () => meanMs(calls, async () => target.set(source)) }
  })
}

function hashes(): Timed[] {
  return Object.entries(PUT_SIZES).map(([size, bytes]) => ({
    what: `hash ${size}`,
    run: () => {
      const payloads = Array.from({ length: PUTS }, () => randomPayload(bytes))
      return meanMs(PUTS, async (index) => hashers.b3.hash(payloads[index] ?? randomPayload(bytes)))
    },
  }))
}

function put(own: TenantFabric, name: string, payload: Uint8Array) {
  return own.put({ description: DESCRIPTION, foreignKey: Buffer.from(name), payload, isGivenAway: true })
}

function randomPayload(bytes: number): Uint8Array {
  return randomFillSync(Buffer.allocUnsafeSlow(bytes))
}

async function meanMs(calls: number, call: (index: number) => Promise<unknown>): Promise<number> {
  const startMs = performance.now()
  for (let index = 0; index < calls; index++) kept.value = await call(index)
  return (performance.now() - startMs) / calls
}

function findings(times: ReadonlyMap<string, readonly number[]>): Findings {
  const of = (what: string): readonly number[] => times.get(what) ?? []
  const rows = [...times].map(([what, runsMs]): Row => ({ what, runsMs }))
  const ratios: Ratio[] = []
  for (const where of ['memory', 'hot over disk']) {
    for (const size of Object.keys(SIZES).slice(1))
      ratios.push(ratioOf(`one copy / ${where}: get ${size}`, of(`copy ${size}`), of(`${where}: get ${size}`)))
    for (const size of Object.keys(PUT_SIZES))
      ratios.push(ratioOf(`one hash / ${where}: put ${size}`, of(`hash ${size}`), of(`${where}: put ${size}`)))
  }
  return { rows, ratios, notes: ['Copies are of warm memory to warm memory. Every put is hashed once, every get not.'] }
}
