/** Prompts, recordings of their KV, and comparisons, for tests of engines that export KV. */
import { expect } from 'vitest'
import type { ContextPart, KvBackend, KvContext } from '../../src/core/compute.ts'
import { axisOf } from '../../src/core/fragment-tensors.ts'
import type { TokenSpan } from '../../src/core/fragment.ts'
import { DTYPE_BYTES } from '../../src/core/safetensors-dtypes.ts'
import type { Tensor } from '../../src/core/safetensors.ts'

/**
 * `bits`: everything is equal bit for bit. Else the most that natural logarithms of probabilities may differ, of tokens
 * that either distribution gives 1 in 10,000 or more.
 */
export type Exactness = 'bits' | { readonly logitsMax: number }

export interface KvBackendUnderTest {
  /** The same model each time; a backend that is closed takes nothing of it along. */
  readonly open: () => Promise<KvBackend>
  /** 40 to 200 tokens, with at least 8 different ones among every 16; `contextTokensMax` is at least 16 more. */
  readonly promptTokens: Uint32Array
  readonly exactness: Exactness
  /** Its decoder takes spaces away, as some packages do before punctuation: texts are compared without theirs. */
  readonly losesSpaces?: boolean
  /** After how many tokens a prompt is taken apart, where not everywhere: engines that are slow. */
  readonly splits?: readonly number[]
  /** A backend whose memory has room for at most `contexts` contexts of `contextTokens`, 1 at least; where there is such a thing. */
  readonly bounded?: {
    readonly open: () => Promise<KvBackend>
    readonly contextTokens: number
    readonly contexts: number
  }
}

/** The backend of a suite, opened once. */
export interface SuiteBackend {
  readonly backend: () => KvBackend
  readonly subject: KvBackendUnderTest
}

/** Small, so that a short prompt has many blocks. */
export const BLOCK_TOKENS = 4

export function hasState({ model }: KvBackend): boolean {
  return model.parts.some(({ kind }) => kind === 'state')
}

/** Another prompt of as many tokens, which differs from the first token on. */
export function otherPrompt(tokenIds: Uint32Array): Uint32Array {
  return tokenIds.map((_, index) => tokenIds[(index + 1) % tokenIds.length] ?? 0)
}

/** A context for the time of a call. */
export async function withContext<T>(
  backend: KvBackend,
  tokens: number,
  use: (context: KvContext) => Promise<T>,
): Promise<T> {
  const context = await backend.openContext(tokens)
  try {
    return await use(context)
  } finally {
    await context.close()
  }
}

/** What a full prefill says. */
export async function fullLogits(backend: KvBackend, tokenIds: Uint32Array): Promise<Float32Array> {
  return await withContext(backend, tokenIds.length, async (context) => {
    await context.prefill(0, tokenIds)
    return context.logits().slice()
  })
}

/** Parts whose bytes nobody changes any more. */
export function copyParts(parts: readonly ContextPart[]): readonly ContextPart[] {
  return parts.map((part) => ({
    ...part,
    tensors: part.tensors.map((tensor) => ({ ...tensor, data: tensor.data.slice() })),
  }))
}

/** All parts of the first `tokens` tokens, computed at once. */
export async function recordPrefix(backend: KvBackend, tokenIds: Uint32Array): Promise<readonly ContextPart[]> {
  return await withContext(backend, tokenIds.length, async (context) => {
    await context.prefill(0, tokenIds)
    return copyParts(await context.read({ start: 0, end: tokenIds.length }))
  })
}

/** The parts of each whole block of a prompt, with the state at its end where the model has one. */
export async function recordBlocks(
  backend: KvBackend,
  tokenIds: Uint32Array,
): Promise<readonly (readonly ContextPart[])[]> {
  return await withContext(backend, tokenIds.length, async (context) => {
    const blocks: (readonly ContextPart[])[] = []
    for (let start = 0; start + BLOCK_TOKENS <= tokenIds.length; start += BLOCK_TOKENS) {
      const end = start + BLOCK_TOKENS
      await context.prefill(start, tokenIds.subarray(start, end))
      blocks.push(copyParts(await context.read({ start, end })))
    }
    return blocks
  })
}

/** Without states: a context that got only these cannot be continued, where the model has a state. */
export function kvOnly(parts: readonly ContextPart[]): readonly ContextPart[] {
  return parts.filter(({ signature }) => signature.kind === 'kv')
}

/** The bytes of a span of a tensor's tokens, cut out one element of the other axes after the other. */
export function tokensOf(part: ContextPart, tensor: Tensor, span: TokenSpan): Uint8Array {
  const axis = axisOf(part.signature, 'tokens') ?? 0
  const tokens = tensor.shape[axis] ?? 0
  const elementBytes = DTYPE_BYTES[tensor.dtype]
  const inner = tensor.shape.slice(axis + 1).reduce((product, length) => product * length, elementBytes)
  const outer = tensor.shape.slice(0, axis).reduce((product, length) => product * length, 1)
  const cut: number[] = []
  for (let run = 0; run < outer; run++) {
    const first = (run * tokens + span.start - part.signature.tokens.start) * inner
    cut.push(...tensor.data.subarray(first, first + (span.end - span.start) * inner))
  }
  return Uint8Array.from(cut)
}

/** The same parts bit for bit. */
export function expectParts(found: readonly ContextPart[], expected: readonly ContextPart[]): void {
  expect(found.map(({ pool }) => pool)).toEqual(expected.map(({ pool }) => pool))
  for (const [index, part] of expected.entries()) {
    const other = found[index]
    expect(other?.signature).toEqual(part.signature)
    expect(other?.tensors.map(({ name, dtype, shape }) => [name, dtype, shape])).toEqual(
      part.tensors.map(({ name, dtype, shape }) => [name, dtype, shape]),
    )
    for (const [at, tensor] of part.tensors.entries())
      expect(Buffer.compare(other?.tensors[at]?.data ?? new Uint8Array(0), tensor.data), tensor.name).toBe(0)
  }
}

/** As near as the engine promises. */
export function expectLogits(found: Float32Array, expected: Float32Array, exactness: Exactness, when = ''): void {
  expect(found.length).toBe(expected.length)
  const most = exactness === 'bits' ? differingBits(found, expected) : greatestDifference(found, expected)
  expect(most, `difference of the logits ${when}`).toBeLessThanOrEqual(exactness === 'bits' ? 0 : exactness.logitsMax)
}

/** The likeliest token, of equals the smallest id. */
export function likeliest(logits: Float32Array): number {
  let best = 0
  for (const [tokenId, logit] of logits.entries()) if (logit > (logits[best] ?? 0)) best = tokenId
  return best
}

/** How many logits are not the same number. */
function differingBits(a: Float32Array, b: Float32Array): number {
  return a.reduce((count, logit, index) => count + (Object.is(logit, b[index]) ? 0 : 1), 0)
}

function greatestDifference(a: Float32Array, b: Float32Array): number {
  const p = logProbabilities(a)
  const q = logProbabilities(b)
  let most = 0
  for (const [index, logP] of p.entries()) {
    const logQ = q[index] ?? Number.NaN
    if (Math.max(logP, logQ) < Math.log(1e-4)) continue
    const difference = Math.abs(logP - logQ)
    if (!(difference <= most)) most = difference
  }
  return most
}

function logProbabilities(logits: Float32Array): Float64Array {
  const greatest = logits.reduce((most, logit) => Math.max(most, logit), Number.NEGATIVE_INFINITY)
  const sum = logits.reduce((total, logit) => total + Math.exp(logit - greatest), 0)
  return Float64Array.from(logits, (logit) => logit - greatest - Math.log(sum))
}
