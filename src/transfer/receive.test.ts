import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { MembraneError } from '../core/errors.ts'
import { LIMITS } from '../core/limits.ts'
import type { ByteSpan } from '../core/ports.ts'
import { seededRandom } from '../core/random.ts'
import { loadContentHashers } from '../hashing/content-hashers.ts'
import { TokenBucket } from '../policy/token-bucket.ts'
import { runs } from '../../test/effort.ts'
import { type Faults, FaultySource, MemorySink, NO_FAULTS, type World } from '../../test/faults/faulty-source.ts'
import { VirtualAlarm } from '../../test/faults/virtual-alarm.ts'
import { chunkSpan, DEFAULT_CHUNK_BYTES, ManifestBuilder, manifestOf } from './chunks.ts'
import type {
  ChunkSource,
  ReceiveOptions,
  ReceiveParts,
  SenderLease,
  TransferReport,
  TransferSink,
  WantedFragment,
} from './receive-ports.ts'
import { ReceiveState } from './receive-state.ts'
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
      cut: share,
      damage: share,
      short: share,
      lie: share,
      delay: share,
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

  test('that is cut twenty times sends little again, and nothing that was accepted', async () => {
    const world = newWorld(7)
    const sink = new MemorySink(world)
    const sources = sourcesOf(world, 4)
    const wanted = [addPayload(world, 'big', 1024 * CHUNK)]
    // A cut in mid-flight each time so many bytes have come.
    const progress: ReceiveOptions['progress'] = ({ bytesReceived, cuts }) => {
      const isDue = cuts < Math.min(20, bytesReceived / (48 * CHUNK))
      for (const source of sources) source.faults = isDue ? { ...NO_FAULTS, cut: 1 } : NO_FAULTS
    }
    const report = await receive(world, wanted, { sink, sources, progress })
    const { counters } = report
    expect(report.outcomes).toEqual([{ kind: 'stored', put: 'stored' }])
    expectNothingWrong(world, sink, report)
    expect(counters.cuts).toBeGreaterThanOrEqual(20)
    // Less than a chunk for each cut.
    expect(counters.bytesDiscarded).toBeGreaterThan(0)
    expect(counters.bytesDiscarded).toBeLessThan(counters.cuts * CHUNK)
    expect(counters.bytesAccepted).toBe(1024 * CHUNK)
    expect(counters.retries).toBe(counters.cuts)
  })

  test('of many chunks, 4 GiB of them in a soak, that is cut twenty times sends at most the cut chunks again', async () => {
    const world = newWorld(20)
    const chunks = runs(48, 4096)
    const bytes = chunks * DEFAULT_CHUNK_BYTES - 1
    // Nothing of it is kept: each chunk is the same noise with its number before.
    const noise = new Uint8Array(DEFAULT_CHUNK_BYTES)
    for (let at = 0; at < noise.length; at++) noise[at] = world.random() * 256
    const fill = ({ start, end }: ByteSpan, into: Uint8Array): void => {
      for (let at = start; at < end; at += DEFAULT_CHUNK_BYTES) {
        const chunk = into.subarray(at - start, at - start + DEFAULT_CHUNK_BYTES)
        chunk.set(noise.subarray(0, chunk.length))
        new DataView(chunk.buffer, chunk.byteOffset).setUint32(0, at / DEFAULT_CHUNK_BYTES)
      }
    }
    const chunk = new Uint8Array(DEFAULT_CHUNK_BYTES)
    const hasher = hashers.b3.start()
    const payload = { contentHash: hashers.b3.hash(chunk), payloadBytes: bytes, chunkBytes: DEFAULT_CHUNK_BYTES }
    const builder = new ManifestBuilder(payload, hashers.b3)
    for (let start = 0; start < bytes; start += DEFAULT_CHUNK_BYTES) {
      const span = { start, end: Math.min(bytes, start + DEFAULT_CHUNK_BYTES) }
      const piece = chunk.subarray(0, span.end - start)
      fill(span, piece)
      hasher.update(piece)
      builder.update(piece)
    }
    const wanted = { key: 'k', contentHash: hasher.contentHash(), payloadBytes: bytes }
    const manifest = { ...builder.manifest(), contentHash: wanted.contentHash }
    let [cuts, received] = [0, 0]
    const sources = Array.from(
      { length: 4 },
      (): ChunkSource => ({
        place: 'sender',
        manifest: () => Promise.resolve(manifest),
        fetch: async ({ span }, into, { signal, progress }) => {
          fill(span, into)
          const isCut = cuts < 20 && received >= ((cuts + 0.5) * bytes) / 20
          const end = isCut ? Math.floor(world.random() * into.length) : into.length
          if (isCut) cuts += 1
          received += end
          await world.time.wait(end / LINK, signal)
          progress(end)
          if (isCut) throw new MembraneError('STORE_UNAVAILABLE', 'Cut.')
          return end
        },
      }),
    )
    let committed = false
    const sink: TransferSink = {
      open: () =>
        Promise.resolve({
          resumed: null,
          // Verified when they came: what they are is known.
          stage: () => Promise.resolve(),
          read: (span, into) => {
            fill(span, into)
            return Promise.resolve(into)
          },
          commit: () => {
            committed = true
            return Promise.resolve('stored')
          },
          suspend: () => Promise.resolve(),
          abandon: () => Promise.resolve(),
        }),
    }
    const { counters, outcomes } = await receive(world, [wanted], {
      sources,
      sink,
      chunkBytes: DEFAULT_CHUNK_BYTES,
      requestBytes: 4 * DEFAULT_CHUNK_BYTES,
    })
    expect(outcomes).toEqual([{ kind: 'stored', put: 'stored' }])
    expect(committed).toBe(true)
    expect(counters).toMatchObject({ cuts: 20, bytesAccepted: bytes })
    expect(counters.bytesReceived - bytes).toBeLessThan(20 * DEFAULT_CHUNK_BYTES)
  }, 120_000)

  test('reports what has gone at its sender, also in the middle, and brings the rest', async () => {
    const world = newWorld(2)
    const sink = new MemorySink(world)
    const wanted = [1, 2, 3].map((number) => addPayload(world, `k${number}`, 40 * CHUNK, number))
    world.payloads.delete('k1')
    world.time.after(0.01, () => world.payloads.delete('k2'))
    const report = await receive(world, wanted, { sink, openFragmentsMax: 2 })
    expect(report.outcomes.map(({ kind }) => kind)).toEqual(['gone', 'gone', 'stored'])
    expect(report.counters.bytesAccepted).toBeGreaterThan(40 * CHUNK)
    expect(sink.openRooms).toBe(0)
    expect([...sink.suspended.keys()]).toEqual([])
  })

  test('asks another place for what is gone at one, and takes no other bytes for it', async () => {
    const world = newWorld(3)
    const elsewhere = { ...newWorld(3), time: world.time }
    const wanted = [addPayload(world, 'k', 10 * CHUNK), addPayload(elsewhere, 'other', 3 * CHUNK)]
    addPayload(world, 'other', 3 * CHUNK, 99)
    const sink = new MemorySink(world)
    const sources = [new FaultySource(world, 'a', CHUNK), new FaultySource(elsewhere, 'b', CHUNK)]
    const report = await receive(world, wanted, { sink, sources })
    expect(report.outcomes.map(({ kind }) => kind)).toEqual(['stored', 'stored'])
    expect(hashers.b3.hash(sink.committed.get('other') ?? new Uint8Array())).toBe(wanted[1]?.contentHash)
  })

  test('asks another connection for chunks that came damaged', async () => {
    const world = newWorld(4)
    const sink = new MemorySink(world)
    const [liar, honest] = sourcesOf(world, 2)
    if (liar === undefined || honest === undefined) throw new Error('There are two.')
    liar.faults = { ...NO_FAULTS, damage: 1 }
    const backoff = { firstSeconds: 0.001, maxSeconds: 0.001 }
    const wanted = [addPayload(world, 'k', 64 * CHUNK)]
    const report = await receive(world, wanted, { sink, sources: [liar, honest], requestBytes: CHUNK, backoff })
    expect(report.outcomes).toEqual([{ kind: 'stored', put: 'stored' }])
    expect(report.counters.chunksDamaged).toBe(6)
    const spans = liar.requests.map(({ span }) => span.start)
    expect(new Set(spans).size).toBe(spans.length)
    expectNothingWrong(world, sink, report)
  })

  test('gives up a fragment whose chunks are never intact, and one whose manifest lies', async () => {
    const world = newWorld(5)
    const sink = new MemorySink(world)
    const sources = sourcesOf(world, 1, { ...NO_FAULTS, damage: 1 })
    const wanted = [addPayload(world, 'k', CHUNK)]
    const report = await receive(world, wanted, { sink, sources, failuresMax: 100 })
    expect(report.outcomes).toMatchObject([{ kind: 'damaged' }])
    expect(report.counters.chunksDamaged).toBe(LIMITS.transferDamagedMax)
    const forged = sourcesOf(world, 1)
    const [source] = forged
    const other = new Uint8Array(3 * CHUNK).fill(5)
    const { contentHash } = addPayload(world, 'm', 3 * CHUNK)
    world.payloads.set('m', other)
    if (source !== undefined) source.forge = (manifest) => ({ ...manifest, contentHash })
    const lies = await receive(world, [{ key: 'm', contentHash, payloadBytes: 3 * CHUNK }], { sink, sources: forged })
    expect(lies.outcomes).toMatchObject([{ kind: 'damaged', reason: expect.stringContaining('the whole is not') }])
    expect(sink.committed.size + sink.openRooms + sink.suspended.size).toBe(0)
  })

  test('stops at its deadline and when it is cancelled, keeps what came, and goes on from there', async () => {
    const world = newWorld(6)
    const sink = new MemorySink(world)
    const wanted = [addPayload(world, 'k', 160 * CHUNK)]
    const late = await receive(world, wanted, { sink, deadlineSeconds: 0.05 })
    expect(late.outcomes).toEqual([
      { kind: 'unfinished', reason: 'The deadline of 0.05 s passed.', acceptedBytes: late.counters.bytesAccepted },
    ])
    expect(late.counters.bytesAccepted).toBeGreaterThan(0)
    expect(late.seconds).toBeCloseTo(0.05)
    const controller = new AbortController()
    world.time.after(0.01, () => {
      controller.abort()
    })
    await expect(receive(world, wanted, { sink, signal: controller.signal })).rejects.toMatchObject({ code: 'ABORTED' })
    expect(sink.openRooms).toBe(0)
    expect(world.time.pending).toBe(0)
    const rest = await receive(world, wanted, { sink })
    expect(rest.counters.bytesResumed).toBeGreaterThan(late.counters.bytesAccepted)
    expect(rest.counters.bytesReceived).toBe(160 * CHUNK - rest.counters.bytesResumed)
    expectNothingWrong(world, sink, rest)
    await expect(receive(world, wanted, { sink, signal: controller.signal })).rejects.toMatchObject({ code: 'ABORTED' })
  })

  test('fetches all anew where the state of the one before is damaged or lies', async () => {
    const world = newWorld(8)
    const sink = new MemorySink(world)
    const wanted = [addPayload(world, 'k', 16 * CHUNK)]
    const bytes = new Uint8Array(16 * CHUNK)
    sink.suspended.set('k', { bytes, state: Uint8Array.of(1, 2, 3) })
    expect(await receive(world, wanted, { sink })).toMatchObject({
      counters: { bytesResumed: 0, bytesAccepted: 16 * CHUNK },
    })
    // Says that all is there, and nothing is.
    sink.committed.clear()
    const manifest = manifestOf(world.payloads.get('k') ?? bytes, hashers.b3, CHUNK)
    const state = new ReceiveState(manifest, hashers.b3)
    for (let index = 0; index < 16; index++) {
      const { start, end } = chunkSpan(manifest, index)
      state.accept(index, world.payloads.get('k')?.subarray(start, end) ?? bytes)
    }
    sink.suspended.set('k', { bytes: bytes.fill(1), state: state.encode() })
    const report = await receive(world, wanted, { sink })
    expect(report).toMatchObject({
      counters: { chunksLost: 16, bytesAccepted: 16 * CHUNK },
      outcomes: [{ kind: 'stored' }],
    })
    expectNothingWrong(world, sink, report)
  })

  test('renews leases while bytes come, at a third of their time, and not while nothing does', async () => {
    const world = { ...newWorld(9), bytesPerSecond: CHUNK }
    const sink = new MemorySink(world)
    const sources = sourcesOf(world, 2)
    const wanted = [addPayload(world, 'k', 60 * CHUNK), addPayload(world, 'l', 4 * CHUNK)]
    const asked: { seconds: number; keys: readonly string[] }[] = []
    const lease: SenderLease = {
      leaseSeconds: 9,
      renew: (keys) => {
        asked.push({ seconds: world.time.seconds(), keys })
        if (asked.length === 2) return Promise.reject(new MembraneError('STORE_UNAVAILABLE', 'Not now.'))
        return Promise.resolve()
      },
    }
    // Everything hangs from the tenth second on; what was accepted until then is kept.
    world.time.after(10, () => {
      for (const source of sources) source.faults = { ...NO_FAULTS, hang: 1 }
    })
    const report = await receive(world, wanted, { sink, sources, lease, stallSeconds: 30, failuresMax: 2 })
    expect(report.outcomes[0]).toMatchObject({ kind: 'unfinished' })
    const times = asked.map(({ seconds }) => seconds)
    expect(times.length).toBeGreaterThanOrEqual(3)
    for (const [index, seconds] of times.entries()) expect(seconds - (times[index - 1] ?? 0)).toBeGreaterThanOrEqual(3)
    expect(times.at(-1)).toBeLessThan(15)
    expect(asked[0]?.keys).toEqual(['k', 'l'])
    expect(report.counters).toMatchObject({ leasesRenewed: asked.length - 1, leasesFailed: 1 })
  })

  test('keeps to a rate that it shares with others', async () => {
    const world = newWorld(10)
    const bucket = new TokenBucket({ perSecond: 10 * CHUNK, burst: CHUNK }, 0)
    const sink = new MemorySink(world)
    const one = receive(world, [addPayload(world, 'a', 100 * CHUNK, 1)], { sink, bucket })
    const { time, random } = world
    const parts = {
      sources: sourcesOf(world, 2),
      sink,
      lease: null,
      bucket,
      hashers,
      stopwatch: time,
      alarm: time,
      random,
    }
    const other = receiveFragments([addPayload(world, 'b', 100 * CHUNK, 2)], parts, { chunkBytes: CHUNK })
    const reports = await Promise.all([one, other])
    expect(Math.max(...reports.map(({ seconds }) => seconds))).toBeGreaterThan(19)
    expect(Math.max(...reports.map(({ seconds }) => seconds))).toBeLessThan(21)
  })

  test('lets nobody who was given up write to bytes that came later', async () => {
    const world = newWorld(14)
    const sink = new MemorySink(world)
    sink.stageSeconds = 1
    const [source] = sourcesOf(world, 1)
    if (source === undefined) throw new Error('There is one.')
    const fetch = source.fetch.bind(source)
    source.fetch = (_, into) => {
      source.fetch = fetch
      // Writes while what came after it is being staged.
      world.time.after(2.5, () => into.fill(0xee))
      return new Promise(() => undefined)
    }
    const wanted = [addPayload(world, 'a', 4 * CHUNK)]
    const report = await receive(world, wanted, { sink, sources: [source], stallSeconds: 1 })
    expect(report).toMatchObject({
      outcomes: [{ kind: 'stored' }],
      counters: { cuts: 1, chunksLost: 0, chunksDamaged: 0 },
    })
    expect(world.time.seconds()).toBeGreaterThan(4)
  })

  test.each([3 * CHUNK, Infinity, Number.NaN, -1, 0.5])(
    'counts what can have come when a sender says %d',
    async (lie) => {
      const world = newWorld(15)
      const sink = new MemorySink(world)
      const [liar, honest] = sourcesOf(world, 2)
      if (liar === undefined || honest === undefined) throw new Error('There are two.')
      liar.fetch = () => world.time.wait(0.0001).then(() => lie)
      const report = await receive(world, [addPayload(world, 'a', 2 * CHUNK)], {
        sink,
        sources: [liar, honest],
        requestBytes: 1,
      })
      expect(report.outcomes).toEqual([{ kind: 'stored', put: 'stored' }])
      expect(report.counters.bytesReceived).toBe((lie > 1 ? 3 : 2) * CHUNK)
      expectNothingWrong(world, sink, report)
    },
  )

  test('gives back to the rate what did not come', async () => {
    const world = newWorld(16)
    const bucket = new TokenBucket({ perSecond: 4 * CHUNK, burst: 4 * CHUNK }, 0)
    const [source] = sourcesOf(world, 1)
    if (source === undefined) throw new Error('There is one.')
    const fetch = source.fetch.bind(source)
    let calls = 0
    source.fetch = (request, into, options) => {
      calls += 1
      return calls % 2 === 1 ? Promise.resolve(0) : fetch(request, into, options)
    }
    const report = await receive(world, [addPayload(world, 'a', 40 * CHUNK)], { sources: [source], bucket })
    expect(report.outcomes).toEqual([{ kind: 'stored', put: 'stored' }])
    expect(report.seconds).toBeLessThan(11)
    expect(report.seconds).toBeGreaterThan(9)
  })

  test('waits for what is being staged before it leaves the room of a fragment that has gone', async () => {
    const world = newWorld(17)
    const sink = new MemorySink(world)
    sink.stageSeconds = 1
    const [one, other] = sourcesOf(world, 2)
    if (one === undefined || other === undefined) throw new Error('There are two.')
    other.fetch = () => world.time.wait(0.5).then(() => null)
    const report = await receive(world, [addPayload(world, 'a', 40 * CHUNK)], { sink, sources: [one, other] })
    expect(report.outcomes).toEqual([{ kind: 'gone' }])
    expect(sink.openRooms).toBe(0)
  })

  test('does not wait for a place that cannot be reached for what has gone at the others', async () => {
    const world = newWorld(18)
    const empty = { ...newWorld(18), time: world.time }
    const sink = new MemorySink(world)
    const unreachable = new FaultySource(world, 'b', CHUNK, { ...NO_FAULTS, cut: 1 })
    const sources = [new FaultySource(empty, 'a', CHUNK), unreachable]
    const report = await receive(world, [addPayload(world, 'a', 4 * CHUNK)], { sink, sources })
    expect(report.outcomes).toMatchObject([{ kind: 'unfinished' }])
    expect(world.time.pending).toBe(0)
  })

  test('lets others run while a long payload is verified', async () => {
    const world = newWorld(19)
    let turns = 0
    const after = world.time.after.bind(world.time)
    world.time.after = (seconds, call) => {
      if (seconds === 0) turns += 1
      return after(seconds, call)
    }
    await receive(world, [addPayload(world, 'a', 320 * CHUNK)], {})
    expect(turns).toBe(2)
  })

  test('says when the sink has no room, or rather keeps what it has, and what is there already', async () => {
    const world = newWorld(11)
    const sink = new MemorySink(world)
    const wanted = [
      addPayload(world, 'a', 3 * CHUNK, 1),
      addPayload(world, 'b', 2 * CHUNK, 2),
      addPayload(world, 'c', 10, 3),
    ]
    const puts = [
      () => 'refused' as const,
      () => {
        throw new MembraneError('STORE_FULL', 'No room.')
      },
      () => 'replaced' as const,
    ]
    sink.commit = () => puts.shift()?.() ?? 'stored'
    const report = await receive(world, wanted, { sink, openFragmentsMax: 1 })
    expect(report.outcomes).toEqual([
      { kind: 'refused', code: null, reason: expect.any(String) },
      { kind: 'refused', code: 'STORE_FULL', reason: 'No room.' },
      { kind: 'stored', put: 'replaced' },
    ])
    expect(sink.openRooms).toBe(0)
    const again = await receive(world, wanted.slice(2), { sink })
    expect(again).toMatchObject({ outcomes: [{ kind: 'stored', put: 'present' }], counters: { bytesReceived: 0 } })
  })

  test('uses no connection any more that is refused or fails time and again, and says so when none is left', async () => {
    const world = newWorld(12)
    const sink = new MemorySink(world)
    const wanted = [addPayload(world, 'a', 30 * CHUNK)]
    const [dead, refused] = sourcesOf(world, 2)
    if (dead === undefined || refused === undefined) throw new Error('There are two.')
    dead.faults = { ...NO_FAULTS, cut: 1 }
    refused.fetch = () => Promise.reject(new MembraneError('INVALID_REQUEST', 'No such credential.'))
    const report = await receive(world, wanted, { sink, sources: [refused, dead], requestBytes: 1, failuresMax: 3 })
    expect(report.outcomes).toMatchObject([
      { kind: 'unfinished', reason: expect.stringContaining('No connection is left') },
    ])
    expect(report.counters).toMatchObject({ cuts: 4, retries: 2, bytesAccepted: 0 })
    expect(world.time.pending).toBe(0)
  })

  test('ends with a bug of a port, after everything has come to rest', async () => {
    const world = newWorld(13)
    const sink = new MemorySink(world)
    const [one, other] = sourcesOf(world, 2)
    if (one === undefined || other === undefined) throw new Error('There are two.')
    one.fetch = () => Promise.reject(new TypeError('A bug.'))
    await expect(receive(world, [addPayload(world, 'a', 30 * CHUNK)], { sink, sources: [other, one] })).rejects.toThrow(
      'A bug.',
    )
    expect(sink.openRooms).toBe(0)
    expect(world.time.pending).toBe(0)
  })

  test.each([
    ['no connection', { sources: [] }],
    ['small chunks', { chunkBytes: 1 }],
    ['no patience', { stallSeconds: 0 }],
    ['no room', { bytesInFlightMax: 0 }],
  ])('is refused with %s', async (_, given) => {
    await expect(receive(newWorld(1), [], given)).rejects.toMatchObject({ code: 'INVALID_REQUEST' })
  })
})
