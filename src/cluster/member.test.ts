import { describe, expect, test } from 'vitest'
import { memberFacts, type MemberFacts, NO_TELEMETRY, seenMember } from './member.ts'

const FACTS: MemberFacts = {
  node: 'a',
  incarnation: 3,
  sequence: 1,
  address: '10.0.0.1:8080',
  datacentre: 'dc-1',
  roles: ['store', 'prefill'],
  version: '0.1.0',
  format: 1,
  capacityBytes: null,
  startedMs: 12,
  isDraining: false,
  telemetry: {
    ...NO_TELEMETRY,
    prefill: { model: 'm', callSeconds: 0.1, secondsPerToken: 1e-3, secondsPerPair: 0, waitSeconds: 2 },
    links: [{ datacentre: 'dc-2', bytesPerSecond: 1e9, rttSeconds: 0.04, lossRatio: 0, utilisation: 0.5 }],
  },
}

describe('facts of a member', () => {
  test('are read as they were written, and what a newer version adds is passed over', () => {
    const written = JSON.parse(
      JSON.stringify({ ...FACTS, shoeSize: 44, telemetry: { ...FACTS.telemetry, mood: 'good' } }),
    )
    expect(memberFacts(written)).toEqual(FACTS)
  })

  test('with a role that is not known here keep the others', () => {
    expect(memberFacts({ ...FACTS, roles: ['store', 'poet'] }).roles).toEqual(['store'])
  })

  test('with a newer format are read: its node still answers the older one', () => {
    expect(memberFacts({ ...FACTS, format: 9 }).format).toBe(9)
  })

  test.each([
    ['an address of every interface', { address: '0.0.0.0:8080' }],
    ['an address of every interface of version 6', { address: '[::]:8080' }],
    ['an address without a port', { address: 'host' }],
    ['an address with a path', { address: 'host:80/x' }],
    ['a name with a slash', { node: 'a/b' }],
    ['a name that is a number', { node: 7 }],
    ['a negative incarnation', { incarnation: -1 }],
    ['half an incarnation', { incarnation: 0.5 }],
    ['roles that are no list', { roles: 'store' }],
    ['telemetry of nothing', { telemetry: null }],
    ['a load beyond one', { telemetry: { ...NO_TELEMETRY, eventLoopRatio: 2 } }],
    [
      'a bandwidth that is no number',
      { telemetry: { ...NO_TELEMETRY, links: [{ datacentre: 'x', bytesPerSecond: null }] } },
    ],
    ['more links than there are', { telemetry: { ...NO_TELEMETRY, links: Array.from({ length: 65 }, () => ({})) } }],
  ])('with %s are refused', (_, change) => {
    expect(() => memberFacts({ ...FACTS, ...change })).toThrow(/needs|reached at|is 1 to 64/)
  })

  test('have one of four states', () => {
    expect(seenMember({ ...FACTS, state: 'suspect' }, 'x').state).toBe('suspect')
    expect(() => seenMember({ ...FACTS, state: 'asleep' }, 'x')).toThrow('one of alive, suspect, gone, left')
  })
})
