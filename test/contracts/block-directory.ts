/** What every directory of who holds which blocks promises. */
import { afterEach, describe, expect, test } from 'vitest'
import { BLOCK_NAME_BYTES, type BlockDirectory } from '../../src/cluster/block-directory.ts'
import type { HeldNames } from '../../src/cluster/held-names.ts'
import { parseTenantId, type TenantId } from '../../src/core/ids.ts'
import { LIMITS } from '../../src/core/limits.ts'
import { nameOf, namesOf } from '../faults/directory-world.ts'

/** Some nodes that share a directory. */
export interface DirectoryContractWorld {
  /** In order of their names: what each holds, and its directory. */
  readonly nodes: readonly {
    readonly node: string
    readonly held: HeldNames
    readonly directory: BlockDirectory
  }[]
  /** Lets pending work of any kind go on until the promise ends. */
  run<T>(promise: Promise<T>): Promise<T>
  /** Ends when all that was said has been told. */
  settle(): Promise<void>
  /** What this node has said so far is lost, and it does not know. */
  loseEntriesOf(node: string): Promise<void>
  /** All nodes see that this one is gone. */
  down(node: string): Promise<void>
  close(): Promise<void>
}

const RED = parseTenantId('red')
const BLUE = parseTenantId('blue')

export function describeBlockDirectory(name: string, open: () => Promise<DirectoryContractWorld>): void {
  describe(name, () => {
    let world: DirectoryContractWorld | null = null
    afterEach(async () => {
      await world?.close()
      world = null
    })
    const opened = async () => {
      world = await open()
      const [a, b, c] = world.nodes
      if (a === undefined || b === undefined || c === undefined) throw new Error('Three nodes are needed.')
      return { world, a, b, c }
    }
    const holders = async (
      of: DirectoryContractWorld,
      asker: { readonly directory: BlockDirectory },
      tenant: TenantId,
      numbers: readonly number[],
    ) => {
      const found = await of.run(asker.directory.locate(tenant, namesOf(numbers)))
      return numbers.map((_, at) => found.flatMap(({ node, tiers }) => (tiers[at] === 0 ? [] : [node])).toSorted())
    }

    test('tells every node who holds what, in the order that was asked', async () => {
      const { world: of, a, b, c } = await opened()
      a.held.add(RED, namesOf([1, 2, 3]))
      b.held.add(RED, namesOf([3, 4]))
      await of.settle()
      for (const asker of [a, b, c])
        expect(await holders(of, asker, RED, [4, 3, 9, 1])).toEqual([[b.node], [a.node, b.node], [], [a.node]])
    })

    test('says in which tier', async () => {
      const { world: of, a, b } = await opened()
      a.held.add(RED, nameOf(1))
      await of.settle()
      const [found] = await of.run(b.directory.locate(RED, namesOf([1, 2])))
      expect([...(found?.tiers ?? [])]).toEqual([2, 0])
    })

    test('forgets what a node holds no more, and keeps what others hold', async () => {
      const { world: of, a, b, c } = await opened()
      a.held.add(RED, namesOf([1, 2]))
      b.held.add(RED, namesOf([1]))
      await of.settle()
      a.held.remove(RED, namesOf([1, 2]))
      await of.settle()
      expect(await holders(of, c, RED, [1, 2])).toEqual([[b.node], []])
    })

    test('ends with what was said last, however often it changes', async () => {
      const { world: of, a, b } = await opened()
      for (let round = 0; round < 50; round++) {
        a.held.add(RED, namesOf([1, 2]))
        if (round < 49) a.held.remove(RED, namesOf([1, 2]))
        b.held.add(RED, nameOf(3))
        b.held.remove(RED, nameOf(3))
      }
      await of.settle()
      expect(await holders(of, b, RED, [1, 2, 3])).toEqual([[a.node], [a.node], []])
    })

    test('answers no tenant about what another one holds', async () => {
      const { world: of, a, b } = await opened()
      a.held.add(RED, nameOf(1))
      b.held.add(BLUE, nameOf(2))
      await of.settle()
      expect(await holders(of, b, BLUE, [1, 2])).toEqual([[], [b.node]])
      expect(await holders(of, b, RED, [1, 2])).toEqual([[a.node], []])
    })

    test('finds thousands of names at once, and refuses more than a look-up may have', async () => {
      const { world: of, a, b } = await opened()
      const numbers = Array.from({ length: 8192 }, (_, index) => index)
      a.held.add(RED, namesOf(numbers))
      await of.settle()
      const found = await holders(of, b, RED, numbers)
      expect(found.every((nodes) => nodes.join() === a.node)).toBe(true)
      for (const names of [new Uint8Array(BLOCK_NAME_BYTES * (LIMITS.directoryNamesMax + 1)), new Uint8Array(7)])
        await expect(of.run(a.directory.locate(RED, names))).rejects.toMatchObject({ code: 'INVALID_REQUEST' })
    })

    test('says nothing of a node that is gone', async () => {
      const { world: of, a, b, c } = await opened()
      a.held.add(RED, namesOf([1]))
      c.held.add(RED, namesOf([1, 2]))
      await of.settle()
      await of.down(c.node)
      expect(await holders(of, b, RED, [1, 2])).toEqual([[a.node], []])
    })

    test('is mended by what nodes hold, and a repair says what it did', async () => {
      const { world: of, a, b } = await opened()
      a.held.add(RED, namesOf([1, 2, 3]))
      await of.settle()
      await of.loseEntriesOf(a.node)
      expect(await of.run(a.directory.repair())).toEqual({ held: 3, added: 3, removed: 0 })
      expect(await holders(of, b, RED, [1, 2, 3])).toEqual([[a.node], [a.node], [a.node]])
      expect(await of.run(a.directory.repair())).toEqual({ held: 3, added: 0, removed: 0 })
      expect(a.directory.stats()).toMatchObject({ own: 3, waiting: 0, refused: 0 })
    })

    test('has nothing of a node that has withdrawn', async () => {
      const { world: of, a, b } = await opened()
      a.held.add(RED, nameOf(1))
      b.held.add(RED, nameOf(1))
      await of.settle()
      await of.run(a.directory.withdraw())
      expect(await holders(of, b, RED, [1])).toEqual([[b.node]])
    })
  })
}
