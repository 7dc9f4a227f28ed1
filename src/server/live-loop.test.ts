/** Scheduler, measures and a shared link together: prompts that are offloaded are what the link carries, and what is measured of it. */
import { describe, expect, it } from 'vitest'
import { VirtualAlarm } from '../../test/faults/virtual-alarm.ts'
import { FairLink } from '../cluster/fair-link.ts'
import { LinkMeasures } from '../cluster/measure-links.ts'
import { type Member, NO_TELEMETRY, type PrefillReport } from '../cluster/member.ts'
import { seededRandom } from '../core/random.ts'
import { bytesFromMib, bytesPerSecondFromGbps } from '../core/units.ts'
import { sampleLength } from '../planner/lengths.ts'
import { logNormalLengths } from '../planner/log-normal.ts'
import { LiveScheduler } from './live-scheduler.ts'
import { kvBytesOf, prefillSecondsOf } from './live-scenario.ts'

const KV = { fixedBytes: bytesFromMib(173.925), bytesPerToken: 17_280 }
const LENGTHS = logNormalLengths({ mu: 9.9, sigma: 1, minTokens: 128, maxTokens: 131_072 })
const CHUNK_BYTES = 16e6

/** An engine that computes one prompt after the other. */
class Engine {
  readonly #alarm: VirtualAlarm
  readonly #costs: Omit<PrefillReport, 'waitSeconds'>
  #freeAtSeconds = 0

  constructor(alarm: VirtualAlarm, secondsPerToken: number) {
    this.#alarm = alarm
    this.#costs = { model: 'hybrid', callSeconds: 0.4, secondsPerToken, secondsPerPair: 3e-10 }
  }

  get report(): PrefillReport {
    return { ...this.#costs, waitSeconds: Math.max(0, this.#freeAtSeconds - this.#alarm.seconds()) }
  }

  async prefill(tokens: number): Promise<void> {
    const { waitSeconds } = this.report
    const seconds = waitSeconds + prefillSecondsOf(this.report, tokens)
    this.#freeAtSeconds = this.#alarm.seconds() + seconds
    await this.#alarm.wait(seconds)
  }
}

class World {
  readonly alarm = new VirtualAlarm()
  readonly link = new FairLink(this.alarm, this.alarm)
  readonly #measures = new LinkMeasures(this.alarm)
  readonly #near = new Engine(this.alarm, 138e-6)
  readonly #far = new Engine(this.alarm, 44e-6)
  readonly #random = seededRandom(3)
  readonly scheduler: LiveScheduler
  #bytesPerSecond = 1
  #flows = 0
  #offloaded = 0
  #received = 0

  constructor() {
    const self = this.#member('near', this.#near)
    this.scheduler = new LiveScheduler({
      model: { name: 'hybrid', kv: KV, promptTokensMax: 131_072 },
      senses: {
        membership: { self, members: () => [this.#member('far', this.#far), self] },
        prefill: () => this.#near.report,
        links: () => this.#measures.reports(),
        waitingBytes: () => this.link.waitingBytes,
        decode: () => null,
      },
      clock: { nowMs: () => 1000 * this.alarm.seconds() },
      stopwatch: this.alarm,
      alarm: this.alarm,
    })
    this.scheduler.start()
  }

  setGbps(gbps: number): void {
    this.#bytesPerSecond = bytesPerSecondFromGbps(gbps)
    this.link.setBytesPerSecond(this.#bytesPerSecond)
  }

  #member(datacentre: string, engine: Engine): Member {
    return {
      node: datacentre,
      datacentre,
      roles: ['prefill', 'decode'],
      incarnation: 1,
      sequence: 1,
      address: `${datacentre}:1`,
      version: '1',
      format: 1,
      capacityBytes: null,
      startedMs: 0,
      isDraining: false,
      telemetry: { ...NO_TELEMETRY, prefill: engine.report },
      state: 'alive',
      sinceMs: 0,
    }
  }

  /** Prompts of the case study, at random times. */
  async receive(seconds: number, rateRps: number): Promise<void> {
    for (const end = this.alarm.seconds() + seconds; this.alarm.seconds() < end; ) {
      await this.alarm.run(this.alarm.wait(-Math.log(1 - this.#random()) / rateRps))
      const tokens = sampleLength(LENGTHS, this.#random)
      this.scheduler.seen(tokens, tokens)
      const isRemote = this.scheduler.isRemote({ promptTokens: tokens, remoteCachedTokens: 0, localCachedTokens: 0 })
      this.#received += 1
      if (isRemote) this.#offloaded += 1
      void (isRemote ? this.#offload(tokens) : this.#near.prefill(tokens))
    }
  }

  /** Since it was taken last. */
  takeOffloadedShare(): number {
    const share = this.#offloaded / this.#received
    this.#offloaded = 0
    this.#received = 0
    return share
  }

  async #offload(tokens: number): Promise<void> {
    this.#flows += 1
    const flow = `prefill:${this.#flows}` as const
    await this.#far.prefill(tokens)
    for (let left = kvBytesOf(KV, tokens); left > 0; left -= CHUNK_BYTES) {
      const bytes = Math.min(left, CHUNK_BYTES)
      const askedSeconds = this.alarm.seconds()
      await this.link.admit(flow, bytes)
      await this.alarm.wait(bytes / this.#bytesPerSecond)
      this.#measures.transferred('far', bytes, this.alarm.seconds() - askedSeconds)
    }
  }
}

describe('a node that routes by what it measures', () => {
  it('keeps more prompts within seconds of a link that drops to a tenth, and fewer again when it is back', async () => {
    const world = new World()
    world.setGbps(4)
    await world.receive(1200, 0.35)
    const before = world.scheduler.state()
    const shareBefore = world.takeOffloadedShare()
    world.setGbps(0.4)
    await world.receive(15, 0.35)
    expect(world.scheduler.thresholdTokens).toBeGreaterThan(1.5 * before.plannedTokens)
    await world.receive(600, 0.35)
    expect(world.scheduler.state().plannedTokens).toBeGreaterThan(1.5 * before.plannedTokens)
    expect(world.takeOffloadedShare()).toBeLessThan(0.6 * shareBefore)
    // As many prompts as before would by now be ten times as much.
    expect(world.link.waitingBytes).toBeLessThan(2e9)
    world.setGbps(4)
    await world.receive(180, 0.35)
    world.takeOffloadedShare()
    await world.receive(600, 0.35)
    expect(world.scheduler.state().plannedTokens).toBeLessThan(1.3 * before.plannedTokens)
    expect(world.takeOffloadedShare()).toBeGreaterThan(0.65 * shareBefore)
    // Queues come and go every second; what is remembered are plans and what lasts.
    const times = world.scheduler.state().decisions.map(({ atMs }) => atMs)
    expect((times.at(-1) ?? 0) - (times[0] ?? 0)).toBeGreaterThan(600_000)
    world.scheduler.close()
  }, 60_000)
})
