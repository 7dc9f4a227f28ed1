/** One token sequence in llama.cpp, whose KV goes out and in as a state file. */
import { assert, MembraneError } from '../core/errors.ts'
import { type KvForm, kvTokenBytes } from './kv-rows.ts'
import type { LlamaContext, LlamaSequence as PackageSequence } from './llama-package.ts'
import { readStateFile, writeStateFile } from './llama-state-files.ts'
import { buildLlamaState, type LlamaKvType, parseLlamaState } from './llama-state.ts'
import type { EngineSequence } from './sequence-context.ts'

/** What a state file has of a token besides its rows. */
const STATE_CELL_BYTES = 16

export class LlamaSequence implements EngineSequence {
  readonly #context: LlamaContext
  readonly #sequence: PackageSequence
  readonly #form: KvForm
  readonly #kvType: LlamaKvType

  constructor(context: LlamaContext, form: KvForm, kvType: LlamaKvType) {
    this.#context = context
    this.#sequence = context.getSequence()
    this.#form = form
    this.#kvType = kvType
  }

  get tokens(): number {
    return this.#sequence.nextTokenIndex
  }

  get residentBytes(): number {
    return this.#context.contextSize * kvTokenBytes(this.#form)
  }

  async save(): Promise<readonly Uint8Array[]> {
    const bytes = this.tokens * (kvTokenBytes(this.#form) + STATE_CELL_BYTES)
    const file = await readStateFile(bytes, (path) => ofLlama(this.#sequence.saveStateToFile(path)))
    const { keys, values } = parseLlamaState(file)
    return keys.flatMap(({ data }, layer) => [data, values[layer]?.data ?? data])
  }

  async load(tokens: number, rows: readonly Uint8Array[]): Promise<void> {
    const typed = rows.map((data) => ({ type: this.#kvType, rowBytes: data.length / tokens, data }))
    const file = buildLlamaState({
      // The ids of tokens that came as KV are not known, and not needed.
      tokenIds: new Uint32Array(tokens),
      keys: typed.filter((_, index) => index % 2 === 0),
      values: typed.filter((_, index) => index % 2 === 1),
    })
    await writeStateFile(file, (path) => ofLlama(this.#sequence.loadStateFromFile(path, { acceptRisk: true })))
  }

  async truncate(tokens: number): Promise<void> {
    await ofLlama(this.#sequence.eraseContextTokenRanges([{ start: tokens, end: this.tokens }]))
  }

  async evaluate(tokenIds: Uint32Array, wanted: 'logits' | 'kv'): Promise<Float32Array | null> {
    const last = tokenIds.length - 1
    const results = await ofLlama(
      this.#sequence.controlledEvaluate(
        Array.from(tokenIds, (id, index) => (wanted === 'logits' && index === last ? [id, LOGITS] : id)),
      ),
    )
    return wanted === 'kv' ? null : toArray(results.at(-1)?.next.logits)
  }

  async close(): Promise<void> {
    await this.#context.dispose()
  }
}

/** The scores as the model gives them, of all tokens: without `topK: 0` they would be of forty. */
const LOGITS = { generateNext: { logits: true, options: { temperature: 1, topK: 0, topP: 1, minP: 0 } } } as const

function toArray(scores: ReadonlyMap<number, number> | undefined): Float32Array {
  assert(scores !== undefined, 'llama.cpp gives the logits that are asked for')
  const logits = new Float32Array(scores.size)
  for (const [id, score] of scores) {
    assert(id < scores.size, 'every token of the vocabulary has a score')
    logits[id] = score
  }
  return logits
}

async function ofLlama<T>(call: Promise<T>): Promise<T> {
  try {
    return await call
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause)
    throw new MembraneError('COMPUTE_FAILED', `llama.cpp failed: ${reason}`, { cause })
  }
}
