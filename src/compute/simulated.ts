/**
 * An engine that only pretends, for load tests and for tests of everything around an engine: KV of the declared size,
 * times of a profile, and answers that say they are simulated. Its KV and logits depend on every token, and on every
 * byte of KV, before them, so that KV that was put in the wrong place shows as it would in a real engine.
 */
import { throwIfAborted } from '../core/cancel.ts'
import { contextBytes, type KvBackend, type KvContext, type KvModel } from '../core/compute.ts'
import { MembraneError } from '../core/errors.ts'
import type { TokenSpan } from '../core/fragment.ts'
import type { Alarm } from '../core/ports.ts'
import { SimulatedContext, type SpendOptions } from './simulated-context.ts'
import { checkWhole, type SimulatedModel, simulatedModel, type SimulatedShape } from './simulated-model.ts'

/**
 * Ends after so many seconds, 0 or more, real or virtual; or soon after the signal is given, then by throwing ABORTED or
 * by returning.
 */
export type EngineWait = (seconds: number, signal: AbortSignal | undefined) => Promise<void>

/** A simulated engine. */
export interface SimulatedOptions extends SimulatedShape {
  /**
   * Seconds to compute the KV of a prompt's first `tokens` tokens: 0 for 0, never falling. A span takes the difference
   * between its end and its start. Prefills of all contexts go one after the other.
   */
  readonly prefillSeconds: (tokens: number) => number
  /**
   * Seconds to compute one token behind `contextTokens` others. Steps of several contexts go side by side, as in an
   * engine that decodes in batches. Null, the default: as `prefillSeconds` says.
   */
  readonly decodeSeconds?: ((contextTokens: number) => number) | null
  readonly wait: EngineWait
  /** Of all contexts together; default DEFAULT_SIMULATED_MEMORY_BYTES. A context that has no room is refused with COMPUTE_FULL. */
  readonly memoryBytesMax?: number
}

/** A gigabyte: it is really allocated. */
export const DEFAULT_SIMULATED_MEMORY_BYTES = 1024 ** 3

/** Throws INVALID_CONFIG for a shape that cannot be. */
export function openSimulatedBackend(options: SimulatedOptions): KvBackend {
  return new SimulatedBackend(options)
}

/** Waits as an alarm does. */
export function waitOf(alarm: Alarm): EngineWait {
  return async (seconds, signal) => {
    const { promise, resolve } = Promise.withResolvers<void>()
    const cancel = alarm.after(seconds, resolve)
    try {
      await endOf(promise, signal)
    } finally {
      cancel()
    }
  }
}

class SimulatedBackend implements KvBackend {
  readonly kind = 'kv'
  readonly name = 'simulated'
  readonly isSimulated = true
  readonly description: string
  readonly model: KvModel
  readonly #simulated: SimulatedModel
  readonly #options: SimulatedOptions
  readonly #memoryBytesMax: number
  readonly #contexts = new Set<SimulatedContext>()
  #memoryBytes = 0
  /** Ends when the prefills that were asked for so far have ended. */
  #prefills: Promise<void> = Promise.resolve()
  #isClosed = false

  constructor(options: SimulatedOptions) {
    const { memoryBytesMax = DEFAULT_SIMULATED_MEMORY_BYTES } = options
    checkWhole('memoryBytesMax', memoryBytesMax, 1, Number.MAX_SAFE_INTEGER)
    this.#options = options
    this.#memoryBytesMax = memoryBytesMax
    this.#simulated = simulatedModel(options)
    this.model = this.#simulated.model
    this.description = `simulated: no model runs, KV and texts are made up, times follow a profile (${options.name})`
  }

  async openContext(tokens: number): Promise<KvContext> {
    if (this.#isClosed) throw new MembraneError('INVALID_REQUEST', 'The engine has been closed.')
    const { contextTokensMax } = this.model
    if (!Number.isSafeInteger(tokens) || tokens < 1 || tokens > contextTokensMax)
      throw new MembraneError(
        'OUT_OF_DOMAIN',
        `A context has room for 1 to ${contextTokensMax} tokens; found ${tokens}.`,
      )
    const bytes = contextBytes(this.model, tokens)
    if (this.#memoryBytes + bytes > this.#memoryBytesMax)
      throw this.#full(
        `A context of ${bytes} bytes does not fit: ${this.#memoryBytes} of ${this.#memoryBytesMax} are in use.`,
      )
    const context = this.#allocate(tokens)
    this.#memoryBytes += bytes
    this.#contexts.add(context)
    return context
  }

  async close(): Promise<void> {
    this.#isClosed = true
    await Promise.all(Array.from(this.#contexts, async (context) => await context.close()))
  }

  #allocate(tokens: number): SimulatedContext {
    try {
      return new SimulatedContext({
        model: this.#simulated,
        capacityTokens: tokens,
        spendPrefill: async (span, options) => await this.#spend(span, options),
        onClose: (context) => {
          if (this.#contexts.delete(context)) this.#memoryBytes -= context.residentBytes
        },
      })
    } catch (cause) {
      if (!(cause instanceof RangeError)) throw cause
      throw this.#full('The process has no memory for another context.', cause)
    }
  }

  async #spend(span: TokenSpan, { signal, shares, onShare }: SpendOptions): Promise<void> {
    const { prefillSeconds, decodeSeconds = null, wait } = this.#options
    const pass = async (seconds: number): Promise<void> => {
      for (let share = 0; share < shares; share++) {
        await wait(seconds / shares, signal)
        throwIfAborted(signal)
        onShare(share)
      }
    }
    if (span.end - span.start === 1 && decodeSeconds !== null) return await pass(decodeSeconds(span.start))
    const before = this.#prefills
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#prefills = before.then(async () => await promise)
    try {
      await endOf(before, signal)
      await pass(Math.max(0, prefillSeconds(span.end) - prefillSeconds(span.start)))
    } finally {
      resolve()
    }
  }

  #full(message: string, cause?: unknown): MembraneError {
    return new MembraneError('COMPUTE_FULL', message, { cause, remedy: 'Close contexts, or allow more memory.' })
  }
}

/** Throws ABORTED as soon as the signal is given. */
async function endOf(work: Promise<void>, signal: AbortSignal | undefined): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>()
  const end = (): void => resolve()
  signal?.addEventListener('abort', end)
  try {
    throwIfAborted(signal)
    await Promise.race([work, promise])
    throwIfAborted(signal)
  } finally {
    signal?.removeEventListener('abort', end)
  }
}
