import { expect, test } from 'vitest'
import { GossipWorld } from '../../test/faults/gossip-world.ts'
import { peerMessage } from '../cluster/peer-calls.ts'
import { DEFAULT_TENANT } from '../core/ids.ts'
import { ClusterLinks } from './cluster-links.ts'
import { ClusterRouting } from './cluster-routing.ts'

async function opened() {
  const world = new GossipWorld(1)
  const node = world.start('a', [], { roles: ['store', 'prefill', 'decode'] })
  const other = world.start('b', ['a'], { datacentre: 'west' })
  expect(await world.until(() => world.isWhole(), 5)).not.toBeNull()
  const { membership, network } = node
  const clock = { nowMs: () => world.nowMs() }
  const links = new ClusterLinks({ membership, alarm: world.alarm, stopwatch: world.alarm })
  const calls = world.network.callsOf(network.address)
  const routing = new ClusterRouting({
    membership,
    calls,
    handlers: network.handlers,
    links,
    alarm: world.alarm,
    stopwatch: world.alarm,
    clock,
    requestsMax: 4,
  })
  return { world, membership, network, routing, other }
}

test('a node that is told to takes one role in place of the other, and keeps what else it does', async () => {
  const { world, membership, network, other } = await opened()
  const caller = { tenant: DEFAULT_TENANT }
  await network.handlers.answer(peerMessage('take-role', { role: 'decode' }), caller)
  expect(membership.self.roles).toEqual(['store', 'decode'])
  await network.handlers.answer(peerMessage('take-role', { role: 'prefill' }), caller)
  expect(membership.self.roles).toEqual(['store', 'prefill'])
  await world.until(() => other.membership.member('a')?.roles.join() === 'store,prefill', 10)
  expect(other.membership.member('a')?.roles).toEqual(['store', 'prefill'])
  await expect(async () =>
    network.handlers.answer(peerMessage('take-role', { role: 'king' }), caller),
  ).rejects.toMatchObject({
    code: 'INVALID_REQUEST',
  })
})

test('without an engine nothing is known, and nothing is forbidden', async () => {
  const { routing } = await opened()
  expect(routing.state()).toBeNull()
  expect(routing.isRemote(1000, 1000)).toBe(true)
  // What comes before the engine is open is not counted.
  routing.seen(100, 100)
  routing.answered(10, 20)
  routing.close()
})
