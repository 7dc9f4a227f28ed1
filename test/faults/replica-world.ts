/** Nodes that gossip and keep copies of each other's fragments, whose bytes are named here and not kept. */
import { Replicator } from '../../src/cluster/replicator.ts'
import type { OwnFragment, ReplicaOutcome, ReplicaStore } from '../../src/cluster/replication.ts'
import type { MemberFacts } from '../../src/cluster/member.ts'
import { parseContentHash, type TenantId } from '../../src/core/ids.ts'
import { GossipWorld } from './gossip-world.ts'

/** What a node has on its disk. */
export type Disk = Map<string, OwnFragment>

export class MemoryReplicas implements ReplicaStore {
  readonly disk: Disk
  /** More is refused. */
  fragmentsMax = Infinity
  readonly #world: ReplicaWorld
  readonly #address: string
  readonly #watchers = new Set<Parameters<ReplicaStore['watch']>[0]>()

  constructor(world: ReplicaWorld, address: string, disk: Disk) {
    this.#world = world
    this.#address = address
    this.disk = disk
  }

  list(): Iterable<OwnFragment> {
    return [...this.disk.values()]
  }

  get(tenant: TenantId, key: string): OwnFragment | null {
    return this.disk.get(`${tenant}/${key}`) ?? null
  }

  watch(watcher: Parameters<ReplicaStore['watch']>[0]): () => void {
    this.#watchers.add(watcher)
    return () => void this.#watchers.delete(watcher)
  }

  put(fragment: OwnFragment): boolean {
    const name = `${fragment.tenant}/${fragment.key}`
    if (!this.disk.has(name) && this.disk.size >= this.fragmentsMax) return false
    this.disk.set(name, fragment)
    for (const { joined } of this.#watchers) joined(fragment)
    return true
  }

  evict(tenant: TenantId, key: string): void {
    if (!this.disk.has(`${tenant}/${key}`)) return
    for (const { left } of this.#watchers) left(tenant, key)
    this.disk.delete(`${tenant}/${key}`)
  }

  /** Over the same faulty network as messages: some bytes, in the time that they take. */
  async pull(
    tenant: TenantId,
    from: { readonly node: string; readonly address: string },
    wanted: readonly Pick<OwnFragment, 'key' | 'contentHash' | 'payloadBytes'>[],
  ): Promise<readonly ReplicaOutcome[]> {
    const outcomes: ReplicaOutcome[] = []
    for (const { key, contentHash } of wanted) {
      const found = await this.#world.transfer(from.address, this.#address, `${tenant}/${key}`)
      if (found === 'broken') outcomes.push('failed')
      else if (found === null || found.contentHash !== contentHash) outcomes.push('gone')
      else outcomes.push(this.put(found) ? 'stored' : 'refused')
    }
    return outcomes
  }

  async remove(tenant: TenantId, keys: readonly string[]): Promise<void> {
    for (const key of keys) this.evict(tenant, key)
  }
}

export interface ReplicaNode {
  readonly own: MemoryReplicas
  readonly replicator: Replicator
}

export class ReplicaWorld extends GossipWorld {
  readonly replicas = new Map<string, ReplicaNode>()
  copies = 2

  open(name: string, seeds: readonly string[], disk: Disk = new Map(), facts: Partial<MemberFacts> = {}): ReplicaNode {
    const { membership, network, alarm } = this.start(name, seeds, facts)
    const own = new MemoryReplicas(this, network.address, disk)
    const replicator = new Replicator({
      membership,
      calls: this.network.callsOf(network.address),
      handlers: network.handlers,
      own,
      alarm,
      clock: { nowMs: () => this.nowMs() },
      copies: this.copies,
    })
    const node = { own, replicator }
    this.replicas.set(name, node)
    return node
  }

  at(name: string): ReplicaNode {
    const node = this.replicas.get(name)
    if (node === undefined) throw new Error(`There are no replicas at ${name}.`)
    return node
  }

  async crash(name: string): Promise<void> {
    await this.kill(name)
    await this.at(name).replicator.close()
  }

  /** What the sender has, null, or that the way was broken. */
  async transfer(from: string, to: string, name: string): Promise<OwnFragment | null | 'broken'> {
    const { dropRatio, delaySecondsMin, delaySecondsMax } = this.network.faults
    await this.alarm.wait(delaySecondsMin + (delaySecondsMax - delaySecondsMin) * this.random())
    const sender = [...this.nodes.values()].find(({ network }) => network.address === from)
    const isBroken = sender === undefined || sender.isDown || sender.network.state !== 'up'
    if (isBroken || this.network.isParted(to, from) || this.network.isParted(from, to) || this.random() < dropRatio)
      return 'broken'
    return this.at(sender.name).own.disk.get(name) ?? null
  }

  /** Living nodes that have it. */
  holders(name: string): readonly string[] {
    return this.living().flatMap((node) => (this.at(node.name).own.disk.has(name) ? [node.name] : []))
  }
}

export function fragmentOf(tenant: TenantId, number: number): OwnFragment {
  const digits = number.toString(16).padStart(64, '0')
  const contentHash = parseContentHash(`b3:${digits}`)
  return { tenant, key: `artifact/${contentHash}`, contentHash, payloadBytes: 1000, group: `g${number % 7}` }
}
