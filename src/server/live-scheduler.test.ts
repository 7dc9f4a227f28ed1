import { describe, expect, it } from 'vitest'
import { VirtualAlarm } from '../../test/faults/virtual-alarm.ts'
import { type LinkReport, type Member, type MemberRole, NO_TELEMETRY, type PrefillReport } from '../cluster/member.ts'
import { bytesFromMib, bytesPerSecondFromGbps } from '../core/units.ts'
import { seededRandom } from '../core/random.ts'
import { logNormalLengths } from '../planner/log-normal.ts'
import { sampleLength } from '../planner/lengths.ts'
import type { DecodeProfile } from '../planner/decode.ts'
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
const LENGTHS = logNormalLengths({ mu: 9.9, sigma: 1, minTokens: 128, maxTokens: 131_072 })

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
  prefill = H20
  decode: DecodeProfile | null = null
  readonly scheduler: LiveScheduler

  constructor({ members, changeRoles }: { members: Member[]; changeRoles?: LiveSchedulerOptions['changeRoles'] }) {
    this.members = members
    const [self] = members
    if (self === undefined) throw new Error('A site has a node.')
    this.scheduler = new LiveScheduler({
      model: MODEL,
      senses: {
        membership: { self, members: () => this.members },
        prefill: () => this.prefill,
        links: () => this.links,
        waitingBytes: () => 0,
        decode: () => this.decode,
      },
      clock: { nowMs: () => 1000 * this.alarm.seconds() },
      stopwatch: this.alarm,
      alarm: this.alarm,
      changeRoles,
    })
    this.scheduler.start()
  }

  /** Prompts of the case study, evenly spread. */
  async receive(prompts: number, rateRps: number): Promise<void> {
    for (let k = 0; k < prompts; k++) {
      await this.pass(1 / rateRps)
      const tokens = sampleLength(LENGTHS, this.random)
      this.scheduler.seen(tokens, tokens)
    }
  }

  pass(seconds: number): Promise<void> {
    return this.alarm.run(this.alarm.wait(seconds))
  }
}

function caseStudy(locals: readonly MemberRole[] = ['prefill', 'decode']): Member[] {
  return [
    ...Array.from({ length: 3 }, (_, k) => member(`near-${k}`, 'near', locals, H20)),
    ...Array.from({ length: 4 }, (_, k) => member(`far-${k}`, 'far', ['prefill'], H200)),
  ]
}

describe('a scheduler in a node', () => {
  it('probe', async () => {
    const site = new Site({ members: caseStudy() })
    await site.pass(1)
    console.log(site.scheduler.state())
    const t0 = performance.now()
    await site.receive(1000, 0.8)
    console.log(performance.now() - t0, site.scheduler.state())
    site.links = [{ ...LINK, bytesPerSecond: LINK.bytesPerSecond / 100 }]
    await site.pass(10)
    console.log(site.scheduler.state())
  })
})
