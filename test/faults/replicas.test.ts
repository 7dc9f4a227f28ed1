import { describe, expect, test } from 'vitest'
import { parseTenantId } from '../../src/core/ids.ts'
import { runs } from '../effort.ts'
import { CALM } from './cluster-network.ts'
import { fragmentOf, ReplicaWorld } from './replica-world.ts'

const RED = parseTenantId('red')
const BLUE = parseTenantId('blue')
/** From the death of a node to copies of all that it had: to notice it, to look at everything, to fetch it. */
const RESTORED_SECONDS = 10
/** After all is calm: offers that failed are made again each second, and what was refused is looked at each half minute. */
const HEALED_SECONDS = 60
const SEEDS = runs(25, 3000)

async function worldOf(seed: number, names: readonly string[], copies = 2): Promise<ReplicaWorld> {
  const world = new ReplicaWorld(seed)
  world.copies = copies
  for (const name of names) world.open(name, name === 'a' ? [] : ['a'])
  expect(await world.until(() => world.isWhole(), 5)).not.toBeNull()
  await world.pass(2)
  return world
}

const nameOf = (number: number, tenant = RED): string => `${tenant}/${fragmentOf(tenant, number).key}`

describe('three nodes with two copies', () => {
  test('copy what is put within a second, once', async () => {
    const world = await worldOf(1, ['a', 'b', 'c'])
    for (let number = 0; number < 100; number++) world.at('a').own.put(fragmentOf(RED, number))
    await world.pass(1)
    for (let number = 0; number < 100; number++) expect(world.holders(nameOf(number))).toHaveLength(2)
    await world.pass(120)
    for (let number = 0; number < 100; number++) expect(world.holders(nameOf(number))).toHaveLength(2)
    const { sent, failed, short } = world.at('a').replicator.stats()
    expect({ sent, failed, short }).toEqual({ sent: 100, failed: 0, short: 0 })
    const replicas = ['a', 'b', 'c'].map((name) => world.at(name).replicator.stats().replicas)
    expect([replicas[0], replicas.reduce((sum, count) => sum + count, 0)]).toEqual([0, 100])
  })

  test('keep fragments of one group together', async () => {
    const world = await worldOf(2, ['a', 'b', 'c', 'd', 'e'])
    for (let number = 0; number < 70; number++) world.at('a').own.put(fragmentOf(RED, number))
    await world.pass(1)
    for (let group = 0; group < 7; group++) {
      const places = new Set(Array.from({ length: 10 }, (_, index) => world.holders(nameOf(group + 7 * index)).join()))
      expect(places.size).toBe(1)
    }
  })

  test('restore the copies that a dead node had', async () => {
    const world = await worldOf(3, ['a', 'b', 'c'])
    for (let number = 0; number < 300; number++)
      world.at(['a', 'b', 'c'][number % 3] ?? 'a').own.put(fragmentOf(RED, number))
    await world.pass(2)
    await world.crash('b')
    const isWhole = () =>
      Array.from({ length: 300 }, (_, number) => world.holders(nameOf(number))).every(({ length }) => length === 2)
    const seconds = await world.until(isWhole, 60)
    expect(seconds).not.toBeNull()
    expect(seconds).toBeLessThan(RESTORED_SECONDS)
  })

  test('give one that comes back without its disk its copies again only as they are needed', async () => {
    const world = await worldOf(4, ['a', 'b', 'c'])
    for (let number = 0; number < 60; number++) world.at('a').own.put(fragmentOf(RED, number))
    await world.pass(2)
    await world.crash('b')
    world.open('b', ['a'])
    await world.pass(HEALED_SECONDS)
    for (let number = 0; number < 60; number++) expect(world.holders(nameOf(number)).length).toBeGreaterThanOrEqual(2)
  })

  test('move what only a leaving node has before it leaves', async () => {
    const world = await worldOf(5, ['a', 'b', 'c'], 1)
    for (let number = 0; number < 50; number++) world.at('a').own.put(fragmentOf(RED, number))
    await world.pass(2)
    for (let number = 0; number < 50; number++) expect(world.holders(nameOf(number))).toEqual(['a'])
    world.get('a').membership.report({ isDraining: true })
    expect(await world.alarm.run(world.at('a').replicator.drain(20))).toBe(0)
    await world.crash('a')
    for (let number = 0; number < 50; number++) expect(world.holders(nameOf(number))).toHaveLength(1)
  })

  test('say how much a leaving node could not move', async () => {
    const world = await worldOf(6, ['a', 'b'], 1)
    world.at('b').own.fragmentsMax = 20
    for (let number = 0; number < 50; number++) world.at('a').own.put(fragmentOf(RED, number))
    await world.pass(1)
    world.get('a').membership.report({ isDraining: true })
    expect(await world.alarm.run(world.at('a').replicator.drain(5))).toBe(30)
  })

  test('do not push back what a full node has evicted', async () => {
    const world = await worldOf(7, ['a', 'b'])
    for (let number = 0; number < 10; number++) world.at('a').own.put(fragmentOf(RED, number))
    await world.pass(1)
    world.at('b').own.evict(RED, fragmentOf(RED, 3).key)
    world.at('a').replicator.noticeMissing(RED, fragmentOf(RED, 3).key, 'b')
    await world.pass(300)
    expect(world.holders(nameOf(3))).toEqual(['a'])
    expect(world.at('a').replicator.stats().refused).toBe(1)
  })

  test('repair a copy that a reader found missing', async () => {
    const world = await worldOf(8, ['a', 'b', 'c'])
    world.at('a').own.put(fragmentOf(RED, 1))
    await world.pass(1)
    const [, holder = ''] = world.holders(nameOf(1))
    // Damaged, and dropped, without a word.
    world.at(holder).own.disk.delete(nameOf(1))
    world.at('a').replicator.noticeMissing(RED, fragmentOf(RED, 1).key, holder)
    await world.pass(2)
    expect(world.holders(nameOf(1))).toHaveLength(2)
  })

  test('do not bring back what was removed while it was on its way', async () => {
    const world = await worldOf(9, ['a', 'b'])
    world.network.faults = { ...CALM, delaySecondsMin: 0.2, delaySecondsMax: 0.2 }
    world.at('a').own.put(fragmentOf(RED, 1))
    await world.pass(0.3)
    world.at('a').own.evict(RED, fragmentOf(RED, 1).key)
    world.at('b').replicator.forget(RED, fragmentOf(RED, 1).key)
    await world.pass(3)
    expect(world.holders(nameOf(1))).toEqual([])
  })
})

describe('over a faulty network, whatever nodes do', () => {
  test(`every fragment that a living node has is on two of them ${HEALED_SECONDS} s after all is calm, and with its tenant only`, {
    timeout: runs(60_000, 3_600_000),
  }, async () => {
    for (let seed = 1; seed <= SEEDS; seed++) await faultyRun(seed)
  })
})

async function faultyRun(seed: number): Promise<void> {
  const names = ['a', 'b', 'c', 'd', 'e', 'f'].slice(0, 3 + (seed % 4))
  const world = await worldOf(seed, names, 2 + (seed % 2))
  const { random } = world
  const others = (name: string): readonly string[] => names.filter((other) => other !== name)
  world.network.faults = {
    dropRatio: 0.1 * random(),
    duplicateRatio: 0.2 * random(),
    corruptRatio: 0.05 * random(),
    delaySecondsMin: 0.001,
    delaySecondsMax: 0.001 + 0.3 * random(),
  }
  let next = 0
  for (let step = 0; step < 40; step++) {
    const name = names[Math.floor(names.length * random())] ?? 'a'
    const dice = random()
    const isDown = world.get(name).isDown
    if (isDown && dice < 0.6) world.open(name, others(name), dice < 0.4 ? world.at(name).own.disk : new Map())
    else if (!isDown && dice < 0.05) await world.crash(name)
    else if (dice < 0.1) {
      const parted = `${name}:1`
      world.network.isParted =
        dice < 0.07 ? (from, to) => (from === parted) !== (to === parted) : (from) => from === parted
    } else if (dice < 0.15) world.network.isParted = () => false
    else if (!isDown)
      for (let count = 0; count < 5; count++) {
        world.at(name).own.put(fragmentOf(next % 2 === 0 ? RED : BLUE, next))
        next += 1
      }
    await world.pass(random() < 0.1 ? 4 : 0.5 * random())
  }
  world.network.faults = CALM
  world.network.isParted = () => false
  for (const name of names) if (world.get(name).isDown) world.open(name, others(name), world.at(name).own.disk)
  expect(await world.until(() => world.isWhole(), 60), `seed ${seed}`).not.toBeNull()
  await world.pass(HEALED_SECONDS)
  for (let number = 0; number < next; number++) {
    const [tenant, other] = number % 2 === 0 ? [RED, BLUE] : [BLUE, RED]
    const holders = world.holders(nameOf(number, tenant))
    if (holders.length > 0)
      expect(holders.length, `seed ${seed}: fragment ${number}`).toBeGreaterThanOrEqual(
        Math.min(world.copies, names.length),
      )
    expect(world.holders(nameOf(number, other)), `seed ${seed}`).toEqual([])
  }
  for (const name of names) {
    expect(world.at(name).replicator.stats().waiting, `seed ${seed}`).toBe(0)
    await world.crash(name)
  }
  await world.pass(120)
  expect(world.alarm.pending, `seed ${seed}`).toBe(0)
}
