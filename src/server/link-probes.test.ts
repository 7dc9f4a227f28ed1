import { expect, test } from 'vitest'
import { LinkMeasures } from '../cluster/measure-links.ts'
import { GossipWorld } from '../../test/faults/gossip-world.ts'
import { answerEchoes, probeLinks } from './link-probes.ts'

test('round trips and losses to other datacentres are seen, and those within one are not', async () => {
  const world = new GossipWorld(1)
  world.network.faults = { ...world.network.faults, delaySecondsMin: 0.02, delaySecondsMax: 0.021 }
  const here = world.start('a', [], { datacentre: 'east' })
  for (const [name, datacentre] of [
    ['b', 'east'],
    ['c', 'west'],
    ['d', 'west'],
  ] as const)
    answerEchoes(world.start(name, ['a'], { datacentre }).network.handlers)
  expect(await world.until(() => world.isWhole(), 5)).not.toBeNull()
  const measures = new LinkMeasures(world.alarm)
  const calls = world.network.callsOf(here.network.address)
  const end = probeLinks({ membership: here.membership, calls, measures, alarm: world.alarm, stopwatch: world.alarm })
  await world.pass(10)
  const [link, ...others] = measures.reports()
  expect(others).toEqual([])
  expect(link?.datacentre).toBe('west')
  expect(link?.rttSeconds).toBeGreaterThan(0.039)
  expect(link?.rttSeconds).toBeLessThan(0.045)
  expect(link?.lossRatio).toBe(0)
  expect(link?.bytesPerSecond).toBeGreaterThan(1e6)
  world.network.isParted = (from, to) => from === 'a:1' && to !== 'b:1'
  await world.pass(12)
  expect(measures.reports()[0]?.lossRatio).toBeGreaterThan(0.1)
  end()
})
