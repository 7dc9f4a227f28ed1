/**
 * Makes a prompt ready in an engine: what anybody has of it is fetched, verified and written, what is missing is
 * computed, and the context is as if all had been computed. Missing, late and wrong bytes are gaps, never an answer.
 */
import type { KvContext } from '../core/compute.ts'
import { MembraneError } from '../core/errors.ts'
import { type ApproximateLabel, labelApproximate } from './moved-divergence.ts'
import { rememberMoved } from './moved-reuse.ts'
import type { RebuildPlan } from './rebuild-plan.ts'
import type { RebuildParts, RebuildRequest, RebuildResult, StoreReport } from './rebuild-ports.ts'
import { findForPrompt, prepareRebuild } from './rebuild-prepare.ts'
import { RebuildRun } from './rebuild-run.ts'
import { type Stored, storedSpans, storeSpans } from './rebuild-store.ts'
import { nextTurn } from './waiting.ts'

/**
 * `context` is used by nobody else until this ends; it has room for the prompt. What it holds is taken for KV of the
 * prompt's first tokens, as far as whole blocks go: clear it when it is not. With `reuse: 'none'` it is cleared.
 *
 * A wait for KV ends when computing it would have been done; a place that was waited for in vain is not waited for
 * again. Throws INVALID_REQUEST for hashes that are not those of the tokens, OUT_OF_DOMAIN for more tokens than the
 * model takes, ABORTED, and what the engine throws; then the context is empty and nothing is stored.
 */
export async function rebuildContext(
  parts: RebuildParts,
  context: KvContext,
  request: RebuildRequest,
): Promise<RebuildResult> {
  const { stopwatch, memory } = parts
  const beganSeconds = stopwatch.seconds()
  try {
    const residentTokens = await keepResident(parts, context, request)
    const prepared = await prepareRebuild(parts, request, residentTokens)
    const run = new RebuildRun(parts, context, request, prepared)
    const explain = await run.run()
    const seconds = stopwatch.seconds() - beganSeconds
    const reused = explain.filter(({ source }) => source !== 'prefill' && source !== 'remote-prefill')
    const reusedTokens = reused.reduce((sum, { start, end }) => sum + end - start, 0)
    return {
      plan: prepared.plan,
      explain,
      reusedTokens,
      prefilledTokens: prepared.promptTokens - reusedTokens,
      failedReads: run.failedReads,
      unheard: prepared.unheard,
      approximate: run.isApproximate ? await label(parts, context, request) : null,
      seconds,
      stored: storeComputed(parts, request, {
        run: () => run.computed.store(memory),
        keys: run.keys,
        isExact: !run.isApproximate,
      }),
    }
  } catch (error) {
    clear(context)
    throw error
  }
}

/**
 * What `rebuildContext` would do now. `residentTokens`: leading tokens, of whole blocks, that its context would hold.
 * Looks everything up, reads and computes nothing. Throws as `rebuildContext`.
 */
export async function planContext(
  parts: RebuildParts,
  request: RebuildRequest,
  residentTokens: number,
): Promise<RebuildPlan> {
  return (await prepareRebuild(parts, request, residentTokens)).plan
}

/** A prompt and what was generated after it. */
export interface StoreRequest extends RebuildRequest {
  /** The first token that was not stored yet; stored from the beginning of its block on. */
  readonly start: number
}

/**
 * Stores what a context holds of `tokenIds` from `start` on, such as KV of generated tokens, as far as it is not stored
 * here already. Uses the context until it ends, holding one fragment at a time. Of a model with a recurrent state only
 * what ends where its state stands can be stored. With `reuse: 'moved'` nothing is: say `exact` where the rebuild was.
 * Never rejects.
 */
export async function storeContext(
  parts: RebuildParts,
  context: KvContext,
  request: StoreRequest,
): Promise<StoreReport> {
  const { tokenIds, signal, reuse } = request
  if (reuse === 'moved') return NOTHING_STORED
  const { blockTokens } = parts.fragmentize
  const filled = Math.min(tokenIds.length, context.filledTokens)
  const whole = { start: request.start - (request.start % blockTokens), end: filled - (filled % blockTokens) }
  try {
    const { prompt, candidates } = await findForPrompt(
      { ...parts, directory: null, peers: null, remotePrefill: null },
      request,
      0,
    )
    const stored = storedSpans(candidates)
    const run = async (): Promise<Stored> =>
      whole.end > whole.start
        ? storeSpans(parts, context, { prompt, whole, stored, signal })
        : { report: NOTHING_STORED, keys: [] }
    const written = await run()
    rememberMoved(parts, request)
    return await tellSession(parts, request, { stored: written, keys: [] })
  } catch (error) {
    return { ...NOTHING_STORED, error: errorOf(error) }
  }
}

/** How far from what the model would have said. */
async function label(
  { moved = null }: RebuildParts,
  context: KvContext,
  { tokenIds, signal }: RebuildRequest,
): Promise<ApproximateLabel> {
  const measure = moved?.measure ?? null
  if (measure === null) return { sampled: false, klNats: null }
  return await labelApproximate(measure.backend, { tokenIds, logits: context.logits() }, { ...measure, signal })
}

const NOTHING_STORED: StoreReport = { fragments: 0, bytes: 0, refused: 0, error: null }

type KeyAt = { readonly key: string; readonly start: number }

/** How much of the prompt the context holds already; everything else is cleared. */
async function keepResident(parts: RebuildParts, context: KvContext, request: RebuildRequest): Promise<number> {
  const { blockTokens } = parts.fragmentize
  const filled = Math.min(context.filledTokens, request.tokenIds.length)
  const tokens = request.reuse === 'none' ? 0 : filled - (filled % blockTokens)
  const canGoOn = tokens > 0 && (await hasStateAt(parts, context, tokens))
  context.truncate(canGoOn ? tokens : 0)
  return canGoOn ? tokens : 0
}

/** A recurrent state stands at one token only, and that is where the context ends. */
async function hasStateAt({ model, fragmentize }: RebuildParts, context: KvContext, tokens: number): Promise<boolean> {
  if (model.parts.every(({ kind }) => kind === 'kv')) return true
  const given = await context.read({ start: tokens - fragmentize.blockTokens, end: tokens })
  return given.length === model.parts.length
}

async function storeComputed(
  parts: RebuildParts,
  request: RebuildRequest,
  {
    run,
    keys,
    isExact,
  }: { readonly run: () => Promise<Stored>; readonly keys: readonly KeyAt[]; readonly isExact: boolean },
): Promise<StoreReport> {
  try {
    // The first token is drawn before anything is hashed.
    await nextTurn(parts.alarm)
    const stored = await run()
    if (isExact) rememberMoved(parts, request)
    return await tellSession(parts, request, { stored, keys })
  } catch (error) {
    return { ...NOTHING_STORED, error: errorOf(error) }
  }
}

/** In the order of the prompt. */
async function tellSession(
  { memory }: RebuildParts,
  { session }: RebuildRequest,
  { stored, keys }: { readonly stored: Stored; readonly keys: readonly KeyAt[] },
): Promise<StoreReport> {
  const all = [...keys, ...stored.keys].toSorted((a, b) => a.start - b.start).map(({ key }) => key)
  if (session === null || all.length === 0) return stored.report
  try {
    memory.used(session, [...new Set(all)])
    return stored.report
  } catch (error) {
    return { ...stored.report, error: stored.report.error ?? errorOf(error) }
  }
}

/** Whatever it was used for, nothing of it is to be found in the context. */
function clear(context: KvContext): void {
  try {
    context.truncate(0)
  } catch (error) {
    // One that has been closed holds nothing.
    if (!(error instanceof MembraneError)) throw error
  }
}

function errorOf(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error))
}
