// HOT: 0.1 µs a candidate.
/** Candidates and offers as ways through a prompt: what they cost, and which of them are worth a look. */
import { assert } from '../core/errors.ts'
import type { TokenSpan } from '../core/fragment.ts'
import { keepNeeded } from './plan-rebuild-needed.ts'
import { emptyWays, type Ways } from './plan-rebuild-columns.ts'
import type { RebuildPlanRequest, RefusedCandidate, ReuseCandidate } from './rebuild-plan.ts'

export interface FoundWays {
  /** Ascending by start. */
  readonly ways: Ways
  /** Candidates that no plan can use, or need. */
  readonly refused: readonly RefusedCandidate[]
}

const AT_THE_END =
  'Computing can go on only behind its last token, and that is the last of the prompt, which is always computed here.'

export function waysOf(request: RebuildPlanRequest): FoundWays {
  const refused: RefusedCandidate[] = []
  const writer = new WayWriter(request)
  let hasStates = false
  for (let index = 0; index < request.candidates.length; index++) {
    const candidate = request.candidates[index]
    if (candidate === undefined) continue
    hasStates ||= candidate.continuesAt === 'end'
    if (!writer.addCandidate(candidate, index)) refused.push({ index, reason: AT_THE_END })
  }
  for (const [index, { span, seconds }] of request.offers.entries())
    writer.addOffer(span, seconds, { index: request.candidates.length + index, hasStates })
  return { ways: keepNeeded(writer.finish(), request, refused), refused }
}

class WayWriter {
  readonly #request: RebuildPlanRequest
  readonly #ways: Ways
  readonly #startUpSeconds: number[] = []
  readonly #places = new Map<string, { readonly number: number; readonly latency: number; readonly rate: number }>()
  #count = 0

  constructor(request: RebuildPlanRequest) {
    this.#request = request
    this.#ways = emptyWays(request.candidates.length + request.offers.length, [])
  }

  /** Whether anything of it can be used. */
  addCandidate(candidate: ReuseCandidate, index: number): boolean {
    const { span, bytes, reads, recomputedTokens, continuesAt, source } = candidate
    checkSpan(span, this.#request)
    assert(bytes >= 0 && reads >= 0 && recomputedTokens >= 0, 'bytes, reads and recomputed tokens are counts')
    const endTokens = Math.min(span.end, this.#request.promptTokens - 1)
    if (endTokens <= span.start || (endTokens < span.end && continuesAt === 'end')) return false
    const { number, latency, rate } = this.#placeNamed(candidate.place)
    const row = this.#add(index, span.start, endTokens)
    this.#ways.place[row] = number
    this.#ways.fixedSeconds[row] = (reads * latency) / this.#request.parallelReads
    // A block that is used without its last token is read as a whole.
    this.#ways.secondsPerToken[row] = bytes / rate / (endTokens - span.start)
    // Moved KV is computed anew where it begins, so it has one beginning.
    this.#ways.isCuttable[row] = Number(continuesAt === 'any' && source !== 'moved' && recomputedTokens === 0)
    if (recomputedTokens > 0) {
      const recomputed = { start: span.start, end: Math.min(span.start + recomputedTokens, endTokens) }
      this.#ways.computeSeconds[row] = this.#request.rates.prefillSeconds(recomputed)
    }
    return true
  }

  /** An offer does not say whether its KV can be cut. Where candidates bring a recurrent state, it cannot. */
  addOffer(span: TokenSpan, seconds: number, { index, hasStates }: { index: number; hasStates: boolean }): void {
    checkSpan(span, this.#request)
    assert(seconds >= 0, `an offer takes a time, not ${seconds} s`)
    const endTokens = Math.min(span.end, this.#request.promptTokens - 1)
    if (endTokens <= span.start || (endTokens < span.end && hasStates) || seconds === Infinity) return
    const row = this.#add(index, span.start, endTokens)
    // Each offer is work of its own, elsewhere.
    this.#ways.place[row] = this.#startUpSeconds.push(0) - 1
    this.#ways.fixedSeconds[row] = seconds
  }

  finish(): Ways {
    const { index, ...columns } = this.#ways
    return {
      ...columns,
      index: index.subarray(0, this.#count),
      startUpSeconds: Float64Array.from(this.#startUpSeconds),
    }
  }

  #add(index: number, startTokens: number, endTokens: number): number {
    const row = this.#count++
    this.#ways.index[row] = index
    this.#ways.startTokens[row] = startTokens
    this.#ways.endTokens[row] = endTokens
    return row
  }

  #placeNamed(name: string) {
    const known = this.#places.get(name)
    if (known !== undefined) return known
    const { latencySeconds, bytesPerSecond } = this.#request.rates.read(name)
    assert(latencySeconds >= 0 && latencySeconds < Infinity, `a latency is a time, not ${latencySeconds} s`)
    assert(bytesPerSecond > 0, `a bandwidth is above 0, not ${bytesPerSecond} B/s`)
    const number = this.#startUpSeconds.push(latencySeconds * (1 - 1 / this.#request.parallelReads)) - 1
    const place = { number, latency: latencySeconds, rate: bytesPerSecond }
    this.#places.set(name, place)
    return place
  }
}

function checkSpan({ start, end }: TokenSpan, { promptTokens, blockTokens }: RebuildPlanRequest): void {
  if (start >= 0 && start < end && end <= promptTokens && start % blockTokens === 0 && end % blockTokens === 0) return
  assert(false, `[${start}, ${end}) is no span of blocks of ${blockTokens} of ${promptTokens} tokens`)
}
