/** Moved reuse as a part of a rebuild: which candidates it adds, and what is remembered for it. */
import { unpackBlockHashes } from '../core/block-hashes.ts'
import { throwIfAborted } from '../core/cancel.ts'
import { assert, MembraneError } from '../core/errors.ts'
import type { BlockHash } from '../core/ids.ts'
import type { TokenSpan } from '../core/fragment.ts'
import { assembleMoved, type MovedCandidate, movedCandidates } from './moved-find.ts'
import type { FoundCandidate } from './rebuild-candidates.ts'
import type { RebuildParts, RebuildRequest } from './rebuild-ports.ts'
import { LinkedAbort, untilAborted } from './waiting.ts'

/** What there is of a prompt already, and how long to look for more. */
export interface MovedLookUp {
  readonly blocks: readonly BlockHash[]
  readonly exact: readonly TokenSpan[]
  /** From the call on. */
  readonly seconds: number
  readonly leaseSeconds: number
}

/** Throws INVALID_REQUEST for a request of moved KV where there is none, or without a scope. */
export function checkMoved({ moved = null }: RebuildParts, { reuse, movedScope = null }: RebuildRequest): void {
  if (reuse !== 'moved') return
  if (moved === null)
    throw new MembraneError('INVALID_REQUEST', 'This node does not reuse KV at other positions.', {
      remedy: 'Ask for exact reuse, or let the node reuse moved KV.',
    })
  if (movedScope === null)
    throw new MembraneError('INVALID_REQUEST', 'Moved KV is reused within a scope; the request names none.')
}

/** Candidates of moved KV; none when the node takes longer than it may. Throws ABORTED. */
export async function findMoved(
  parts: RebuildParts,
  request: RebuildRequest,
  { blocks, exact, seconds, leaseSeconds }: MovedLookUp,
): Promise<{ readonly candidates: readonly FoundCandidate[]; readonly unheard: readonly string[] }> {
  const { moved = null, model, memory, fragmentize, alarm } = parts
  const { movedScope: scope = null, tenant, tokenIds, signal } = request
  if (moved === null || scope === null) return { candidates: [], unheard: [] }
  const { index, options } = moved
  const late = new LinkedAbort(signal)
  const cancel = alarm.after(seconds, () => {
    late.abort()
  })
  try {
    const search = movedCandidates(
      { model, index, memory, blockTokens: fragmentize.blockTokens, options },
      { scope, tenant, tokenIds, blocks, exact, leaseSeconds },
    )
    const found = await untilAborted(search, late.signal)
    return { candidates: found.map((candidate) => withReads(parts, candidate)), unheard: [] }
  } catch (error) {
    throwIfAborted(signal)
    if (!(error instanceof MembraneError)) throw error
    return { candidates: [], unheard: ['What there is at other positions was not heard of.'] }
  } finally {
    cancel()
    late.abort()
  }
}

/** What was stored for a prompt may be found for others of its scope, at other positions. */
export function rememberMoved(
  { moved = null }: RebuildParts,
  { movedScope = null, tokenIds, hashes }: RebuildRequest,
): void {
  if (moved !== null && movedScope !== null) moved.index.add(movedScope, tokenIds, unpackBlockHashes(hashes))
}

function withReads({ model, memory }: RebuildParts, candidate: MovedCandidate): FoundCandidate {
  const [shape] = model.parts
  assert(shape !== undefined, 'a model has parts')
  const pieces = candidate.fragments.map(({ key, description, payloadBytes, tier }) => ({
    source: 'moved' as const,
    place: tier,
    description,
    payloadBytes,
    key,
    // The node's stores verify what they read.
    contentHash: null,
    read: async (signal: AbortSignal) => await memory.read(key, { signal }),
  }))
  return {
    ...candidate,
    parts: [{ shape, pieces }],
    assemble: (fragments) => assembleMoved(model, candidate, fragments),
  }
}
