import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { LIMITS } from '../core/limits.ts'
import { seededRandom } from '../core/random.ts'
import { loadContentHashers } from '../hashing/content-hashers.ts'
import { TokenBucket } from '../policy/token-bucket.ts'
import { runs } from '../../test/effort.ts'
import { type Faults, FaultySource, MemorySink, NO_FAULTS, type World } from '../../test/faults/faulty-source.ts'
import { VirtualAlarm } from '../../test/faults/virtual-alarm.ts'
import type { ReceiveOptions, ReceiveParts, TransferReport, WantedFragment } from './receive-ports.ts'
import { receiveFragments } from './receive.ts'

const { hashers } = await loadContentHashers()
const CHUNK = LIMITS.transferChunkBytesMin
const LINK = 100 * 1024 * 1024

function newWorld(seed: number): World {
  return {
    time: new VirtualAlarm(),
    random: seededRandom(seed),
    payloads: new Map(),
    b3: hashers.b3,
    bytesPerSecond: LINK,
  }
}

function addPayload({ payloads }: World, key: string, bytes: number, seed = bytes): WantedFragment {
  const random = seededRandom(seed)
  const payload = new Uint8Array(bytes)
  for (let at = 0; at < bytes; at += 64) payload[at] = random() * 256
  payloads.set(key, payload)
  return { key, contentHash: hashers.b3.hash(payload), payloadBytes: bytes }
}

function sourcesOf(world: World, count: number, faults: Faults = NO_FAULTS): FaultySource[] {
  return Array.from({ length: count }, () => new FaultySource(world, 'sender', CHUNK, faults))
}

type Given = Partial<ReceiveOptions> & Partial<ReceiveParts> & { readonly signal?: AbortSignal }

function receive(world: World, wanted: readonly WantedFragment[], given: Given): Promise<TransferReport> {
  const { sources = sourcesOf(world, 2), sink = new MemorySink(world), lease = null, bucket = null, ...options } = given
  const { time, random } = world
  const parts: ReceiveParts = { sources, sink, lease, bucket, hashers, stopwatch: time, alarm: time, random }
  const small = { chunkBytes: CHUNK, requestBytes: 4 * CHUNK, ...options }
  return time.run(receiveFragments(wanted, parts, small))
}

/** Nothing is left open, and what was committed is what the sender has. */
function expectNothingWrong(world: World, sink: MemorySink, { outcomes, counters }: TransferReport): void {
  expect(sink.openRooms).toBe(0)
  for (const [key, bytes] of sink.committed)
    expect(hashers.b3.hash(bytes)).toBe(hashers.b3.hash(world.payloads.get(key) ?? bytes.subarray(1)))
  expect(counters.bytesReceived).toBe(counters.bytesAccepted + counters.bytesDiscarded)
  expect(outcomes.filter(({ kind }) => kind === 'stored').length).toBe(sink.committed.size)
}

describe('a transfer', () => {
  test('brings all bytes over all connections, in one go where nothing fails', async () => {
    const world = newWorld(1)
    const sink = new MemorySink(world)
    const sources = sourcesOf(world, 3)
    const wanted = [20 * CHUNK + 17, 0, 1, CHUNK, CHUNK + 1].map((bytes, index) =>
      addPayload(world, `k${index}`, bytes),
    )
    const report = await receive(world, wanted, { sink, sources })
    expect(report.outcomes).toEqual(wanted.map(() => ({ kind: 'stored', put: 'stored' })))
    expectNothingWrong(world, sink, report)
    const bytes = wanted.reduce((sum, { payloadBytes }) => sum + payloadBytes, 0)
    expect(report.counters).toMatchObject({ bytesReceived: bytes, bytesDiscarded: 0, cuts: 0, retries: 0 })
    expect(sources.every(({ requests }) => requests.length > 0)).toBe(true)
    // What is one chunk needs no manifest.
    expect(sources.reduce((sum, { manifests }) => sum + manifests, 0)).toBe(2)
    expect(world.time.pending).toBe(0)
  })

  test('commits exactly the right bytes or nothing, whatever happens', async () => {
    const share = fc.oneof({ weight: 2, arbitrary: fc.constant(0) }, fc.double({ min: 0, max: 0.3, noNaN: true }))
    const faults: fc.Arbitrary<Faults> = fc.record({
      ...{ cut: share, damage: share, short: share, lie: share, delay: share },
      hang: fc.constantFrom(0, 0, 0.05),
    })
    await fc.assert(
      fc.asyncProperty(
        fc.integer(),
        fc.array(faults, { minLength: 1, maxLength: 4 }),
        fc.array(fc.integer({ min: 0, max: 12 * CHUNK }), { minLength: 1, maxLength: 5 }),
        fc.record({
          vanishes: fc.boolean(),
          loses: fc.constantFrom(0, 0, 0.05),
          deadlineSeconds: fc.constantFrom(Infinity, 0.05, 0.5),
          bytesInFlightMax: fc.constantFrom(1, 3 * CHUNK, 100 * CHUNK),
          openFragmentsMax: fc.integer({ min: 1, max: 4 }),
        }),
        async (seed, faultsOf, sizes, { vanishes, loses, ...options }) => {
          const world = newWorld(seed)
          const sink = new MemorySink(world)
          sink.loseShare = loses
          sink.stageSeconds = 0.002
          const sources = faultsOf.map((one, index) => new FaultySource(world, `place${index % 2}`, CHUNK, one))
          const wanted = sizes.map((bytes, index) => addPayload(world, `k${index}`, bytes))
          if (vanishes) world.time.after(0.03, () => world.payloads.delete('k0'))
          const payload0 = world.payloads.get('k0')
          const report = await receive(world, wanted, { ...options, sink, sources, stallSeconds: 2 })
          if (payload0 !== undefined) world.payloads.set('k0', payload0)
          expectNothingWrong(world, sink, report)
          expect(sink.stagingMax).toBeLessThanOrEqual(Math.max(CHUNK, options.bytesInFlightMax))
          // Goes on where it stopped, over a connection without faults, and asks for nothing that it has.
          const resumed = report.outcomes.map((outcome) => (outcome.kind === 'unfinished' ? outcome.acceptedBytes : 0))
          sink.loseShare = 0
          const again = await receive(world, wanted, { sink })
          expect(again.outcomes.every(({ kind }) => kind === 'stored')).toBe(true)
          expect(sink.committed.size).toBe(wanted.length)
          expect(again.counters.bytesResumed).toBe(resumed.reduce((sum, bytes) => sum + bytes, 0))
          expectNothingWrong(world, sink, { ...again, outcomes: wanted.map(() => ({ kind: 'stored', put: 'stored' })) })
        },
      ),
      { numRuns: runs(60) },
    )
  })
})
