/**
 * What one node removes, others remove too: a copy elsewhere would be found again by the next reader. It reaches the nodes
 * that can be reached; a copy on one that cannot is soft state like any other, and `erase` says so.
 */
import { MembraneError } from '../core/errors.ts'
import { type ContentHash, parseContentHash, type TenantId } from '../core/ids.ts'
import { LIMITS } from '../core/limits.ts'
import { countField, listField, orNullField, textField } from '../cluster/fields.ts'
import type { Member } from '../cluster/member.ts'
import type { Membership } from '../cluster/membership.ts'
import { type PeerCalls, type PeerHandlers, type PeerMessage, peerMessage } from '../cluster/peer-calls.ts'
import type { Replication } from '../cluster/replication.ts'
import type { Fabric } from './fabric.ts'

const FORGET = 'forget'
const ERASE = 'erase'
const FORGET_SECONDS = 5
/** A node may have much to erase. */
const ERASE_SECONDS = 60

/** What to remove: a fragment, unless it has the bytes that are to be kept. */
export interface Forgotten {
  readonly key: string
  /** Null removes it whatever it holds. */
  readonly keep: ContentHash | null
}

/** Removes all of a tenant on this node, or what lies under a prefix; how many fragments there were. */
export type EraseHere = (tenant: TenantId, prefix: string | null) => Promise<number>

export interface ClusterForgetParts {
  readonly membership: Membership
  readonly calls: PeerCalls
}

/** See the top of this file: the side that asks. */
export class ClusterForget {
  readonly #parts: ClusterForgetParts

  constructor(parts: ClusterForgetParts) {
    this.#parts = parts
  }

  /**
   * Of each, whether another node had it and has it no more. All that live are asked: a copy that was made a moment ago is
   * in no directory yet, and removing is rare. Those that fail are passed over.
   */
  async forget(tenant: TenantId, what: readonly Forgotten[]): Promise<readonly boolean[]> {
    const was = what.map(() => false)
    const others = this.#others().filter(({ state }) => state !== 'gone')
    for (let from = 0; from < what.length; from += LIMITS.clusterForgottenMax) {
      const some = what.slice(from, from + LIMITS.clusterForgottenMax)
      const fields = { keys: some.map(({ key }) => key), keep: some.map(({ keep }) => keep) }
      const answers = await Promise.all(
        others.map(({ address }) =>
          this.#parts.calls
            .call(address, peerMessage(FORGET, fields), { tenant, timeoutSeconds: FORGET_SECONDS })
            .catch(ignoreUnreachable),
        ),
      )
      for (const answer of answers)
        for (const index of answer === null ? [] : removedOf(answer)) was[from + index] = true
    }
    return was
  }

  /**
   * Erases on every other node; how many fragments there were. Throws PEER_UNAVAILABLE, after all that can be reached have
   * done it, when some could not: their copies are still there.
   */
  async erase(tenant: TenantId, prefix: string | null): Promise<number> {
    const { calls } = this.#parts
    const missed: string[] = []
    const erased = await Promise.all(
      this.#others().map(async ({ node, address }) => {
        const message = peerMessage(ERASE, { prefix })
        const answer = await calls
          .call(address, message, { tenant, timeoutSeconds: ERASE_SECONDS })
          .catch(ignoreUnreachable)
        if (answer === null) missed.push(node)
        return answer === null ? 0 : countField(answer.fields, 'erased')
      }),
    )
    if (missed.length === 0) return erased.reduce((sum, count) => sum + count, 0)
    throw new MembraneError(
      'PEER_UNAVAILABLE',
      `It is erased, but not at ${missed.join(', ')}, which did not answer.`,
      {
        remedy: 'Erase once more when they are back, or when they are gone for good.',
        details: { missed },
      },
    )
  }

  #others(): readonly Member[] {
    const { membership } = this.#parts
    return membership.members().filter(({ node, state }) => node !== membership.self.node && state !== 'left')
  }
}

export interface AnswerForgetsParts {
  readonly fabric: Fabric
  readonly erase: EraseHere
  /** What is on its way here must not come back. */
  readonly replication: Pick<Replication, 'forget'>
}

/** The side that answers. What it gives ends it. */
export function answerForgets(handlers: PeerHandlers, { fabric, erase, replication }: AnswerForgetsParts): () => void {
  const off = [
    handlers.on(FORGET, async ({ fields }, { tenant }) => {
      const itemsMax = LIMITS.clusterForgottenMax
      const keys = listField(fields, 'keys', { itemsMax, read: String })
      const keep = listField(fields, 'keep', {
        itemsMax,
        read: (value) => (typeof value === 'string' ? parseContentHash(value) : null),
      })
      const own = fabric.of(tenant)
      const removed: number[] = []
      for (const [index, key] of keys.entries()) {
        const kept = keep[index] ?? null
        if (kept !== null && (await own.entry(key))?.contentHash === kept) continue
        replication.forget(tenant, key)
        if ((await own.remove([key])) > 0) removed.push(index)
      }
      return peerMessage(FORGET, { removed })
    }),
    handlers.on(ERASE, async ({ fields }, { tenant }) => {
      const prefix = orNullField(fields, 'prefix', () =>
        fields['prefix'] === '' ? '' : textField(fields, 'prefix', LIMITS.storeKeyBytesMax),
      )
      replication.forget(tenant, null)
      return peerMessage(ERASE, { erased: await erase(tenant, prefix) })
    }),
  ]
  return () => {
    for (const end of off) end()
  }
}

function removedOf({ fields }: PeerMessage): readonly number[] {
  return listField(fields, 'removed', { itemsMax: LIMITS.clusterForgottenMax, read: Number })
}

function ignoreUnreachable(error: unknown): null {
  if (!(error instanceof MembraneError)) throw error
  return null
}
