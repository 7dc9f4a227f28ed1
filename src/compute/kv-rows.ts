/**
 * KV of one context in the host's memory, beside an engine that keeps its own out of reach: the rows of each layer, token
 * after token, and which tokens have theirs. Here spans of any order are put together and cut.
 */
import type { ContextPart, ContextPartShape } from '../core/compute.ts'
import { assert, MembraneError } from '../core/errors.ts'
import { layerTensorName } from '../core/fragment-tensors.ts'
import type { Span, TokenSpan } from '../core/fragment.ts'
import type { ModelFingerprint } from '../core/ids.ts'
import { type Dtype, tensorBytes } from '../core/safetensors-dtypes.ts'
import type { Tensor } from '../core/safetensors.ts'

/** How the rows of a model look. */
export interface KvForm {
  readonly model: ModelFingerprint
  /** `layout` begins with the axis `tokens`. */
  readonly part: ContextPartShape
  readonly dtype: Dtype
  /** Of one token's row, the lengths of the axes after `tokens`: of each layer the keys', then the values'. */
  readonly rowShapes: readonly (readonly number[])[]
}

/** Bytes of one token: all rows. */
export function kvTokenBytes({ dtype, rowShapes }: Pick<KvForm, 'dtype' | 'rowShapes'>): number {
  return rowShapes.reduce((sum, shape) => sum + rowBytesOf(dtype, shape), 0)
}

/** Room for `capacityTokens`, which takes memory from the first write on. */
export class KvRows {
  readonly #form: KvForm
  readonly #capacityTokens: number
  #rows: readonly Uint8Array[] | null = null
  /** 1 for tokens whose rows are here. */
  readonly #holds: Uint8Array

  constructor(form: KvForm, capacityTokens: number) {
    assert(form.rowShapes.length === 2 * (form.part.layers.end - form.part.layers.start), 'layers have keys and values')
    this.#form = form
    this.#capacityTokens = capacityTokens
    this.#holds = new Uint8Array(capacityTokens)
  }

  get residentBytes(): number {
    return this.#rows === null ? 0 : this.#capacityTokens * kvTokenBytes(this.#form)
  }

  /** The first token from `from` on that has no rows here. */
  heldUntil(from: number): number {
    const end = this.#holds.indexOf(0, from)
    return end < 0 ? this.#capacityTokens : end
  }

  /**
   * The span of parts that `write` takes. Throws INVALID_FRAGMENT for parts of another model or shape, and OUT_OF_DOMAIN
   * for tokens beyond the context.
   */
  checkParts(parts: readonly ContextPart[]): { readonly span: TokenSpan; readonly tensors: readonly Tensor[] } {
    const [part, ...more] = parts
    if (part === undefined || more.length > 0) throw invalid('one part', String(parts.length))
    const { model, part: own, dtype, rowShapes } = this.#form
    const { signature } = part
    const { start, end } = signature.tokens
    requireSame('pool', own.pool, part.pool)
    requireSame('model', model, signature.model)
    requireSame('kind', own.kind, signature.kind)
    requireSame('dtype', own.dtype, signature.dtype)
    requireSame('layout', own.layout, signature.layout)
    requireSame('position encoding', own.positionEncoding, signature.positionEncoding)
    requireSame('layers', show(own.layers), show(signature.layers))
    if (signature.heads !== null) throw invalid('all heads', `heads ${show(signature.heads)}`)
    if (!Number.isSafeInteger(start) || !Number.isSafeInteger(end) || start < 0 || end <= start)
      throw invalid('a span of one token or more', show(signature.tokens))
    if (end > this.#capacityTokens)
      throw new MembraneError('OUT_OF_DOMAIN', `The context has ${this.#capacityTokens} tokens; found ${end}.`)
    requireSame('number of tensors', String(rowShapes.length), String(part.tensors.length))
    const byName = new Map(part.tensors.map((tensor) => [tensor.name, tensor]))
    const tensors = rowShapes.map((rowShape, index) => {
      const name = this.#name(index)
      const tensor = byName.get(name)
      const shape = [end - start, ...rowShape]
      if (tensor === undefined) throw invalid(`a tensor ${name}`, 'none')
      requireSame(`dtype of ${name}`, dtype, tensor.dtype)
      requireSame(`shape of ${name}`, `[${shape.join()}]`, `[${tensor.shape.join()}]`)
      requireSame(`bytes of ${name}`, String(tensorBytes(dtype, shape)), String(tensor.data.length))
      return tensor
    })
    return { span: { start, end }, tensors }
  }

  /** Takes rows, of each layer the keys and then the values, of all tokens of the span. */
  put({ start, end }: TokenSpan, rows: readonly Uint8Array[]): void {
    assert(rows.length === this.#form.rowShapes.length, 'there are rows for every layer')
    for (const [index, data] of rows.entries()) {
      const target = this.view(index, { start, end })
      assert(data.length === target.length, 'there is a row for every token')
      target.set(data)
    }
    this.#holds.fill(1, start, end)
  }

  /** The rows of one layer's keys (2 x layer) or values (2 x layer + 1), as they lie here. */
  view(index: number, { start, end }: TokenSpan): Uint8Array {
    this.#rows ??= this.#form.rowShapes.map((shape) => this.#allocate(shape))
    const rowBytes = rowBytesOf(this.#form.dtype, this.#form.rowShapes[index] ?? [])
    const rows = this.#rows[index]
    assert(rows !== undefined && end <= this.#capacityTokens, 'the rows are of this context')
    return rows.subarray(start * rowBytes, end * rowBytes)
  }

  /** The part of a span that is all here, as views of this memory. */
  read(span: TokenSpan): ContextPart {
    assert(this.heldUntil(span.start) >= span.end, 'the span is here')
    const { model, part, dtype, rowShapes } = this.#form
    const { kind, layers, layout, positionEncoding, pool } = part
    return {
      pool,
      signature: { model, kind, tokens: span, layers, heads: null, dtype: part.dtype, layout, positionEncoding },
      tensors: rowShapes.map((shape, index) => ({
        name: this.#name(index),
        dtype,
        shape: [span.end - span.start, ...shape],
        data: this.view(index, span),
      })),
    }
  }

  /** Forgets rows from a token on. */
  truncate(tokens: number): void {
    this.#holds.fill(0, tokens)
  }

  #name(index: number): string {
    return layerTensorName(this.#form.part.layers.start + Math.floor(index / 2), index % 2 === 0 ? 'k' : 'v')
  }

  #allocate(shape: readonly number[]): Uint8Array {
    try {
      return new Uint8Array(this.#capacityTokens * rowBytesOf(this.#form.dtype, shape))
    } catch (cause) {
      throw new MembraneError('COMPUTE_FULL', 'There is no memory left for the rows of a context.', { cause })
    }
  }
}

function rowBytesOf(dtype: Dtype, shape: readonly number[]): number {
  const bytes = tensorBytes(dtype, shape)
  assert(bytes !== null, 'a row has a size')
  return bytes
}

function requireSame(what: string, expected: string, found: string): void {
  if (expected !== found) throw invalid(`${what} ${expected}`, found)
}

function show({ start, end }: Span): string {
  return `[${start}, ${end})`
}

function invalid(expected: string, found: string): MembraneError {
  return new MembraneError('INVALID_FRAGMENT', `KV for this context must have ${expected}; found ${found}.`)
}
