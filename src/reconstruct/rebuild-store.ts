/** Keeps what was computed, so that it is found the next time. */
import { type CallOptions, contextBytes, type KvContext } from '../core/compute.ts'
import { MembraneError } from '../core/errors.ts'
import { contextName, fragmentKey } from '../core/fragment-key.ts'
import type { Fragment, TokenSpan } from '../core/fragment.ts'
import { fragmentsOfParts } from './context-parts.ts'
import { fragmentSpans } from './fragmentize.ts'
import type { FoundCandidate, PromptShape } from './rebuild-candidates.ts'
import type { RebuildParts, StoreReport } from './rebuild-ports.ts'

/** A span that this node has already as fragments of its own, with their keys. */
export interface StoredSpan {
  readonly span: TokenSpan
  readonly keys: readonly string[]
}

/** By `spanText`. */
export type StoredSpans = ReadonlyMap<string, StoredSpan>

export function storedSpans(candidates: readonly FoundCandidate[]): StoredSpans {
  return new Map(
    candidates.flatMap(({ span, parts, assemble }) => {
      // KV out of a fragment of another prompt.
      if (assemble !== undefined) return []
      const pieces = parts.flatMap((part) => part.pieces)
      const keys = pieces.flatMap(({ key }) => key ?? [])
      return keys.length === pieces.length && keys.length > 0 ? [[spanText(span), { span, keys }] as const] : []
    }),
  )
}

export function spanText({ start, end }: TokenSpan): string {
  return `${start}-${end}`
}

/** The whole blocks of what was computed; null where there are none. */
export function wholeBlocks({ start, end }: TokenSpan, blockTokens: number): TokenSpan | null {
  const first = Math.ceil(start / blockTokens) * blockTokens
  const last = end - (end % blockTokens)
  return last > first ? { start: first, end: last } : null
}

/** The fragments of a span of whole blocks, as copies: what the context does next does not change them. */
export async function copyFragments(
  context: KvContext,
  { span, prompt }: { readonly span: TokenSpan; readonly prompt: PromptShape },
  options: CallOptions,
): Promise<readonly Fragment[]> {
  const { model, blockTokens, blocks } = prompt
  return fragmentsOfParts(model, await context.read(span, options), { span, blockTokens, blocks })
}

/**
 * What was computed for one prompt, as copies that were taken between two calls of the engine, until the prompt is
 * ready: of a prompt that fails nothing is stored.
 */
export class ComputedFragments {
  readonly #bytesMax: number
  readonly #fragments: Fragment[] = []
  #bytes = 0
  #unkept = 0

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax
  }

  /** Copies the whole blocks of what has just been computed. */
  async keep(
    context: KvContext,
    { span, prompt }: { readonly span: TokenSpan; readonly prompt: PromptShape },
    options: CallOptions,
  ): Promise<void> {
    const { parts } = prompt.model
    const bytes = contextBytes(prompt.model, span.end - span.start)
    if (this.#bytes + bytes > this.#bytesMax) {
      this.#unkept += parts.length
      return
    }
    this.#bytes += bytes
    this.#fragments.push(...(await copyFragments(context, { span, prompt }, options)))
  }

  /** In order, so that what others build upon comes first. Frees each as it goes. */
  async store(memory: RebuildParts['memory']): Promise<Stored> {
    const writer = new FragmentWriter(memory)
    if (this.#unkept > 0)
      writer.refuse(
        this.#unkept,
        new MembraneError(
          'LIMIT_REACHED',
          `More than ${this.#bytesMax} bytes of one prompt are not held to be stored.`,
        ),
      )
    for (let next = this.#fragments.shift(); next !== undefined; next = this.#fragments.shift()) await writer.put(next)
    return writer.stored
  }
}

/** What was stored, and under which keys. */
export interface Stored {
  readonly report: StoreReport
  readonly keys: readonly { readonly key: string; readonly start: number }[]
}

/** Puts one fragment after the other, and goes on when one fails. */
class FragmentWriter {
  readonly #memory: RebuildParts['memory']
  readonly #keys: { readonly key: string; readonly start: number }[] = []
  #report: StoreReport = { fragments: 0, bytes: 0, refused: 0, error: null }

  constructor(memory: RebuildParts['memory']) {
    this.#memory = memory
  }

  get stored(): Stored {
    return { report: this.#report, keys: this.#keys }
  }

  async put(fragment: Fragment): Promise<void> {
    const { description, payload } = fragment
    try {
      if ((await this.#memory.put(fragment)) === 'refused') {
        this.refuse(1, null)
        return
      }
    } catch (error) {
      this.refuse(1, error instanceof Error ? error : new Error(String(error)))
      return
    }
    this.#keys.push({ key: fragmentKey(contextName(description)), start: description.signature.tokens.start })
    const { fragments, bytes } = this.#report
    this.#report = { ...this.#report, fragments: fragments + 1, bytes: bytes + payload.length }
  }

  /** The first error is told. */
  refuse(fragments: number, error: Error | null): void {
    this.#report = {
      ...this.#report,
      refused: this.#report.refused + fragments,
      error: this.#report.error ?? error,
    }
  }
}

/** Reads, copies and stores one fragment after the other: no more than one is held. */
export async function storeSpans(
  parts: RebuildParts,
  context: KvContext,
  {
    prompt,
    whole,
    stored,
    signal,
  }: CallOptions & { readonly prompt: PromptShape; readonly whole: TokenSpan; readonly stored: StoredSpans },
): Promise<Stored> {
  const writer = new FragmentWriter(parts.memory)
  const { spans } = fragmentSpans(whole, parts.fragmentize)
  const hasState = parts.model.parts.some(({ kind }) => kind === 'state')
  try {
    for (const span of hasState ? spans.filter((one) => !stored.has(spanText(one))) : missingOf(spans, stored)) {
      const given = await context.read(span, { signal })
      // A state is there at the end alone; KV without one is worth nothing.
      if (hasState && given.length < parts.model.parts.length) continue
      const { blockTokens, blocks } = prompt
      for (const one of fragmentsOfParts(parts.model, given, { span, blockTokens, blocks })) await writer.put(one)
    }
  } catch (error) {
    writer.refuse(1, error instanceof Error ? error : new Error(String(error)))
  }
  return writer.stored
}

/** What no stored fragment covers: pieces that were stored one by one are not stored again as a whole. */
function missingOf(spans: readonly TokenSpan[], stored: StoredSpans): readonly TokenSpan[] {
  const covers = Array.from(stored.values(), ({ span }) => span).toSorted((a, b) => a.start - b.start)
  return spans.flatMap((span) => {
    const missing: TokenSpan[] = []
    let at = span.start
    for (const cover of covers) {
      if (cover.end <= at || cover.start >= span.end) continue
      if (cover.start > at) missing.push({ start: at, end: cover.start })
      at = cover.end
    }
    return at < span.end ? [...missing, { start: at, end: span.end }] : missing
  })
}
