/** What doors ask of the cluster: messages of other nodes, and how the cluster is. */
import { MembraneError } from '../core/errors.ts'
import type { Member } from '../cluster/member.ts'
import { decodePeerMessage, encodePeerMessage } from '../cluster/peer-calls.ts'
import type { AdminAudit, AdminCall } from './admin-operations.ts'
import type { Caller } from './caller.ts'
import type { ClusterNode, ClusterStatus } from './cluster-node.ts'
import type { Gate } from './gate.ts'

export interface ClusterOperationsParts {
  readonly gate: Gate
  readonly audit: AdminAudit
  /** Null where the cluster is switched off. */
  readonly cluster: ClusterNode | null
}

/** What only this node has is moved for so long before it leaves. */
const LEAVE_SECONDS = 30

/** See the top of this file. Every call throws CLUSTER_OFF where there is none, FORBIDDEN and RATE_LIMITED. */
export class ClusterOperations {
  readonly #parts: ClusterOperationsParts

  constructor(parts: ClusterOperationsParts) {
    this.#parts = parts
  }

  /** Null where the cluster is switched off. */
  get node(): ClusterNode | null {
    return this.#parts.cluster
  }

  /** Answers another node, in its own format. Throws INVALID_REQUEST, NOT_SUPPORTED and what the message's part throws. */
  async answer(caller: Caller, message: Uint8Array): Promise<Uint8Array> {
    const cluster = this.#entered(caller, 'peer')
    const answer = await cluster.handlers.answer(decodePeerMessage(message), { tenant: caller.tenant })
    return encodePeerMessage(answer)
  }

  /** All nodes, the directory, replication, and the routing of prompts. */
  status(caller: Caller): ClusterStatus {
    return this.#entered(caller, 'observe').status()
  }

  /** This node and those that it knows of, this node first. */
  members(caller: Caller): readonly Member[] {
    const { membership } = this.#entered(caller, 'observe')
    const { self } = membership
    return [self, ...membership.members().filter(({ node }) => node !== self.node)]
  }

  /** Asks a node for its cluster, which this one then belongs to. Throws PEER_UNAVAILABLE. */
  join(call: AdminCall, address: string): Promise<void> {
    return this.#parts.audit.around({ ...call, action: 'cluster.join', target: address }, () =>
      this.#entered(call.caller, 'administer').join(address),
    )
  }

  /** Says goodbye: what only this node has is moved first, as far as there is time. */
  leave(call: AdminCall): Promise<void> {
    return this.#parts.audit.around({ ...call, action: 'cluster.leave', target: null }, async () => {
      await this.#entered(call.caller, 'administer').leave(LEAVE_SECONDS)
    })
  }

  #entered(caller: Caller, permission: 'peer' | 'observe' | 'administer'): ClusterNode {
    const { gate, cluster } = this.#parts
    gate.enter(caller, permission)
    if (cluster !== null) return cluster
    throw new MembraneError('CLUSTER_OFF', 'This node is alone: its cluster is switched off.', {
      remedy: 'Start it without --cluster off.',
    })
  }
}
