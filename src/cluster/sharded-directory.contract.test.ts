import { describeBlockDirectory } from '../../test/contracts/block-directory.ts'
import { DirectoryWorld } from '../../test/faults/directory-world.ts'
import { BUCKETS } from './name-table.ts'
import { peerMessage } from './peer-calls.ts'
import { REPLACE } from './shard-service.ts'

describeBlockDirectory('a directory sharded over the nodes', async () => {
  const world = new DirectoryWorld(1)
  for (const name of ['a', 'b', 'c']) world.open(name, name === 'a' ? [] : ['a'])
  await world.until(() => world.isWhole(), 5)
  await world.pass(2)
  return {
    nodes: ['a', 'b', 'c'].map((node) => ({ node, ...world.at(node) })),
    run: (promise) => world.alarm.run(promise),
    settle: () => world.pass(0.2),
    loseEntriesOf: async (node) => {
      const { startedMs } = world.get(node).membership.self
      const buckets = Array.from({ length: BUCKETS }, (_, bucket) => ({ bucket, count: 0, value: 1 }))
      for (const name of ['a', 'b', 'c'])
        for (const tenant of world.at(node).held.tenants())
          await world.get(name).network.handlers.answer(peerMessage(REPLACE, { node, startedMs, buckets }), { tenant })
    },
    down: async (node) => {
      await world.crash(node)
      await world.pass(5)
    },
    close: async () => {
      for (const name of ['a', 'b', 'c']) {
        await world.kill(name)
        await world.alarm.run(world.at(name).directory.close())
      }
    },
  }
})
