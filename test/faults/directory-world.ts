/** Nodes that gossip and keep a directory among themselves, over a faulty network on a virtual clock. */
import { BLOCK_NAME_BYTES } from '../../src/cluster/block-directory.ts'
import { HeldNames } from '../../src/cluster/held-names.ts'
import { ShardedDirectory } from '../../src/cluster/sharded-directory.ts'
import type { MemberFacts } from '../../src/cluster/member.ts'
import type { TenantId } from '../../src/core/ids.ts'
import { GossipWorld } from './gossip-world.ts'

export interface DirectoryNode {
  readonly held: HeldNames
  readonly directory: ShardedDirectory
}

export class DirectoryWorld extends GossipWorld {
  readonly directories = new Map<string, DirectoryNode>()

  /** Starts a node that holds nothing, or what an earlier start of it held. */
  open(name: string, seeds: readonly string[], before?: HeldNames, facts: Partial<MemberFacts> = {}): DirectoryNode {
    const { membership, network, alarm } = this.start(name, seeds, facts)
    const held: HeldNames = new HeldNames('disk', {
      joined: (tenant, names, tier) => directory.joined(tenant, names, tier),
      left: (tenant, names) => directory.left(tenant, names),
    })
    const directory = new ShardedDirectory({
      membership,
      calls: this.network.callsOf(network.address),
      handlers: network.handlers,
      own: held,
      alarm,
      clock: { nowMs: () => this.nowMs() },
    })
    const node = { held, directory }
    this.directories.set(name, node)
    for (const tenant of before?.tenants() ?? [])
      for (const { names } of before?.names(tenant) ?? []) held.add(tenant, names)
    return node
  }

  async crash(name: string): Promise<void> {
    await this.kill(name)
    await this.alarm.run(this.at(name).directory.close())
  }

  at(name: string): DirectoryNode {
    const node = this.directories.get(name)
    if (node === undefined) throw new Error(`There is no directory at ${name}.`)
    return node
  }

  /** What a node is told of who holds these names: for each, the nodes in order. */
  async holders(asker: string, tenant: TenantId, names: Uint8Array): Promise<readonly (readonly string[])[]> {
    const found = await this.alarm.run(this.at(asker).directory.locate(tenant, names))
    return Array.from({ length: names.length / BLOCK_NAME_BYTES }, (_, at) =>
      found.flatMap(({ node, tiers }) => (tiers[at] === 0 ? [] : [node])).toSorted(),
    )
  }
}

/** The name of a number; its bucket is a mix of it. */
export function nameOf(number: number): Uint8Array {
  const name = new Uint8Array(BLOCK_NAME_BYTES)
  const view = new DataView(name.buffer)
  for (let word = 0; word < 4; word++) view.setUint32(4 * word, Math.imul(number + 1, 0x9e3779b1 + 2 * word) >>> 0)
  return name
}

export function namesOf(numbers: readonly number[]): Uint8Array {
  const names = new Uint8Array(BLOCK_NAME_BYTES * numbers.length)
  for (const [index, number] of numbers.entries()) names.set(nameOf(number), BLOCK_NAME_BYTES * index)
  return names
}
