/** Reads the fragments of a candidate and makes sure that they are what they were said to be. */
import type { ContextPart, KvModel } from '../core/compute.ts'
import { type ErrorCode, MembraneError } from '../core/errors.ts'
import type { Fragment } from '../core/fragment.ts'
import { contentHashAlgorithm } from '../core/ids.ts'
import type { ContentHashers, Stopwatch } from '../core/ports.ts'
import { assemblePart } from './context-parts.ts'
import type { ReadSlots } from './read-slots.ts'
import type { FoundCandidate, ProposedFragment } from './rebuild-candidates.ts'
import type { RateBook } from './rebuild-ports.ts'
import type { SharedReads } from './shared-reads.ts'
import { LinkedAbort, untilAborted } from './waiting.ts'

/** What reading needs. */
export interface ReadTools {
  readonly model: KvModel
  readonly hashers: ContentHashers
  readonly stopwatch: Stopwatch
  readonly rates: RateBook
  readonly slots: ReadSlots
  readonly shared: SharedReads
}

/** Wrong, missing and failed reads are outcomes: whoever asked has another way. */
export type ReadOutcome =
  | { readonly kind: 'read'; readonly parts: readonly ContextPart[]; readonly seconds: number }
  | { readonly kind: 'gap'; readonly code: ErrorCode; readonly reason: string }

/** All its fragments at once, as far as there are slots; when one fails, the others are abandoned. */
export async function readCandidate(
  { parts, assemble }: FoundCandidate,
  tools: ReadTools,
  signal: AbortSignal,
): Promise<ReadOutcome> {
  const abort = new LinkedAbort(signal)
  const beganSeconds = tools.stopwatch.seconds()
  try {
    const payloads = await Promise.all(
      parts.map(({ pieces }) => Promise.all(pieces.map((piece) => readPiece(piece, tools, abort.signal)))),
    )
    const seconds = tools.stopwatch.seconds() - beganSeconds
    const assembled =
      assemble?.(payloads.flat()) ??
      parts.map(({ shape }, index) => assemblePart(tools.model, shape, payloads[index] ?? []))
    return { kind: 'read', parts: assembled, seconds }
  } catch (error) {
    if (error instanceof MembraneError) return { kind: 'gap', code: error.code, reason: error.message }
    throw error
  } finally {
    abort.abort()
  }
}

/** Throws a MembraneError, whatever went wrong outside. */
async function readPiece(piece: ProposedFragment, tools: ReadTools, signal: AbortSignal): Promise<Fragment> {
  const { place, description } = piece
  const free = await tools.slots.take(place, signal)
  try {
    const end = tools.shared.begin(place)
    const { latencySeconds } = tools.rates.read(place)
    let seconds = 0
    const payload = await untilAborted(outside(piece.read(signal), place), signal).finally(() => {
      seconds = end(latencySeconds)
    })
    if (payload === null) throw new MembraneError('NOT_FOUND', `${place} has it no more, or only damaged.`)
    verify(payload, piece, tools.hashers)
    tools.rates.observeRead(place, payload.length, seconds)
    return { description, payload }
  } finally {
    free()
  }
}

/** What other people's code throws is not a bug of ours. */
async function outside<T>(promise: Promise<T>, place: string): Promise<T> {
  try {
    return await promise
  } catch (cause) {
    const found = cause instanceof Error ? cause.message : String(cause)
    throw new MembraneError('STORE_UNAVAILABLE', `Reading from ${place} failed: ${found}`, { cause })
  }
}

function verify(payload: Uint8Array, piece: ProposedFragment, hashers: ContentHashers): void {
  const { place, payloadBytes, contentHash } = piece
  if (payload.length !== payloadBytes)
    throw new MembraneError(
      'CONTENT_MISMATCH',
      `${place} was to give ${payloadBytes} bytes; it gave ${payload.length}.`,
    )
  if (contentHash === null) return
  const found = hashers[contentHashAlgorithm(contentHash)].hash(payload)
  if (found !== contentHash)
    throw new MembraneError('CONTENT_MISMATCH', `${place} gave bytes of another content: ${found}.`, {
      details: { place, expected: contentHash, found },
    })
}
