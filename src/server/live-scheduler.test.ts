import { describe, expect, it } from 'vitest'
import { VirtualAlarm } from '../../test/faults/virtual-alarm.ts'
import { type LinkReport, type Member, type MemberRole, NO_TELEMETRY, type PrefillReport } from '../cluster/member.ts'
import { LinkMeasures } from '../cluster/measure-links.ts'
import { LIMITS } from '../core/limits.ts'
import { bytesFromMib, bytesPerSecondFromGbps } from '../core/units.ts'
import { seededRandom } from '../core/random.ts'
import { logNormalLengths } from '../planner/log-normal.ts'
import { sampleLength } from '../planner/lengths.ts'
import type { DecodeProfile } from '../planner/decode.ts'
import { optimize } from '../planner/optimize.ts'
import type { LatencyProfileData } from '../planner/profile.ts'
import { DEFAULT_THRESHOLD_CONTROL } from '../policy/threshold.ts'
import type { ProposedRole } from './live-roles.ts'
import { prefillSecondsOf } from './live-scenario.ts'
import { LiveScheduler, type LiveSchedulerOptions } from './live-scheduler.ts'

/** The case study's clusters, as engines would measure them: a parabola through the calibrated profiles. */
const H200: PrefillReport = {
  model: 'hybrid',
  callSeconds: 0.35,
  secondsPerToken: 44e-6,
  secondsPerPair: 1.6e-10,
  waitSeconds: 0,
}
const H20: PrefillReport = { ...H200, callSeconds: 0.4, secondsPerToken: 138e-6, secondsPerPair: 3.6e-10 }
const DECODE: DecodeProfile = {
  batchMax: 20,
  stepSeconds: { fixed: 0.024984, perSequence: 0, perContextToken: 0 },
  source: 'measured',
  origin: 'measured',
}
const MODEL = {
  name: 'hybrid',
  kv: { fixedBytes: bytesFromMib(173.925), bytesPerToken: 17_280 },
  promptTokensMax: 131_072,
}
const LENGTHS_SPEC = { kind: 'log-normal', mu: 9.9, sigma: 1, minTokens: 128, maxTokens: 131_072 } as const
const LENGTHS = logNormalLengths(LENGTHS_SPEC)

function member(node: string, datacentre: string, roles: readonly MemberRole[], prefill: PrefillReport | null): Member {
  return {
    node,
    datacentre,
    roles,
    incarnation: 1,
    sequence: 1,
    address: `${node}:1`,
    version: '1',
    format: 1,
    capacityBytes: null,
    startedMs: 0,
    isDraining: false,
    telemetry: { ...NO_TELEMETRY, prefill },
    state: 'alive',
    sinceMs: 0,
  }
}

const LINK: LinkReport = {
  datacentre: 'far',
  bytesPerSecond: bytesPerSecondFromGbps(100),
  rttSeconds: 0.01,
  lossRatio: 0,
  utilisation: 0.1,
}

/** A node of the case study, its cluster, and the prompts that come to it. */
class Site {
  readonly alarm = new VirtualAlarm()
  readonly random = seededRandom(7)
  members: Member[]
  links: LinkReport[] = [LINK]
  prefill: PrefillReport | null = H20
  /** In place of `links`, once it is there. */
  measured: LinkMeasures | null = null
  decode: DecodeProfile | null = null
  readonly options: LiveSchedulerOptions
  readonly scheduler: LiveScheduler

  constructor({
    members,
    self = members[0],
    changeRoles,
  }: {
    members: Member[]
    self?: Member | undefined
    changeRoles?: LiveSchedulerOptions['changeRoles']
  }) {
    this.members = members
    if (self === undefined) throw new Error('A site has a node.')
    this.options = {
      model: MODEL,
      senses: {
        membership: { self, members: () => this.members },
        prefill: () => this.prefill,
        links: () => this.measured?.reports() ?? this.links,
        waitingBytes: () => 0,
        decode: () => this.decode,
      },
      clock: { nowMs: () => 1000 * this.alarm.seconds() },
      stopwatch: this.alarm,
      alarm: this.alarm,
      changeRoles,
    }
    this.scheduler = new LiveScheduler(this.options)
    this.scheduler.start()
  }

  /** Prompts of the case study, evenly spread. */
  async receive(prompts: number, rateRps: number): Promise<void> {
    for (let k = 0; k < prompts; k++) {
      await this.pass(1 / rateRps)
      this.receiveOne()
    }
  }

  receiveOne(): void {
    const tokens = sampleLength(LENGTHS, this.random)
    this.scheduler.seen(tokens, tokens)
  }

  pass(seconds: number): Promise<void> {
    return this.alarm.run(this.alarm.wait(seconds))
  }
}

function caseStudy(): Member[] {
  return [
    ...Array.from({ length: 3 }, (_, k) => member(`near-${k}`, 'near', ['prefill'], H20)),
    ...Array.from({ length: 5 }, (_, k) => member(`near-${k + 3}`, 'near', ['decode'], H20)),
    ...Array.from({ length: 4 }, (_, k) => member(`far-${k}`, 'far', ['prefill'], H200)),
  ]
}

/** The planner's own profile of such an engine, with points as a user would write them down. */
function profileOf(report: PrefillReport): LatencyProfileData {
  const tokens = [1, 128, 512, 1024, 2048, 4096, 8192, 16_384, 24_576, 32_768, 49_152, 65_536, 98_304, 131_072]
  const { callSeconds, secondsPerToken, secondsPerPair } = report
  return {
    kind: 'latency',
    name: String(secondsPerToken),
    model: MODEL.name,
    hardware: 'engine',
    gpusPerInstance: 1,
    source: 'measured',
    origin: 'measured',
    kv: MODEL.kv,
    prefill: {
      points: tokens.map((at) => ({
        tokens: at,
        seconds: callSeconds + secondsPerToken * at + (secondsPerPair * at * at) / 2,
      })),
      interpolation: 'linear',
      below: 'hold',
      above: 'extrapolate',
    },
  }
}

/** What the planner's optimiser says for a link: roles, threshold and rate. */
function optimum(gbps: number): { readonly thresholdTokens: number; readonly lambdaMaxRps: number } {
  const [best] = optimize({
    name: 'the same',
    remote: { profile: profileOf(H200), instances: 4 },
    local: { profile: profileOf(H20), instances: 8, decode: DECODE },
    link: { gbps },
    workload: { input: LENGTHS_SPEC, outputTokens: 1024 },
  }).deployments
  return { thresholdTokens: best?.thresholdTokens ?? Number.NaN, lambdaMaxRps: best?.lambdaMaxRps ?? Number.NaN }
}

function linkOf(gbps: number, change: Partial<LinkReport> = {}): LinkReport {
  return { ...LINK, bytesPerSecond: bytesPerSecondFromGbps(gbps), ...change }
}

describe('a scheduler in a node', () => {
  it('plans the threshold that the optimiser finds for the same deployment, from 10,000 prompts it has seen', async () => {
    const { thresholdTokens, lambdaMaxRps } = optimum(100)
    const site = new Site({ members: caseStudy() })
    site.decode = DECODE
    site.scheduler.finished(1024)
    // Seven other nodes are asked as often.
    await site.receive(10_000, (0.95 * lambdaMaxRps) / 8)
    const { plannedTokens, why } = site.scheduler.state()
    expect(Math.abs(plannedTokens / thresholdTokens - 1)).toBeLessThan(0.05)
    expect(why).toContain('The link to far carries 100 Gbps, ')
    expect(why).toContain(' tokens/s, 3 here 19,0')
    expect(why).toContain('prompts/s and offloads')
  })

  it('proposes the roles that the optimiser finds, once, and is content when they are carried out', async () => {
    const { lambdaMaxRps } = optimum(10)
    const asked: (readonly ProposedRole[])[] = []
    const site = new Site({
      members: caseStudy(),
      changeRoles: (roles) => {
        asked.push(roles)
        const roleOf = new Map(roles.map(({ node, role }) => [node, role]))
        site.members = site.members.map((one) => ({ ...one, roles: [roleOf.get(one.node) ?? 'prefill'] }))
      },
    })
    site.decode = DECODE
    site.links = [linkOf(10)]
    site.scheduler.finished(1024)
    await site.receive(500, (0.9 * lambdaMaxRps) / 8)
    expect(asked).toEqual([])
    await site.receive(3500, (0.9 * lambdaMaxRps) / 8)
    expect(asked).toHaveLength(1)
    const roles = site.scheduler.proposedRoles()
    expect(roles).toBe(asked[0])
    expect(roles?.filter(({ role }) => role === 'prefill').map(({ node }) => node)).toEqual([
      'near-0',
      'near-1',
      'near-2',
      'near-7',
    ])
    const { changes, why } = site.scheduler.state()
    expect(changes.map(({ text }) => text)).toEqual([
      expect.stringMatching(/^3 of 8 nodes here prefill, 4 should: near-7 is to prefill; /),
    ])
    expect(why).toContain(', 4 here ')
  })

  it('leaves roles alone where nodes do both, where another node decides, and where nobody knows how they decode', async () => {
    const both = caseStudy().map((one): Member => ({ ...one, roles: ['prefill', 'decode'] }))
    const members = caseStudy()
    for (const { change, decode } of [
      { change: { members: both }, decode: DECODE },
      { change: { members, self: members[1] }, decode: DECODE },
      { change: { members }, decode: null },
    ]) {
      const site = new Site({ ...change, changeRoles: () => expect.unreachable() })
      site.decode = decode
      site.links = [linkOf(10)]
      await site.receive(2000, 0.35)
      expect(site.scheduler.proposedRoles()).toBeNull()
      expect(site.scheduler.state().plannedTokens).toBeGreaterThan(1000)
    }
  })

  it('raises the threshold within seconds when the link drops to a tenth, and lowers it when it is back', async () => {
    const site = new Site({ members: caseStudy() })
    site.links = [linkOf(20)]
    await site.receive(2000, 0.25)
    const before = site.scheduler.thresholdTokens
    const planned = site.scheduler.state().plannedTokens
    site.links = [linkOf(2)]
    await site.pass(6)
    expect(site.scheduler.thresholdTokens).toBeGreaterThan(1.5 * before)
    expect(site.scheduler.state().plannedTokens).toBeGreaterThan(1.5 * planned)
    site.links = [linkOf(20)]
    await site.pass(6)
    expect(site.scheduler.thresholdTokens / before).toBeCloseTo(1, 1)
    expect(site.scheduler.state().plannedTokens / planned).toBeCloseTo(1, 1)
  })

  it('plans anew when engines elsewhere become slower, and when twice as many prompts are known', async () => {
    const site = new Site({ members: caseStudy() })
    await site.receive(60, 0.25)
    const early = site.scheduler.state().plannedTokens
    await site.receive(10, 0.25)
    const planned = site.scheduler.state().plannedTokens
    expect(planned).not.toBe(early)
    const prefill = { ...H200, secondsPerToken: 3 * H200.secondsPerToken }
    site.members = site.members.map((one) =>
      one.datacentre === 'far' ? { ...one, telemetry: { ...NO_TELEMETRY, prefill } } : one,
    )
    await site.pass(6)
    expect(site.scheduler.state().plannedTokens).toBeGreaterThan(1.2 * planned)
  })

  it('follows a real link through what is measured of it: slow within ten seconds of traffic', async () => {
    const site = new Site({ members: caseStudy() })
    const measures = new LinkMeasures(site.alarm)
    site.measured = measures
    const carry = async (gbps: number, seconds: number): Promise<void> => {
      const bytes = 16e6
      for (const end = site.alarm.seconds() + seconds; site.alarm.seconds() < end; ) {
        const took = bytes / bytesPerSecondFromGbps(gbps)
        await site.pass(took)
        measures.transferred('far', bytes, took)
        await site.pass(3 * took)
      }
    }
    await carry(20, 10)
    await site.receive(1000, 0.25)
    await carry(20, 10)
    const before = site.scheduler.thresholdTokens
    await carry(2, 16)
    expect(site.scheduler.thresholdTokens).toBeGreaterThan(1.5 * before)
    await carry(20, 16)
    expect(site.scheduler.thresholdTokens).toBeLessThan(1.2 * before)
  })

  it('does not flutter with a link that is measured now higher and now lower, nor around the bounds of a regime', async () => {
    const site = new Site({ members: caseStudy() })
    site.links = [linkOf(20)]
    await site.receive(5000, 0.25)
    const { plannedTokens, decisions, regime } = site.scheduler.state()
    for (let k = 0; k < 280; k++) {
      const isHigh = k % 2 === 0
      site.links = [linkOf(isHigh ? 22 : 18, { utilisation: isHigh ? 0.66 : 0.44 })]
      await site.pass(1)
      if (k % 4 === 0) site.receiveOne()
      expect(Math.abs(site.scheduler.thresholdTokens / plannedTokens - 1)).toBeLessThan(0.1)
    }
    expect(site.scheduler.state().decisions.length - decisions.length).toBeLessThanOrEqual(1)
    expect(site.scheduler.state().regime).toBe(regime)
  })

  it('answers to queues and to a full link as policy says, and says so', async () => {
    const site = new Site({ members: caseStudy() })
    site.links = [linkOf(100, { rttSeconds: 0 })]
    await site.receive(200, 0.25)
    const quiet = site.scheduler.state()
    expect(quiet.thresholdTokens).toBe(quiet.plannedTokens)
    site.prefill = { ...H20, waitSeconds: 10 }
    await site.pass(1)
    const localQueue = site.scheduler.state()
    expect(localQueue.thresholdTokens).toBeLessThan(0.7 * quiet.thresholdTokens)
    expect(localQueue.why).toMatch(
      /; lowered from .* tokens: the link is 10 % used, a prompt waits 0 ms there and 10 s here\.$/,
    )
    site.prefill = H20
    site.links = [linkOf(100, { rttSeconds: 0, utilisation: 1 })]
    await site.pass(1)
    const full = site.scheduler.state()
    expect(full.thresholdTokens / full.plannedTokens).toBeCloseTo(DEFAULT_THRESHOLD_CONTROL.egressFoldMax, 6)
    expect(full.regime).toBe('bandwidth-scarce')
    expect(full.decisions.at(-1)?.text).toMatch(/^bandwidth-scarce: .*; raised from .* the link is 100 % used/)
    site.links = [linkOf(100, { rttSeconds: 0 })]
    await site.pass(1)
    expect(site.scheduler.thresholdTokens).toBe(quiet.thresholdTokens)
  })

  it('takes a link that nobody has measured for a fast one, so that a prompt measures it', async () => {
    const site = new Site({ members: caseStudy() })
    site.links = []
    await site.pass(1)
    expect(site.scheduler.isRemote({ promptTokens: 100_000, remoteCachedTokens: 0, localCachedTokens: 0 })).toBe(true)
    expect(site.scheduler.state().why).toContain('far (not measured yet) carries 4 Gbps')
  })

  it('compares one prompt here and there until enough prompts have come', async () => {
    const site = new Site({ members: caseStudy() })
    site.links = [linkOf(4)]
    await site.receive(31, 1)
    site.scheduler.look()
    const { thresholdTokens, why } = site.scheduler.state()
    const kvSeconds = (tokens: number): number =>
      (MODEL.kv.fixedBytes + MODEL.kv.bytesPerToken * tokens) / bytesPerSecondFromGbps(4) + LINK.rttSeconds
    const sooner = (tokens: number): number =>
      prefillSecondsOf(H20, tokens) - prefillSecondsOf(H200, tokens) - kvSeconds(tokens)
    expect(sooner(thresholdTokens)).toBeLessThanOrEqual(0)
    expect(sooner(thresholdTokens + 2)).toBeGreaterThan(0)
    expect(why).toContain('31 of 32 were seen')
    site.receiveOne()
    site.scheduler.look()
    expect(site.scheduler.state().why).not.toContain('were seen')
  })

  it('sends more to other datacentres the faster their nodes are, counting each as fast as it is', async () => {
    const thresholds: number[] = []
    const slow: PrefillReport = { ...H200, secondsPerToken: 10 * H200.secondsPerToken }
    for (const fast of [0, 1, 2, 4]) {
      const members = caseStudy().map((one, k): Member => {
        const prefill = k < 12 - fast ? slow : H200
        return one.datacentre === 'far' ? { ...one, telemetry: { ...NO_TELEMETRY, prefill } } : one
      })
      const site = new Site({ members })
      await site.receive(1000, 0.1)
      thresholds.push(site.scheduler.state().plannedTokens)
    }
    expect(thresholds).toEqual(thresholds.toSorted((a, b) => b - a))
    expect(new Set(thresholds).size).toBe(4)
  })

  it('keeps every prompt where nobody elsewhere can compute it, and says why', async () => {
    const far = caseStudy().filter(({ datacentre }) => datacentre === 'far')
    const near = caseStudy().filter(({ datacentre }) => datacentre === 'near')
    const others: readonly (readonly [Member[], string])[] = [
      [[], 'no node of another datacentre computes for others'],
      [far.map((one): Member => ({ ...one, state: 'suspect' })), 'no node of another datacentre computes for others'],
      [far.map((one): Member => ({ ...one, isDraining: true })), 'no node of another datacentre computes for others'],
      [far.map((one): Member => ({ ...one, roles: ['store'] })), 'no node of another datacentre computes for others'],
      [
        far.map((one): Member => ({ ...one, telemetry: { ...NO_TELEMETRY, prefill: { ...H200, model: 'other' } } })),
        'of 4 nodes in other datacentres that compute for others, none has an engine for hybrid',
      ],
    ]
    const site = new Site({ members: caseStudy() })
    await site.receive(100, 1)
    for (const [members, why] of others) {
      site.members = [...near, ...members]
      await site.pass(1)
      expect(site.scheduler.thresholdTokens).toBe(Infinity)
      expect(site.scheduler.isRemote({ promptTokens: 1e9, remoteCachedTokens: 0, localCachedTokens: 0 })).toBe(false)
      expect(site.scheduler.state()).toMatchObject({ thresholdTokens: MODEL.promptTokensMax })
      expect(site.scheduler.state().why).toContain(why)
    }
    site.members = caseStudy()
    site.links = [linkOf(100, { lossRatio: 0.75 })]
    await site.pass(1)
    expect(site.scheduler.state().why).toContain('link to far is taken for dead: 75 % of the last probes failed')
    site.links = [LINK]
    await site.pass(1)
    expect(site.scheduler.thresholdTokens).toBeLessThan(MODEL.promptTokensMax)
  })

  it('sends every prompt away where nobody here computes', async () => {
    const members = caseStudy().map(
      (one): Member => (one.datacentre === 'near' ? { ...one, telemetry: NO_TELEMETRY } : one),
    )
    const site = new Site({ members })
    site.prefill = null
    await site.pass(1)
    expect(site.scheduler.isRemote({ promptTokens: 2, remoteCachedTokens: 0, localCachedTokens: 1 })).toBe(true)
    expect(site.scheduler.state().why).toContain('no node here prefills with hybrid')
  })

  it('goes on routing with a plan that cannot be made, says why, and with numbers that no engine has', async () => {
    const site = new Site({ members: caseStudy() })
    site.decode = { ...DECODE, kvTokensMax: 10 }
    await site.receive(100, 1)
    expect(site.scheduler.state().why).toContain('no new plan: Decode profile: kvTokensMax is 10 tokens')
    site.decode = null
    for (const value of [0, 1e-300, 1e300]) {
      const prefill = { ...H200, callSeconds: value, secondsPerToken: value, secondsPerPair: value, waitSeconds: value }
      site.members = caseStudy().map((one) =>
        one.datacentre === 'far' ? { ...one, telemetry: { ...NO_TELEMETRY, prefill } } : one,
      )
      site.links = [linkOf(1, { bytesPerSecond: value, rttSeconds: value })]
      await site.receive(100, 1)
      expect(site.scheduler.state().why).not.toContain('no new plan')
      expect(Number.isFinite(site.scheduler.state().thresholdTokens)).toBe(true)
    }
  })

  it('ignores what is no length of a prompt, and refuses a model whose KV is not known', async () => {
    const site = new Site({ members: caseStudy() })
    const lengths = [Number.NaN, 0, -1, Infinity]
    for (let k = 0; k < 64; k++) site.scheduler.seen(lengths[k % lengths.length] ?? 0, 0)
    await site.pass(5)
    expect(site.scheduler.state().why).toContain('0 of 32 were seen')
    for (const model of [
      { ...MODEL, promptTokensMax: 0 },
      { ...MODEL, kv: { fixedBytes: 0, bytesPerToken: 0 } },
    ])
      expect(() => new LiveScheduler({ ...site.options, model })).toThrow('cannot be routed')
  })

  it('remembers its last decisions in finite numbers, and leaves no alarm behind when it is closed', async () => {
    const site = new Site({ members: caseStudy() })
    for (let k = 0; k < 100; k++) {
      site.links = k % 2 === 0 ? [LINK] : [linkOf(100, { lossRatio: 1 })]
      await site.pass(1)
    }
    const state = site.scheduler.state()
    expect(state.decisions.length).toBe(LIMITS.routingEventsKept)
    expect(state.decisions.at(-1)?.atMs).toBeGreaterThan(98_000)
    expect(JSON.parse(JSON.stringify(state))).toEqual(state)
    site.scheduler.close()
    expect(site.alarm.pending).toBe(0)
  })
})
