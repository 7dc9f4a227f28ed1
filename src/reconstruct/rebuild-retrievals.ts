/** From a plan to what brings its KV: reads, with other places to fall back on, and streams of other nodes. */
import { contextBytes } from '../core/compute.ts'
import type { PromptName } from '../core/ports.ts'
import { assert } from '../core/errors.ts'
import { LIMITS } from '../core/limits.ts'
import { type ReadTools, readCandidate } from './read-candidate.ts'
import { ReadSlots } from './read-slots.ts'
import type { FoundCandidate } from './rebuild-candidates.ts'
import type { PlanStep } from './rebuild-plan.ts'
import type { FailedRead, RebuildOptions, RebuildParts, RebuildRequest } from './rebuild-ports.ts'
import type { PreparedRebuild } from './rebuild-prepare.ts'
import { spanText } from './rebuild-store.ts'
import { takeRemotePrefill } from './remote-prefill-work.ts'
import { SharedReads } from './shared-reads.ts'
import type { Retrieval, RetrievalQueue, RetrievalWork } from './retrieval.ts'

/** What retrievals are made from. */
export interface RetrievalParts {
  readonly parts: RebuildParts
  readonly request: RebuildRequest
  readonly prepared: PreparedRebuild
  readonly options: RebuildOptions
  readonly queue: RetrievalQueue
  /** `lost`: the span, as `spanText`, of fragments of this node that could not be read, and are to be stored anew. */
  readonly onFailure: (failure: FailedRead, lost: string | null) => void
}

/** One for each step, or null where nothing is brought; steps that use one candidate share one. */
export function retrievalsOf(from: RetrievalParts): readonly (Retrieval | null)[] {
  const { parts, prepared, options, queue } = from
  const slots = new ReadSlots(options.parallelReads)
  const tools: ReadTools = { ...parts, slots, shared: new SharedReads(parts.stopwatch) }
  const bySpan = Map.groupBy(prepared.candidates, ({ span }) => spanText(span))
  const shared = new Map<number, Retrieval>()
  return prepared.plan.steps.map((step) => {
    const { source, index } = step
    if (source === 'prefill' || source === 'resident') return null
    assert(index !== null, 'what is not computed has a number')
    if (source === 'remote-prefill') return queue.add(remotePrefillWork(from, step, index))
    const before = shared.get(index)
    if (before !== undefined) return before
    const candidate = prepared.candidates[index]
    assert(candidate !== undefined && candidate.source === source, 'a step names its candidate')
    const others = (bySpan.get(spanText(candidate.span)) ?? []).filter((other) => other !== candidate)
    const retrieval = queue.add(readWork(from, tools, { step, candidates: [candidate, ...worthwhile(from, others)] }))
    shared.set(index, retrieval)
    return retrieval
  })
}

/** The same KV elsewhere, soonest first, where reading it is faster than computing. */
function worthwhile({ parts, options }: RetrievalParts, others: readonly FoundCandidate[]): readonly FoundCandidate[] {
  const { rates } = parts
  return others
    .filter(({ source }) => source !== 'resident')
    .map((candidate) => {
      const { latencySeconds, bytesPerSecond } = rates.read(candidate.place)
      const waits = Math.ceil(candidate.reads / options.parallelReads)
      return { candidate, seconds: latencySeconds * waits + candidate.bytes / bytesPerSecond }
    })
    .filter(({ candidate, seconds }) => seconds < rates.prefillSeconds(candidate.span))
    .toSorted((a, b) => a.seconds - b.seconds)
    .slice(0, LIMITS.rebuildRetriesMax)
    .map(({ candidate }) => candidate)
}

function readWork(
  { onFailure, options }: RetrievalParts,
  tools: ReadTools,
  { step, candidates }: { readonly step: PlanStep; readonly candidates: readonly FoundCandidate[] },
): RetrievalWork {
  const fitting = candidates.filter(({ bytes }, index) => index === 0 || bytes <= options.bytesInFlightMax)
  return {
    bytes: Math.max(...fitting.map(({ bytes }) => bytes)),
    place: candidates[0]?.place ?? '',
    run: async (retrieval) => {
      const failures: string[] = []
      for (const candidate of fitting) {
        retrieval.askInstead(candidate.place)
        const outcome = await readCandidate(candidate, tools, retrieval.signal)
        if (retrieval.signal.aborted) return 'It was given up.'
        const { span, source, place, bytes } = candidate
        const keys = candidate.parts.flatMap(({ pieces }) => pieces.flatMap(({ key }) => key ?? []))
        if (outcome.kind === 'read') {
          const { parts, seconds } = outcome
          const planned = { span, parts, source, bytes, seconds, keys }
          const instead = `From ${place} instead. ${failures.join(' ')}`
          retrieval.deliver(
            failures.length === 0
              ? {
                  ...planned,
                  get reason() {
                    return step.reason
                  },
                }
              : { ...planned, reason: instead },
          )
          return null
        }
        const { code, reason } = outcome
        onFailure({ place, code, reason }, keys.length > 0 ? spanText(span) : null)
        failures.push(reason)
      }
      return failures.join(' ')
    },
  }
}

function remotePrefillWork(from: RetrievalParts, step: PlanStep, index: number): RetrievalWork {
  const { parts, prepared, request, queue } = from
  const { remotePrefill, model, fragmentize, stopwatch } = parts
  const offer = prepared.offers[index]
  assert(remotePrefill !== null && offer !== undefined, 'a step names its offer')
  const { node } = offer
  // One fragment is on its way or waits to be written.
  const bytes = contextBytes(model, Math.min(fragmentize.fragmentTokens, offer.span.end - offer.span.start))
  const { tenant, hashes, tokenIds } = request
  const prompt: PromptName & { readonly tokenIds: Uint32Array } = { tenant, model: model.fingerprint, hashes, tokenIds }
  return {
    bytes,
    place: node,
    run: (retrieval) =>
      takeRemotePrefill(
        {
          node,
          span: step.span,
          prompt: prepared.prompt,
          stopwatch,
          bytesMax: bytes + model.parts.length * LIMITS.safetensorsHeaderBytesMax,
          reason: step.reason,
          bell: queue.bell,
          open: (signal) => remotePrefill.prefill(prompt, offer.span, { signal }),
        },
        retrieval,
      ),
  }
}
