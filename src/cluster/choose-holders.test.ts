import { expect, test } from 'vitest'
import { chooseHolders } from './choose-holders.ts'
import { type Member, CLUSTER_FORMAT, NO_TELEMETRY } from './member.ts'

function member(node: string, changes: Partial<Member> = {}): Member {
  return {
    node,
    incarnation: 1,
    sequence: 0,
    address: `${node}:1`,
    datacentre: 'dc-1',
    roles: ['store'],
    version: '0.1.0',
    format: CLUSTER_FORMAT,
    capacityBytes: null,
    startedMs: 0,
    isDraining: false,
    telemetry: NO_TELEMETRY,
    state: 'alive',
    sinceMs: 0,
    ...changes,
  }
}

const self = member('self')
const chosen = (members: readonly Member[], held: Readonly<Record<string, readonly number[]>>) =>
  chooseHolders({
    members: [self, ...members],
    self,
    holdings: Object.entries(held).map(([node, tiers]) => ({ node, tiers: Uint8Array.from(tiers) })),
  }).map(({ member: { node }, start, end }) => [node, start, end])

test('the nearest holder of blocks is asked for them, and others for what it lacks', () => {
  const near = member('near')
  const far = member('far', { datacentre: 'dc-2' })
  expect(chosen([far, near], { far: [2, 2, 2, 2], near: [2, 2, 0, 0] })).toEqual([
    ['near', 0, 2],
    ['far', 2, 4],
  ])
})

test('of two as near, the one that is less busy', () => {
  const busy = member('busy', { telemetry: { ...NO_TELEMETRY, eventLoopRatio: 0.9 } })
  expect(chosen([busy, member('idle')], { busy: [1, 1], idle: [1, 1] })).toEqual([['idle', 0, 2]])
})

test('suspects and nodes that leave come after all others, the dead and strangers never, and never the node itself', () => {
  const members = [
    member('suspect', { state: 'suspect' }),
    member('leaving', { isDraining: true }),
    member('far', { datacentre: 'dc-2' }),
    member('gone', { state: 'gone' }),
    member('left', { state: 'left' }),
  ]
  const all = { self: [1], stranger: [1], gone: [1], left: [1], suspect: [1], leaving: [1], far: [1] }
  expect(chosen(members, all)).toEqual([['far', 0, 1]])
  expect(chosen(members.slice(0, 2), { suspect: [1], leaving: [1] })).toEqual([['leaving', 0, 1]])
  expect(chosen(members.slice(0, 1), { suspect: [1] })).toEqual([['suspect', 0, 1]])
})

test('of more than four, those with the leading blocks', () => {
  const members = Array.from({ length: 6 }, (_, index) => member(`n${index}`))
  const held = Object.fromEntries(
    members.map(({ node }, index) => [node, Array.from({ length: 6 }, (_, at) => (at === 5 - index ? 2 : 0))]),
  )
  expect(chosen(members, held)).toEqual([
    ['n5', 0, 1],
    ['n4', 1, 2],
    ['n3', 2, 3],
    ['n2', 3, 4],
  ])
})
