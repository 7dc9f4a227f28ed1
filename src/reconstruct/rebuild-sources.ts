/** Asks everybody what they have of a prompt, and waits for the answers no longer than they can be worth. */
import { throwIfAborted } from '../core/cancel.ts'
import type { CallOptions } from '../core/compute.ts'
import type { TokenSpan } from '../core/fragment.ts'
import { LIMITS } from '../core/limits.ts'
import type { PeerFetch, PromptName, RemoteFragment } from '../core/ports.ts'
import type { ProposedFragment } from './rebuild-candidates.ts'
import type { RemotePrefillOffer } from './rebuild-plan.ts'
import type { LocalFragment, RebuildMemory, RebuildParts } from './rebuild-ports.ts'
import { deadline, LinkedAbort, untilAborted } from './waiting.ts'

/** Which prompt, and how long to wait. */
export interface LookUp extends CallOptions {
  readonly prompt: PromptName
  readonly blocks: number
  readonly blockTokens: number
  /** From the call on. */
  readonly seconds: number
  readonly leaseSeconds: number
}

/** What was proposed, and who was not heard of. */
export interface LookedUp {
  readonly proposed: readonly ProposedFragment[]
  /** Sentences; empty as a rule. */
  readonly unheard: readonly string[]
}

/**
 * The node itself and the directory, at once. Who is late or fails has nothing; when the node has fragments of every
 * block, the directory is not waited for. Throws ABORTED.
 */
export async function lookUp(parts: RebuildParts, options: LookUp): Promise<LookedUp> {
  const { memory, directory, peers, alarm } = parts
  const { prompt, seconds, signal, leaseSeconds } = options
  throwIfAborted(signal)
  const late = new LinkedAbort(signal)
  const cancel = deadline(alarm, seconds, () => {
    late.abort()
  })
  try {
    const found = answer(() => memory.find(prompt, leaseSeconds), late.signal)
    const located =
      directory === null || peers === null
        ? null
        : answer(() => directory.locate(prompt, { signal: late.signal }), late.signal)
    const local = await found
    const ofNode = (local ?? []).slice(0, LIMITS.rebuildFragmentsMax).map((one) => fromMemory(memory, one))
    const isEnough = located === null || coversAll(ofNode, options)
    const remote = isEnough ? [] : await located
    throwIfAborted(signal)
    const ofPeers =
      peers === null
        ? []
        : (remote ?? []).slice(0, LIMITS.rebuildFragmentsMax).map((one) => fromPeer(peers, prompt, one))
    const unheard = [
      ...(local === null ? ['The fragments of this node were not found in time.'] : []),
      ...(remote === null ? ['The directory did not answer in time.'] : []),
    ]
    return { proposed: [...ofNode, ...ofPeers], unheard }
  } finally {
    cancel()
    late.abort()
  }
}

/** Null when there is none in time, or it failed: nobody is worth less than an answer. */
async function answer<T>(ask: () => Promise<T>, signal: AbortSignal): Promise<T | null> {
  try {
    return await untilAborted(ask(), signal)
  } catch {
    return null
  }
}

function fromMemory(memory: RebuildMemory, fragment: LocalFragment): ProposedFragment {
  const { key, description, payloadBytes, tier } = fragment
  return {
    source: tier,
    place: tier,
    description,
    payloadBytes,
    key,
    // The node's stores verify what they read.
    contentHash: null,
    read: async (signal) => memory.read(key, { signal }),
  }
}

function fromPeer(peers: PeerFetch, { tenant }: PromptName, fragment: RemoteFragment): ProposedFragment {
  const { node, description, payloadBytes, contentHash } = fragment
  return {
    source: 'peer',
    place: node,
    description,
    payloadBytes,
    key: null,
    contentHash,
    read: async (signal) => peers.fetch(tenant, fragment, { signal }),
  }
}

/** Whether some fragment stands at every block, whatever is in it. */
function coversAll(fragments: readonly ProposedFragment[], { blocks, blockTokens }: LookUp): boolean {
  const spans = fragments.map(({ description }) => description.signature.tokens)
  return gapsBetween(spans, { start: 0, end: blocks * blockTokens }).length === 0
}

/** What of `whole` none of the spans covers, in order. */
function gapsBetween(spans: readonly TokenSpan[], whole: TokenSpan): readonly TokenSpan[] {
  const gaps: TokenSpan[] = []
  let { start } = whole
  for (const span of spans.toSorted((a, b) => a.start - b.start)) {
    if (span.start > start) gaps.push({ start, end: Math.min(span.start, whole.end) })
    start = Math.max(start, span.end)
    if (start >= whole.end) return gaps
  }
  if (start < whole.end) gaps.push({ start, end: whole.end })
  return gaps
}

/**
 * What other nodes would take for the stretches that nobody has, and for all of the prompt. Of whole blocks, and never
 * the last token, which is computed here.
 */
export function findOffers(
  { remotePrefill }: RebuildParts,
  { prompt, blockTokens }: LookUp,
  { spans, promptTokens }: { readonly spans: readonly TokenSpan[]; readonly promptTokens: number },
): readonly RemotePrefillOffer[] {
  if (remotePrefill === null) return []
  const end = promptTokens - 1 - ((promptTokens - 1) % blockTokens)
  if (end === 0) return []
  const gaps = gapsBetween(spans, { start: 0, end }).slice(0, LIMITS.rebuildOffersMax)
  const whole = { start: 0, end }
  const isWhole = gaps.some((gap) => gap.start === 0 && gap.end === end)
  return [...gaps, ...(isWhole ? [] : [whole])].flatMap((span) => {
    const estimate = remotePrefill.estimate(prompt, span)
    if (estimate === null) return []
    const { node, waitSeconds, prefillSeconds, transferSeconds } = estimate
    return [{ node, span, seconds: waitSeconds + prefillSeconds + transferSeconds }]
  })
}
