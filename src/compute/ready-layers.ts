/** What a prefill that goes on has made already, so that it can be read before the prefill ends. */
import type { ContextPart, ReadyLayers } from '../core/compute.ts'
import { parseLayerTensor } from '../core/fragment-tensors.ts'
import type { Span, TokenSpan } from '../core/fragment.ts'

/** Of one prefill, whose stretches of positions come in order, and the layers of each. */
export class LayerProgress {
  /** All layers of the positions before are there. */
  #doneTokens: number
  #current: ReadyLayers
  readonly #layers: Span

  constructor(startTokens: number, layers: Span) {
    this.#doneTokens = startTokens
    this.#layers = layers
    this.#current = { layers: { start: 0, end: 0 }, span: { start: startTokens, end: startTokens } }
  }

  add(ready: ReadyLayers): void {
    this.#current = ready
    if (ready.layers.end === this.#layers.end) this.#doneTokens = ready.span.end
  }

  /** Whether these layers of all positions of the span that are not before the prefill are there. */
  covers({ end }: TokenSpan, layers: Span = this.#layers): boolean {
    return end <= this.#doneTokens || (end <= this.#current.span.end && layers.end <= this.#current.layers.end)
  }
}

/** What `read` gives when some layers are asked for: no states, and of KV those layers. */
export function partsOfLayers(parts: readonly ContextPart[], layers: Span | undefined): readonly ContextPart[] {
  if (layers === undefined) return parts
  return parts
    .filter(({ signature }) => signature.kind === 'kv')
    .map((part) => ({
      ...part,
      signature: { ...part.signature, layers },
      tensors: part.tensors.filter(({ name }) => isOfLayers(name, layers)),
    }))
}

export function isOfLayers(name: string, { start, end }: Span): boolean {
  const layer = parseLayerTensor(name)?.layer ?? -1
  return layer >= start && layer < end
}
