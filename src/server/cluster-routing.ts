/** The router of a node in a cluster: told what comes, it says what is computed elsewhere, and who computes. */
import type { KvModel } from '../core/compute.ts'
import { MembraneError } from '../core/errors.ts'
import type { Alarm, Clock, Stopwatch } from '../core/ports.ts'
import { choiceField } from '../cluster/fields.ts'
import { MEMBER_ROLES, type MemberRole, type PrefillReport } from '../cluster/member.ts'
import type { Membership } from '../cluster/membership.ts'
import { type PeerCalls, type PeerHandlers, peerMessage } from '../cluster/peer-calls.ts'
import type { DecodeProfile } from '../planner/decode.ts'
import type { ClusterLinks } from './cluster-links.ts'
import type { Routing } from './cluster-node.ts'
import type { ProposedRole } from './live-roles.ts'
import { LiveScheduler, type RoutingState } from './live-scheduler.ts'
import type { PromptObserver } from './node-options.ts'
import type { PrefillThreshold } from './remote-prefill.ts'

export interface ClusterRoutingParts {
  readonly membership: Membership
  readonly calls: PeerCalls
  readonly handlers: PeerHandlers
  readonly links: ClusterLinks
  readonly alarm: Alarm
  readonly stopwatch: Stopwatch
  readonly clock: Clock
  /** Sequences that are decoded at a time. */
  readonly requestsMax: number
}

const ROLE = 'take-role'
const ROLE_SECONDS = 2
/** Of an answer's rate, in what is believed: half of it is the last dozen answers. */
const DECODE_WEIGHT = 0.06

/** See the top of this file. Until `begin` everything may be computed anywhere, and nothing is known. */
export class ClusterRouting implements Routing, PrefillThreshold, PromptObserver {
  readonly #parts: ClusterRoutingParts
  readonly #off: () => void
  #scheduler: LiveScheduler | null = null
  #tokenSeconds: number | null = null

  constructor(parts: ClusterRoutingParts) {
    this.#parts = parts
    const { handlers, membership } = parts
    this.#off = handlers.on(ROLE, async ({ fields }) => {
      membership.report({ roles: rolesWith(membership.self.roles, choiceField(fields, 'role', ['prefill', 'decode'])) })
      return peerMessage(ROLE)
    })
  }

  /** Once, when the engine is open. */
  begin(model: KvModel, prefill: () => PrefillReport | null): void {
    const [part, ...more] = model.parts
    // Who keeps more than KV computes for itself.
    if (part?.kind !== 'kv' || more.length > 0) return
    const { membership, links, alarm, stopwatch, clock } = this.#parts
    this.#scheduler = new LiveScheduler({
      model: {
        name: model.fingerprint,
        kv: { fixedBytes: 0, bytesPerToken: part.bytes },
        promptTokensMax: model.contextTokensMax,
      },
      senses: {
        membership,
        prefill,
        links: () => links.reports(),
        waitingBytes: () => links.waitingBytes,
        decode: () => this.#decode(),
      },
      clock,
      stopwatch,
      alarm,
      changeRoles: (roles) => void this.#changeRoles(roles),
    })
    this.#scheduler.start()
  }

  close(): void {
    this.#off()
    this.#scheduler?.close()
  }

  state(): RoutingState | null {
    return this.#scheduler?.state() ?? null
  }

  isRemote(promptTokens: number, uncachedTokens: number): boolean {
    if (this.#scheduler === null) return true
    const localCachedTokens = Math.max(0, promptTokens - uncachedTokens)
    return this.#scheduler.isRemote({ promptTokens, localCachedTokens, remoteCachedTokens: 0 })
  }

  readonly seen = (promptTokens: number, uncachedTokens: number): void => {
    this.#scheduler?.seen(promptTokens, uncachedTokens)
  }

  readonly answered = (outputTokens: number, tokensPerSecond: number | null): void => {
    this.#scheduler?.finished(outputTokens)
    if (tokensPerSecond === null || !(tokensPerSecond > 0)) return
    const before = this.#tokenSeconds ?? 1 / tokensPerSecond
    this.#tokenSeconds = before + DECODE_WEIGHT * (1 / tokensPerSecond - before)
  }

  /** As one sequence was seen to be decoded: engines here decode one after the other, each step for one of them. */
  #decode(): DecodeProfile | null {
    if (this.#tokenSeconds === null) return null
    return {
      batchMax: this.#parts.requestsMax,
      stepSeconds: { fixed: 0, perSequence: this.#tokenSeconds, perContextToken: 0 },
      source: 'measured at this node',
      origin: 'measured',
    }
  }

  async #changeRoles(roles: readonly ProposedRole[]): Promise<void> {
    const { membership, calls } = this.#parts
    for (const { node, role } of roles) {
      if (node === membership.self.node) {
        membership.report({ roles: rolesWith(membership.self.roles, role) })
        continue
      }
      const member = membership.member(node)
      if (member === null) continue
      const message = peerMessage(ROLE, { role })
      // One that does not hear it keeps its role, as the next plan will see.
      await calls
        .call(member.address, message, { tenant: null, timeoutSeconds: ROLE_SECONDS })
        .catch((error: unknown) => {
          if (!(error instanceof MembraneError)) throw error
        })
    }
  }
}

/** One of the two in place of the other; what else the node does it goes on doing. */
function rolesWith(roles: readonly MemberRole[], role: 'prefill' | 'decode'): readonly MemberRole[] {
  const isOther = (known: MemberRole): boolean => known !== 'prefill' && known !== 'decode' && roles.includes(known)
  return MEMBER_ROLES.filter((known) => known === role || isOther(known))
}
