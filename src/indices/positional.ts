/**
 * Which fragments lie where in a sequence: what overlaps a span of tokens, and what lies next to it. Positions of one
 * sequence say nothing about another's, nor about another model's or tenant's: each has its own tree. That a fragment
 * lies at a position says nothing about the tokens there: only block hashes do.
 */
import { MembraneError } from '../core/errors.ts'
import type { TokenSpan } from '../core/fragment.ts'
import type { ModelFingerprint, TenantId } from '../core/ids.ts'
import { EMPTY_TREE, INTERVAL_END_MAX, IntervalForest } from './interval-tree.ts'

/** Whose positions are counted. */
export interface Sequence {
  readonly tenant: TenantId
  readonly model: ModelFingerprint
  /** A session or document, as whoever put the fragment names it. */
  readonly sequence: string
}

export interface PositionalOptions {
  /** Spans of all sequences; another one is refused with LIMIT_REACHED. About 56 bytes each. */
  readonly spansMax: number
  /** Against an order of calls that was chosen to slow the index down: any whole number of 32 bits. */
  readonly seed: number
}

export interface Neighbourhood {
  /** Those that end at the span's start or before it, the nearest first. */
  readonly before: readonly number[]
  /** Those that start at its end or after it, the nearest first. */
  readonly after: readonly number[]
}

interface Trees {
  byStart: number
  /** The same spans by their end, for what lies before a span. */
  byEnd: number
  spans: number
}

/** Fragments are whole numbers from 0 to 2^31 - 1, and distinct; several may have the same span. */
export class PositionalIndex {
  readonly #spansMax: number
  readonly #forest: IntervalForest
  readonly #trees = new Map<string, Trees>()
  #spans = 0

  constructor({ spansMax, seed }: PositionalOptions) {
    this.#spansMax = spansMax
    this.#forest = new IntervalForest(seed)
  }

  get spans(): number {
    return this.#spans
  }

  get sequences(): number {
    return this.#trees.size
  }

  /** Throws LIMIT_REACHED, and INVALID_FRAGMENT for a span that is none; nothing has changed then. */
  insert(sequence: Sequence, span: TokenSpan, fragment: number): void {
    checkSpan(span)
    if (this.#spans >= this.#spansMax) {
      throw new MembraneError('LIMIT_REACHED', `The positional index holds at most ${this.#spansMax} spans.`, {
        details: { max: this.#spansMax },
      })
    }
    const name = nameOf(sequence)
    const trees = this.#trees.get(name) ?? { byStart: EMPTY_TREE, byEnd: EMPTY_TREE, spans: 0 }
    trees.byStart = this.#forest.insert(trees.byStart, { ...span, value: fragment })
    trees.byEnd = this.#forest.insert(trees.byEnd, byEnd(span, fragment))
    trees.spans += 1
    this.#spans += 1
    this.#trees.set(name, trees)
  }

  /** Whether it was there. */
  remove(sequence: Sequence, span: TokenSpan, fragment: number): boolean {
    const name = nameOf(sequence)
    const trees = this.#trees.get(name)
    if (trees === undefined) return false
    const before = this.#forest.count
    trees.byStart = this.#forest.remove(trees.byStart, { ...span, value: fragment })
    if (this.#forest.count === before) return false
    trees.byEnd = this.#forest.remove(trees.byEnd, byEnd(span, fragment))
    trees.spans -= 1
    this.#spans -= 1
    if (trees.spans === 0) this.#trees.delete(name)
    return true
  }

  /** Fragments that share a token with the span, by start: the first `limit` of them. */
  overlapping(sequence: Sequence, span: TokenSpan, limit: number): readonly number[] {
    const trees = this.#trees.get(nameOf(sequence))
    const found: number[] = []
    if (trees === undefined || limit < 1 || span.start >= span.end) return found
    this.#forest.overlapping(trees.byStart, span.start, span.end, (fragment) => found.push(fragment) < limit)
    return found
  }

  /** Fragments that hold the token at `position`, by start: the first `limit` of them. */
  at(sequence: Sequence, position: number, limit: number): readonly number[] {
    return this.overlapping(sequence, { start: position, end: position + 1 }, limit)
  }

  /** Fragments that lie beside the span, at most `gapTokensMax` tokens away: the nearest `limit` on each side. */
  adjacent(sequence: Sequence, span: TokenSpan, options: AdjacentOptions): Neighbourhood {
    const trees = this.#trees.get(nameOf(sequence))
    const before: number[] = []
    const after: number[] = []
    const { gapTokensMax, limit } = options
    if (trees === undefined || limit < 1) return { before, after }
    const { start, end } = span
    const last = INTERVAL_END_MAX - start
    this.#forest.startingIn(trees.byEnd, last, last + gapTokensMax, (fragment) => before.push(fragment) < limit)
    this.#forest.startingIn(trees.byStart, end, end + gapTokensMax, (fragment) => after.push(fragment) < limit)
    return { before, after }
  }

  /** The fragment of every span, in no order. */
  forEach(visit: (fragment: number) => void): void {
    for (const { byStart } of this.#trees.values()) {
      this.#forest.startingIn(byStart, 0, INTERVAL_END_MAX, (fragment) => {
        visit(fragment)
        return true
      })
    }
  }
}

/** How far from a span to look, and how many to give. */
export interface AdjacentOptions {
  readonly gapTokensMax: number
  /** On each side. */
  readonly limit: number
}

/** Counted from the far end, so that the order of the tree is that of the distance from a span that follows. */
function byEnd({ start, end }: TokenSpan, value: number): { start: number; end: number; value: number } {
  return { start: INTERVAL_END_MAX - end, end: INTERVAL_END_MAX - start, value }
}

function checkSpan({ start, end }: TokenSpan): void {
  if (Number.isInteger(start) && Number.isInteger(end) && start >= 0 && start <= end && end <= INTERVAL_END_MAX) return
  throw new MembraneError(
    'INVALID_FRAGMENT',
    `A token span is two whole numbers from 0 to 2^31 - 1, the end not below the start, found [${start}, ${end}).`,
    { details: { start, end } },
  )
}

/** The sequence is the last: it may hold any character, the others hold no space. */
function nameOf({ tenant, model, sequence }: Sequence): string {
  return `${tenant} ${model} ${sequence}`
}
