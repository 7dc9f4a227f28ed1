import { describe, expect, test } from 'vitest'
import { parseTenantId } from '../../src/core/ids.ts'
import { LIMITS } from '../../src/core/limits.ts'
import { runs } from '../effort.ts'
import { CALM } from './cluster-network.ts'
import { DirectoryWorld, nameOf, namesOf } from './directory-world.ts'

const RED = parseTenantId('red')
const BLUE = parseTenantId('blue')
/** Within this time of a calm network everything is told: one repair of those that come every 30 s, and its messages. */
const HEALED_SECONDS = 40
const SEEDS = runs(25, 3000)

async function worldOf(
  seed: number,
  nodes: readonly string[],
  datacentreOf: (name: string) => string = () => 'dc-1',
): Promise<DirectoryWorld> {
  const world = new DirectoryWorld(seed)
  for (const [index, name] of nodes.entries())
    world.open(name, index === 0 ? [] : ['a'], undefined, { datacentre: datacentreOf(name) })
  expect(await world.until(() => world.isWhole(), 5)).not.toBeNull()
  await world.pass(2)
  return world
}

describe('a directory of four nodes', () => {
  test('tells everyone who holds what within a moment, and that it is gone as soon', async () => {
    const world = await worldOf(1, ['a', 'b', 'c', 'd'])
    const numbers = Array.from({ length: 1000 }, (_, index) => index)
    world.at('b').held.add(RED, namesOf(numbers))
    world.at('c').held.add(RED, namesOf(numbers.slice(0, 10)))
    await world.pass(0.1)
    const found = await world.holders('d', RED, namesOf([0, 9, 10, 999, 1000]))
    expect(found).toEqual([['b', 'c'], ['b', 'c'], ['b'], ['b'], []])
    world.at('b').held.remove(RED, namesOf([0, 999]))
    await world.pass(0.1)
    expect(await world.holders('a', RED, namesOf([0, 9, 999]))).toEqual([['c'], ['b', 'c'], []])
  })

  test('keeps what several fragments hold until the last of them has left', async () => {
    const world = await worldOf(2, ['a', 'b', 'c', 'd'])
    const { held } = world.at('a')
    held.add(RED, nameOf(1))
    held.add(RED, nameOf(1))
    held.remove(RED, nameOf(1))
    await world.pass(0.1)
    expect(await world.holders('b', RED, nameOf(1))).toEqual([['a']])
    held.remove(RED, nameOf(1))
    await world.pass(0.1)
    expect(await world.holders('b', RED, nameOf(1))).toEqual([[]])
  })

  test('answers no tenant about what another one holds', async () => {
    const world = await worldOf(3, ['a', 'b', 'c', 'd'])
    world.at('a').held.add(RED, nameOf(1))
    await world.pass(0.1)
    expect(await world.holders('b', BLUE, nameOf(1))).toEqual([[]])
  })

  test('says nothing of a node that is gone, and still answers for the buckets that it kept', async () => {
    const world = await worldOf(4, ['a', 'b', 'c', 'd'])
    const numbers = Array.from({ length: 500 }, (_, index) => index)
    for (const name of ['a', 'd']) world.at(name).held.add(RED, namesOf(numbers))
    await world.pass(0.1)
    await world.crash('d')
    // At once, from the second keepers; then without the dead.
    const before = await world.holders('b', RED, namesOf(numbers))
    expect(before.every((holders) => holders.includes('a'))).toBe(true)
    await world.pass(5)
    const after = await world.holders('b', RED, namesOf(numbers))
    expect(after.every((holders) => holders.join() === 'a')).toBe(true)
  })

  test('refuses a look-up of more names than one may have', async () => {
    const world = await worldOf(5, ['a', 'b'])
    const many = new Uint8Array(16 * (LIMITS.directoryNamesMax + 1))
    await expect(world.at('a').directory.locate(RED, many)).rejects.toMatchObject({ code: 'INVALID_REQUEST' })
    await expect(world.at('a').directory.locate(RED, new Uint8Array(3))).rejects.toMatchObject({
      code: 'INVALID_REQUEST',
    })
  })

  test('says of a repair what was missing and what was too many', async () => {
    const world = await worldOf(6, ['a', 'b', 'c'])
    // What is said while nobody hears is lost.
    world.network.faults = { ...CALM, dropRatio: 1 }
    world.at('a').held.add(RED, namesOf([1, 2, 3]))
    await world.pass(0.3)
    world.network.faults = CALM
    const { added, removed, held } = await world.alarm.run(world.at('a').directory.repair())
    expect({ removed, held }).toEqual({ removed: 0, held: 3 })
    expect(added).toBeLessThanOrEqual(3)
    expect(await world.holders('b', RED, namesOf([1, 2, 3]))).toEqual([['a'], ['a'], ['a']])
    const again = await world.alarm.run(world.at('a').directory.repair())
    expect(again).toEqual({ added: 0, removed: 0, held: 3 })
  })

  test('takes out what a node held when it leaves for good, and forgets what an earlier start of it said', async () => {
    const world = await worldOf(7, ['a', 'b', 'c'])
    world.at('a').held.add(RED, nameOf(1))
    world.at('b').held.add(RED, nameOf(2))
    await world.pass(0.1)
    await world.alarm.run(world.at('a').directory.withdraw())
    expect(await world.holders('c', RED, namesOf([1, 2]))).toEqual([[], ['b']])
    await world.crash('b')
    await world.pass(1)
    world.open('b', ['a'])
    await world.pass(HEALED_SECONDS)
    expect(await world.holders('c', RED, nameOf(2))).toEqual([[]])
  })

  test('costs the same messages whether nodes hold little or much, once all is told', async () => {
    const bytes: number[] = []
    for (const names of [10, 20_000]) {
      const world = await worldOf(8, ['a', 'b', 'c'])
      world.at('a').held.add(RED, namesOf(Array.from({ length: names }, (_, index) => index)))
      await world.pass(60)
      const before = world.network.bytes
      await world.pass(120)
      bytes.push(world.network.bytes - before)
    }
    const [little = 0, much = 0] = bytes
    expect(much / little).toBeLessThan(1.02)
  })
})

describe('two datacentres', () => {
  const opened = async (seed: number): Promise<DirectoryWorld> => {
    const world = new DirectoryWorld(seed)
    for (const [name, datacentre, roles] of [
      ['a', 'east', ['store']],
      ['b', 'east', ['store']],
      ['c', 'west', ['store']],
      ['d', 'west', ['store', 'supernode']],
    ] as const)
      world.open(name, name === 'a' ? [] : ['a'], undefined, { datacentre, roles })
    expect(await world.until(() => world.isWhole(), 5)).not.toBeNull()
    await world.pass(2)
    return world
  }

  test('each keep their own, and ask the other for what nobody here holds, through its supernode', async () => {
    const world = await opened(1)
    world.at('a').held.add(RED, namesOf([1, 2]))
    world.at('c').held.add(RED, namesOf([2, 3]))
    await world.pass(0.2)
    // Name 2 is held here: there is no need to know who else has it.
    expect(await world.holders('b', RED, namesOf([1, 2, 3, 4]))).toEqual([['a'], ['a'], ['c'], []])
    expect(await world.holders('d', RED, namesOf([1, 2, 3, 4]))).toEqual([['a'], ['c'], ['c'], []])
    expect(await world.holders('b', BLUE, namesOf([1, 3]))).toEqual([[], []])
    const crossed: string[] = []
    world.network.isParted = (from, to) => {
      if (from < 'c' !== to < 'c') crossed.push(`${from} ${to}`)
      return false
    }
    await world.holders('b', RED, namesOf([1, 2]))
    const before = crossed.filter((way) => way.startsWith('b') && way.endsWith('c:1')).length
    await world.holders('b', RED, namesOf([3]))
    expect(crossed.filter((way) => way.startsWith('b') && way.endsWith('c:1')).length).toBe(before)
    expect(crossed).toContain('b:1 d:1')
  })

  test('answer for themselves while they are parted, and another node speaks when the supernode is down', async () => {
    const world = await opened(2)
    world.at('a').held.add(RED, namesOf([1]))
    world.at('c').held.add(RED, namesOf([3]))
    await world.pass(0.2)
    await world.crash('d')
    expect(await world.holders('b', RED, namesOf([1, 3]))).toEqual([['a'], ['c']])
    world.network.isParted = (from, to) => from < 'c' !== to < 'c'
    expect(await world.holders('b', RED, namesOf([1, 3]))).toEqual([['a'], []])
    expect(await world.holders('c', RED, namesOf([1, 3]))).toEqual([[], ['c']])
  })
})

describe('over a faulty network, whatever nodes do', () => {
  test(`a directory says what is so ${HEALED_SECONDS} s after all is calm, and never crosses tenants`, {
    timeout: runs(60_000, 3_600_000),
  }, async () => {
    for (let seed = 1; seed <= SEEDS; seed++) await faultyRun(seed)
  })
})

async function faultyRun(seed: number): Promise<void> {
  const names = ['a', 'b', 'c', 'd', 'e'].slice(0, 3 + (seed % 3))
  // Every third world has two datacentres.
  const datacentreOf = (name: string): string => (seed % 3 === 0 && name > 'b' ? 'west' : 'east')
  const facts = (name: string) => ({ datacentre: datacentreOf(name) })
  const world = await worldOf(seed, names, datacentreOf)
  const { random } = world
  const others = (name: string): readonly string[] => names.filter((other) => other !== name)
  world.network.faults = {
    dropRatio: 0.1 * random(),
    duplicateRatio: 0.2 * random(),
    corruptRatio: 0.05 * random(),
    delaySecondsMin: 0.001,
    delaySecondsMax: 0.001 + 0.3 * random(),
  }
  for (let step = 0; step < 30; step++) {
    const name = names[Math.floor(names.length * random())] ?? 'a'
    const node = world.get(name)
    const dice = random()
    if (node.isDown) {
      const before = dice < 0.5 ? world.at(name).held : undefined
      if (dice < 0.8) world.open(name, others(name), before, facts(name))
    } else if (dice < 0.06) await world.crash(name)
    else {
      // Odd numbers are one tenant's, even ones the other's.
      const tenant = random() < 0.5 ? RED : BLUE
      const numbers = Array.from({ length: 40 }, () => 2 * Math.floor(200 * random()) + (tenant === RED ? 1 : 0))
      if (random() < 0.7) world.at(name).held.add(tenant, namesOf(numbers))
      else world.at(name).held.remove(tenant, namesOf(numbers))
    }
    await world.pass(random() < 0.1 ? 3 : 0.3 * random())
  }
  world.network.faults = CALM
  for (const name of names) if (world.get(name).isDown) world.open(name, others(name), undefined, facts(name))
  expect(await world.until(() => world.isWhole(), 60), `seed ${seed}`).not.toBeNull()
  await world.pass(HEALED_SECONDS)
  const all = Array.from({ length: 400 }, (_, index) => index)
  for (const [tenant, odd] of [
    [RED, 1],
    [BLUE, 0],
  ] as const) {
    const expected = all.map((number) =>
      names.filter((name) => (world.at(name).held.table(tenant)?.valueAt(nameOf(number), 0) ?? 0) > 0),
    )
    expect(
      expected.every((holders, number) => holders.length === 0 || number % 2 === odd),
      `seed ${seed}`,
    ).toBe(true)
    for (const asker of names) {
      // Who finds somebody in its own datacentre asks no other.
      const told = expected.map((holders) => {
        const near = holders.filter((holder) => datacentreOf(holder) === datacentreOf(asker))
        return near.length > 0 ? near : holders
      })
      expect(await world.holders(asker, tenant, namesOf(all)), `seed ${seed}, ${asker} asks`).toEqual(told)
    }
  }
  for (const name of names) {
    await world.kill(name)
    await world.alarm.run(world.at(name).directory.close())
  }
  // What was on its way, and who was to be asked again.
  await world.pass(60)
  expect(world.alarm.pending, `seed ${seed}`).toBe(0)
}
