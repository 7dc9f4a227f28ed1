/** Nodes that gossip over a faulty network on a virtual clock. */
import { DEFAULT_GOSSIP_TIMES, type GossipTimes } from '../../src/cluster/gossip-options.ts'
import { GossipMembership } from '../../src/cluster/gossip.ts'
import { CLUSTER_FORMAT, type MemberFacts, type MemberState, NO_TELEMETRY } from '../../src/cluster/member.ts'
import { seededRandom } from '../../src/core/random.ts'
import { ClusterNetwork, type NetworkNode } from './cluster-network.ts'
import { VirtualAlarm } from './virtual-alarm.ts'

export interface GossipNode {
  readonly name: string
  readonly membership: GossipMembership
  readonly network: NetworkNode
  readonly alarm: LateAlarm
  isDown: boolean
}

/** Alarms of one process, which may ring late, or not at all while it is stopped. */
export class LateAlarm {
  lateSeconds = 0
  isStopped = false
  readonly #alarm: VirtualAlarm
  readonly #held: (() => void)[] = []

  constructor(alarm: VirtualAlarm) {
    this.#alarm = alarm
  }

  after(seconds: number, call: () => void): () => void {
    let isCancelled = false
    const cancel = this.#alarm.after(seconds + this.lateSeconds, () => {
      if (isCancelled) return
      if (this.isStopped) this.#held.push(() => isCancelled || call())
      else call()
    })
    return () => {
      isCancelled = true
      cancel()
    }
  }

  continue(): void {
    this.isStopped = false
    for (const call of this.#held.splice(0)) call()
  }
}

const EPOCH_MS = Date.UTC(2026, 0, 1)

export class GossipWorld {
  readonly alarm = new VirtualAlarm()
  readonly random
  readonly network: ClusterNetwork
  readonly nodes = new Map<string, GossipNode>()
  readonly times: GossipTimes

  constructor(seed: number, times: Partial<GossipTimes> = {}) {
    this.random = seededRandom(seed)
    this.network = new ClusterNetwork(this.alarm, this.random)
    this.times = { ...DEFAULT_GOSSIP_TIMES, ...times }
  }

  nowMs(): number {
    return EPOCH_MS + Math.round(1000 * this.alarm.seconds())
  }

  /** In place of a node of this name that runs no more. */
  start(name: string, seeds: readonly string[], facts: Partial<MemberFacts> = {}): GossipNode {
    const address = `${name}:1`
    const network = this.network.add(address)
    const alarm = new LateAlarm(this.alarm)
    const membership = new GossipMembership({
      facts: {
        node: name,
        incarnation: this.nowMs(),
        sequence: 0,
        address,
        datacentre: 'dc-1',
        roles: ['store'],
        version: '0.1.0',
        format: CLUSTER_FORMAT,
        capacityBytes: null,
        startedMs: this.nowMs(),
        isDraining: false,
        telemetry: NO_TELEMETRY,
        ...facts,
      },
      seeds: seeds.map((seed) => `${seed}:1`),
      times: this.times,
      calls: this.network.callsOf(address),
      handlers: network.handlers,
      clock: { nowMs: () => this.nowMs() },
      alarm,
      random: this.random,
    })
    const node = { name, membership, network, alarm, isDown: false }
    this.nodes.set(name, node)
    membership.start()
    return node
  }

  async kill(name: string): Promise<void> {
    const node = this.get(name)
    node.network.state = 'down'
    node.isDown = true
    await node.membership.close()
  }

  /** SIGSTOP: takes what comes, answers nothing, and no alarm rings. */
  hang(name: string): void {
    const node = this.get(name)
    node.network.state = 'hung'
    node.alarm.isStopped = true
  }

  continue(name: string): void {
    const node = this.get(name)
    node.network.state = 'up'
    node.alarm.continue()
  }

  get(name: string): GossipNode {
    const node = this.nodes.get(name)
    if (node === undefined) throw new Error(`There is no node ${name}.`)
    return node
  }

  pass(seconds: number): Promise<void> {
    return this.alarm.run(this.alarm.wait(seconds))
  }

  /** Until it is so, looked at ten times a second; gives the seconds that passed, or null when it did not come to it. */
  async until(isSo: () => boolean, secondsMax: number): Promise<number | null> {
    const began = this.alarm.seconds()
    while (!isSo()) {
      if (this.alarm.seconds() - began > secondsMax) return null
      await this.pass(0.02)
    }
    return this.alarm.seconds() - began
  }

  stateOf(seer: string, seen: string): MemberState | null {
    return this.get(seer).membership.member(seen)?.state ?? null
  }

  living(): readonly GossipNode[] {
    return [...this.nodes.values()].filter(({ isDown }) => !isDown)
  }

  /** Whether all that run see all that run alive, and nobody else. */
  isWhole(): boolean {
    const names = this.living().map(({ name }) => name)
    return this.living().every(({ membership }) => {
      const alive = membership.members().filter(({ state }) => state === 'alive')
      return alive.length === names.length && alive.every(({ node }) => names.includes(node))
    })
  }
}
