/** Takes KV that another node computes for this prompt, fragment by fragment. */
import { MembraneError } from '../core/errors.ts'
import type { Fragment, TokenSpan } from '../core/fragment.ts'
import { LIMITS } from '../core/limits.ts'
import { assemblePart } from './context-parts.ts'
import { findCandidates, type FoundCandidate, type PromptShape, type ProposedFragment } from './rebuild-candidates.ts'
import type { Retrieval } from './retrieval.ts'
import { type Bell, untilAborted } from './waiting.ts'
import type { Stopwatch } from '../core/ports.ts'

/** What is taken from whom. */
export interface RemoteStream {
  readonly node: string
  readonly span: TokenSpan
  readonly prompt: PromptShape
  readonly stopwatch: Stopwatch
  /** Of fragments that are not used yet; a node that sends more is not listened to any more. */
  readonly bytesMax: number
  readonly reason: string
  /** Rings when a delivery has been taken. */
  readonly bell: Bell
  readonly open: (signal: AbortSignal) => AsyncIterable<Fragment>
}

/**
 * Asks for the next fragment when the one before has been taken, so that one is held at a time. What comes has to be of
 * the prompt and of the model's shape; there is no hash to compare it with, because nobody had it before.
 */
export async function takeRemotePrefill(stream: RemoteStream, retrieval: Retrieval): Promise<string | null> {
  const { signal } = retrieval
  const fragments = opened(stream, signal)
  try {
    let { start } = stream.span
    let pending: ProposedFragment[] = []
    let beganSeconds = stream.stopwatch.seconds()
    while (start < stream.span.end) {
      const next = await untilAborted(fragments.next(), signal)
      if (next.done === true) return `${stream.node} ended before it had given all tokens.`
      pending = [...pending, proposal(stream, next.value)]
      const bytesPending = pending.reduce((sum, { payloadBytes }) => sum + payloadBytes, 0)
      if (bytesPending > stream.bytesMax || pending.length > LIMITS.indexFragmentsOfBlockMax)
        return `${stream.node} gave fragments that do not fit together, or too large ones.`
      const ready = nextSpan(pending, stream, start)
      if (ready === null) continue
      pending = []
      const { span } = ready
      const seconds = stream.stopwatch.seconds() - beganSeconds
      const parts = await assembled(ready, stream, signal)
      const { bytes } = ready
      const { reason } = stream
      if (!retrieval.deliver({ span, parts, source: 'remote-prefill', bytes, seconds, reason, keys: [] })) return null
      start = span.end
      while (retrieval.delivery !== null) await untilAborted(stream.bell.rung, signal)
      beganSeconds = stream.stopwatch.seconds()
    }
    return null
  } catch (error) {
    if (error instanceof MembraneError) return error.message
    throw error
  } finally {
    // Not waited for: the other node may never answer.
    fragments.return(undefined).catch(() => undefined)
  }
}

/** What other people's code throws is not a bug of ours. */
async function* opened({ open, node }: RemoteStream, signal: AbortSignal): AsyncGenerator<Fragment> {
  try {
    yield* open(signal)
  } catch (cause) {
    const found = cause instanceof Error ? cause.message : String(cause)
    throw new MembraneError('STORE_UNAVAILABLE', `Computing at ${node} failed: ${found}`, { cause })
  }
}

function proposal({ node }: RemoteStream, { description, payload }: Fragment): ProposedFragment {
  return {
    source: 'peer',
    place: node,
    description,
    payloadBytes: payload.length,
    key: null,
    contentHash: null,
    read: async () => payload,
  }
}

/** The whole span that begins where the last one ended, once all its parts are there. */
function nextSpan(
  pending: readonly ProposedFragment[],
  { prompt, span }: RemoteStream,
  start: number,
): FoundCandidate | null {
  return findCandidates(pending, prompt).find((one) => one.span.start === start && one.span.end <= span.end) ?? null
}

async function assembled({ parts }: FoundCandidate, { prompt }: RemoteStream, signal: AbortSignal) {
  return Promise.all(
    parts.map(async ({ shape, pieces }) => {
      const fragments = await Promise.all(
        pieces.map(async ({ description, read }): Promise<Fragment> => {
          const payload = await read(signal)
          return { description, payload: payload ?? new Uint8Array(0) }
        }),
      )
      return assemblePart(prompt.model, shape, fragments)
    }),
  )
}
