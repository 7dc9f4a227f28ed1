import { describe, expect, it } from 'vitest'
import { type LinkReport, type Member, type MemberRole, NO_TELEMETRY, type PrefillReport } from '../cluster/member.ts'
import { ASSUMED_RATES } from '../policy/measured-rates.ts'
import { type DeploymentQuestion, type LiveDeployment, liveDeployment } from './live-deployment.ts'

const ENGINE: PrefillReport = { model: 'm', callSeconds: 0, secondsPerToken: 1e-4, secondsPerPair: 0, waitSeconds: 1 }

function member(
  node: string,
  {
    datacentre = 'here',
    roles = ['prefill'],
    links = [],
  }: { datacentre?: string; roles?: readonly MemberRole[]; links?: readonly LinkReport[] } = {},
): Member {
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
    telemetry: { ...NO_TELEMETRY, prefill: ENGINE, links },
    state: 'alive',
    sinceMs: 0,
  }
}

function link(datacentre: string, bytesPerSecond: number, change: Partial<LinkReport> = {}): LinkReport {
  return { datacentre, bytesPerSecond, rttSeconds: 0.02, lossRatio: 0, utilisation: 0, ...change }
}

function deployment(members: readonly Member[], change: Partial<DeploymentQuestion> = {}): LiveDeployment {
  const [self] = members
  if (self === undefined) throw new Error('There is a node.')
  return liveDeployment({ model: 'm', self, members, prefill: ENGINE, links: [], ...change })
}

describe('a deployment', () => {
  it('adds up what all nodes here use of a link: each sees only its own part', () => {
    const { sites } = deployment(
      [
        member('a'),
        member('b', { links: [link('far', 90, { utilisation: 0.3 })] }),
        member('c', { links: [link('other', 100, { utilisation: 1 })] }),
        member('x', { datacentre: 'far', links: [link('here', 100, { utilisation: 1 })] }),
      ],
      { links: [link('far', 100, { utilisation: 0.5 })] },
    )
    expect(sites).toEqual([
      {
        datacentre: 'far',
        nodes: [ENGINE],
        bytesPerSecond: 100,
        isMeasured: true,
        rttSeconds: 0.02,
        utilisation: 0.77,
      },
    ])
  })

  it('believes who uses a link most, where this node has not measured it, and assumes where nobody has', () => {
    const members = [
      member('a'),
      member('b', { links: [link('far', 90, { utilisation: 0.1 })] }),
      member('c', { links: [link('far', 40, { utilisation: 0.5, rttSeconds: 0.3 })] }),
      member('x', { datacentre: 'far' }),
      member('y', { datacentre: 'unknown' }),
    ]
    const [far, unknown] = deployment(members).sites
    expect(far).toMatchObject({ bytesPerSecond: 40, rttSeconds: 0.3, isMeasured: true })
    expect(far?.utilisation).toBeCloseTo((9 + 20) / 40, 9)
    const { bytesPerSecond } = ASSUMED_RATES.otherPlaces
    expect(unknown).toMatchObject({ datacentre: 'unknown', bytesPerSecond, isMeasured: false, utilisation: 0 })
  })

  it('leaves out a datacentre whose link is dead, and keeps the others', () => {
    const members = [member('a'), member('x', { datacentre: 'far' }), member('y', { datacentre: 'near' })]
    const links = [link('far', 100, { lossRatio: 0.5 }), link('near', 100, { lossRatio: 0.4 })]
    const { sites, whyAlone } = deployment(members, { links })
    expect(sites.map(({ datacentre }) => datacentre)).toEqual(['near'])
    expect(whyAlone).toBeNull()
  })

  it('takes a node with an engine and neither role for one that does both, and itself as it is now', () => {
    const members = [member('a', { roles: ['store'] }), member('b', { roles: ['decode'] }), member('c')]
    const own = { ...ENGINE, waitSeconds: 7 }
    const { locals, prefilling } = deployment(members, { prefill: own })
    expect(locals.map(({ isPrefill, isDecode }) => [isPrefill, isDecode])).toEqual([
      [true, true],
      [false, true],
      [true, false],
    ])
    expect(prefilling).toEqual([own, ENGINE])
  })
})
