/** Prompts over HTTP: made ready, explained, continued, and answers as they are generated. */
import { MembraneError } from '../core/errors.ts'
import { LIMITS } from '../core/limits.ts'
import {
  type ClientGeneration,
  type ClientPlan,
  type ClientRebuilt,
  GENERATED,
  PLAN,
  REBUILT,
} from './client-compute-shapes.ts'
import { type CallOptions, type ControlChannel, parseAnswer } from './client-control.ts'
import { Deadline } from './client-deadline.ts'
import { errorOfAnswer } from './client-errors.ts'
import { readEvents } from './client-events.ts'

/** A prompt of whoever the token names. */
export interface ClientPrompt extends CallOptions {
  /** Text, which the model's tokenizer reads, or token ids, taken as they are. */
  readonly prompt: string | Uint32Array
  /** Turns of one session are kept together. */
  readonly session?: string
  /** Default `exact`. `moved`: KV of other positions too, approximate. `none` computes everything. */
  readonly reuse?: 'exact' | 'moved' | 'none'
}

/** A prompt to make ready. */
export interface ClientRebuild extends ClientPrompt {
  /** Hash the KV when it is ready. */
  readonly wantsKvHash?: boolean
}

/** A prompt to continue. */
export interface ClientGenerate extends ClientRebuild {
  /** Tokens to generate at most. */
  readonly maxTokens?: number
  /** Greedy where nothing is said. */
  readonly sampling?: {
    readonly temperature?: number
    readonly topK?: number
    readonly topP?: number
    readonly seed?: number
  }
}

/** Text as it is ready, then one answer with all of it and its figures. */
export type GenerationEvent =
  | { readonly kind: 'text'; readonly text: string }
  | ({ readonly kind: 'end' } & ClientGeneration)

/** See the top of this file. */
export class ComputeCalls {
  readonly #control: ControlChannel

  constructor(control: ControlChannel) {
    this.#control = control
  }

  rebuild(request: ClientRebuild): Promise<ClientRebuilt> {
    const { wantsKvHash = false } = request
    return this.#control.json(REBUILT, {
      ...this.#call(request, '/v1/rebuild'),
      body: { ...bodyOf(request), wantsKvHash },
    })
  }

  explain(request: ClientPrompt): Promise<ClientPlan> {
    return this.#control.json(PLAN, { ...this.#call(request, '/v1/explain'), body: bodyOf(request) })
  }

  async *generate(request: ClientGenerate): AsyncGenerator<GenerationEvent, void, undefined> {
    const { maxTokens, sampling, wantsKvHash = false } = request
    const body = {
      ...bodyOf(request),
      wantsKvHash,
      stream: true,
      ...(maxTokens === undefined ? {} : { maxTokens }),
      ...(sampling === undefined ? {} : { sampling }),
    }
    const call = { ...this.#call(request, '/v1/generate'), body, isIdempotent: false }
    const deadline = new Deadline(call.timeoutMs, request.signal)
    try {
      for await (const { name, data } of readEvents(await this.#control.open(call, deadline))) {
        if (name === 'text') yield { kind: 'text', text: parseText(data) }
        if (name === 'error') throw errorOfAnswer({ status: 200, body: data, retryAfter: null })
        if (name !== 'done') continue
        yield { kind: 'end', ...parseAnswer(GENERATED, data, '/v1/generate') }
        return
      }
      throw new MembraneError('PEER_UNAVAILABLE', 'The answer broke off before its end.', {
        remedy: 'Ask again: what was computed of the prompt is kept.',
      })
    } finally {
      deadline.close()
    }
  }

  #call({ signal, timeoutMs = this.#control.options.limits.computeTimeoutMs }: CallOptions, path: string) {
    return { method: 'POST' as const, path, timeoutMs, ...(signal === undefined ? {} : { signal }) }
  }
}

function bodyOf({ prompt, session, reuse = 'exact' }: ClientPrompt): object {
  if (prompt.length > LIMITS.jsonBodyBytesMax)
    throw new MembraneError('LIMIT_REACHED', `A prompt has at most ${LIMITS.jsonBodyBytesMax} bytes here.`)
  const said = typeof prompt === 'string' ? { prompt } : { tokenIds: [...prompt] }
  return { ...said, reuse, ...(session === undefined ? {} : { session }) }
}

function parseText(data: string): string {
  const value: unknown = JSON.parse(data)
  if (typeof value === 'object' && value !== null && 'text' in value && typeof value.text === 'string')
    return value.text
  throw new MembraneError('PEER_UNAVAILABLE', 'The server sent an event that is not as expected.', {
    details: { isRetryable: false },
  })
}
