import { describe, expect, test } from 'vitest'
import { NO_TELEMETRY } from '../../src/cluster/member.ts'
import { seededRandom } from '../../src/core/random.ts'
import { runs } from '../effort.ts'
import { CALM } from './cluster-network.ts'
import { GossipWorld } from './gossip-world.ts'

const DETECTED_SECONDS = 3

async function three(seed: number): Promise<GossipWorld> {
  const world = new GossipWorld(seed)
  world.start('a', [])
  world.start('b', ['a'])
  world.start('c', ['b'])
  expect(await world.until(() => world.isWhole(), 5)).not.toBeNull()
  // Rounds of different nodes fall anywhere between each other.
  await world.pass(1 + 2 * world.random())
  return world
}

describe('three nodes', () => {
  test('that a killed, hung or parted node is gone after three seconds, whenever it falls silent', async () => {
    let worst = 0
    for (let seed = 1; seed <= runs(60, 2000); seed++) {
      const world = await three(seed)
      const how = ['killed', 'hung', 'parted'][seed % 3]
      if (how === 'killed') await world.kill('c')
      if (how === 'hung') world.hang('c')
      if (how === 'parted') world.network.isParted = (from, to) => (from === 'c:1') !== (to === 'c:1')
      const isSeen = () => ['a', 'b'].every((seer) => world.stateOf(seer, 'c') === 'gone')
      const seconds = await world.until(isSeen, 10)
      expect(seconds, `seed ${seed}: ${how}`).not.toBeNull()
      worst = Math.max(worst, seconds ?? Infinity)
      expect(world.stateOf('a', 'b'), `seed ${seed}`).toBe('alive')
      expect(world.stateOf('b', 'a'), `seed ${seed}`).toBe('alive')
    }
    expect(worst).toBeLessThanOrEqual(DETECTED_SECONDS)
    expect(worst).toBeGreaterThan(1)
  })

  test('one of which stands still for a second, again and again, lose nobody', async () => {
    for (let seed = 1; seed <= runs(20, 500); seed++) {
      const world = await three(seed)
      let removed = 0
      for (const { membership } of world.nodes.values())
        membership.watch(({ member }) => {
          if (member.state === 'gone') removed += 1
        })
      for (let round = 0; round < 20; round++) {
        const name = ['a', 'b', 'c'][Math.floor(3 * world.random())] ?? 'a'
        world.hang(name)
        await world.pass(world.random())
        world.continue(name)
        // Time to answer: without it, several stops are one long one.
        await world.pass(0.5 + world.random())
      }
      expect(removed, `seed ${seed}`).toBe(0)
    }
  })

  test('whose answers take up to 0.7 s each way together lose nobody', async () => {
    const world = await three(7)
    world.network.faults = { ...CALM, delaySecondsMin: 0.02, delaySecondsMax: 0.35 }
    await world.pass(120)
    for (const { membership } of world.nodes.values()) expect(membership.stats().removed).toBe(0)
  })

  test('see a node that was killed and started again as a new incarnation, also when its clock was set back', async () => {
    const world = await three(5)
    const before = world.get('a').membership.member('c')?.incarnation ?? 0
    await world.kill('c')
    await world.until(() => world.stateOf('a', 'c') === 'gone', 10)
    world.start('c', ['a'], { incarnation: 17, startedMs: 17 })
    expect(await world.until(() => world.isWhole(), 5)).not.toBeNull()
    expect(world.get('b').membership.member('c')?.incarnation).toBeGreaterThan(before)
  })

  test('hear of a goodbye at once', async () => {
    const world = await three(6)
    await world.alarm.run(world.get('c').membership.leave())
    expect([world.stateOf('a', 'c'), world.stateOf('b', 'c')]).toEqual(['left', 'left'])
  })

  test('learn what a node reports of itself within two seconds', async () => {
    const world = await three(8)
    world.get('c').membership.report({ isDraining: true, telemetry: { ...NO_TELEMETRY, fragments: 12 } })
    const isKnown = () =>
      ['a', 'b'].every((seer) => {
        const seen = world.get(seer).membership.member('c')
        return seen?.isDraining === true && seen.telemetry.fragments === 12
      })
    expect(await world.until(isKnown, 2)).not.toBeNull()
  })

  test('send as much whatever they hold', async () => {
    const bytesOf = async (fragments: number): Promise<number> => {
      const world = await three(9)
      const before = world.network.bytes
      for (let second = 0; second < 30; second++) {
        for (const { membership } of world.nodes.values())
          membership.report({ telemetry: { ...NO_TELEMETRY, fragments: fragments + second } })
        await world.pass(1)
      }
      return (world.network.bytes - before) / 30 / 3
    }
    const few = await bytesOf(10)
    const many = await bytesOf(10_000_000)
    expect(many / few).toBeLessThan(1.1)
    expect(many).toBeLessThan(20_000)
  })

  test('of which one has the name of another: the later one stays, the earlier one leaves', async () => {
    const world = await three(10)
    const first = world.get('c')
    world.network.add('elsewhere:1')
    await world.pass(1)
    const second = world.start('d', ['a'], { node: 'c', address: 'd:1' })
    expect(await world.until(() => first.membership.self.state === 'left', 10)).not.toBeNull()
    expect(second.membership.self.state).toBe('alive')
    expect(world.get('a').membership.member('c')?.address).toBe('d:1')
  })
})

describe('a node alone', () => {
  test('sets no alarm and sends nothing', async () => {
    const world = new GossipWorld(1)
    world.start('a', [])
    expect(world.alarm.pending).toBe(0)
    expect(world.network.messages).toBe(0)
  })

  test('asks its seed until that is there', async () => {
    const world = new GossipWorld(2)
    world.start('b', ['a'])
    await world.pass(60)
    world.start('a', [])
    expect(await world.until(() => world.isWhole(), 25)).not.toBeNull()
  })
})

describe('a cluster', () => {
  test('of thirty finds itself through any one node, and a dead one in time', async () => {
    const world = new GossipWorld(3)
    world.start('n0', [])
    for (let index = 1; index < 30; index++) world.start(`n${index}`, [`n${Math.floor(world.random() * index)}`])
    expect(await world.until(() => world.isWhole(), 20)).not.toBeNull()
    await world.kill('n7')
    const isSeen = () => world.living().every(({ name }) => world.stateOf(name, 'n7') === 'gone')
    expect(await world.until(isSeen, 10)).not.toBeNull()
  })

  test('in any trouble agrees again after it, and forgets nobody who lives', async () => {
    for (let seed = 1; seed <= runs(25, 1000); seed++) {
      const world = new GossipWorld(seed)
      const random = seededRandom(seed * 7919)
      const names = Array.from({ length: 3 + Math.floor(4 * random()) }, (_, index) => `n${index}`)
      for (const [index, name] of names.entries()) world.start(name, index === 0 ? [] : ['n0'])
      await world.until(() => world.isWhole(), 10)
      world.network.faults = {
        dropRatio: 0.2 * random(),
        duplicateRatio: 0.1,
        corruptRatio: 0.05,
        delaySecondsMin: 0.001,
        delaySecondsMax: 0.3 * random() + 0.002,
      }
      for (let step = 0; step < 12; step++) {
        await trouble(world, names, random)
        await world.pass(3 * random())
      }
      world.network.isParted = () => false
      world.network.faults = CALM
      for (const name of names) {
        const node = world.get(name)
        if (node.isDown) world.start(name, ['n0', 'n1'])
        else if (node.network.state === 'hung') world.continue(name)
      }
      const seconds = await world.until(() => world.isWhole(), 90)
      expect(seconds, `seed ${seed}`).not.toBeNull()
      // Calm again: nobody sends more than probes and now and then an exchange.
      await world.pass(10)
      const before = world.network.messages
      await world.pass(10)
      const perNode = (world.network.messages - before) / 10 / names.length
      expect(perNode, `seed ${seed}`).toBeLessThan(2 * (names.length - 1) * (1 / world.times.heartbeatSeconds) * 2 + 2)
      for (const { membership } of world.living()) expect(membership.members().length).toBeLessThanOrEqual(names.length)
    }
  }, 600_000)
})

async function trouble(world: GossipWorld, names: readonly string[], random: () => number): Promise<void> {
  const name = names[Math.floor(random() * names.length)] ?? 'n0'
  const node = world.get(name)
  switch (Math.floor(random() * 7)) {
    case 0:
      if (!node.isDown) await world.kill(name)
      return
    case 1:
      if (node.isDown) world.start(name, ['n0', 'n1'])
      return
    case 2:
      if (!node.isDown) world.hang(name)
      return
    case 3:
      if (!node.isDown && node.network.state === 'hung') world.continue(name)
      return
    case 4: {
      const half = new Set(names.filter(() => random() < 0.5).map((one) => `${one}:1`))
      world.network.isParted = (from, to) => half.has(from) !== half.has(to)
      return
    }
    case 5: {
      const [from, to] = [`${name}:1`, `${names[Math.floor(random() * names.length)]}:1`]
      world.network.isParted = (one, other) => one === from && other === to
      return
    }
    default:
      world.network.isParted = () => false
  }
}
