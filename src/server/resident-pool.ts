/**
 * KV in the engine's memory that outlives its request: the next turn of a conversation finds it there and reads
 * nothing. Bounded; pinned while a request uses it; what leaves is demoted to fragments first.
 */
import { abortedError, throwIfAborted } from '../core/cancel.ts'
import { type CallOptions, contextBytes, type KvBackend, type KvContext } from '../core/compute.ts'
import { assert, MembraneError } from '../core/errors.ts'

export interface ResidentOptions {
  readonly backend: KvBackend
  /** Of all contexts, those in use among them. One request's context is always allowed, however large. */
  readonly bytesMax: number
  /** Requests that have a context at a time; others wait. */
  readonly requestsMax: number
  /** Requests that wait; more are refused with LIMIT_REACHED. */
  readonly waitingMax: number
  /** A prompt is only continued at a multiple of this. */
  readonly blockTokens: number
  /** Keeps what a context holds elsewhere, before it is closed or cut. */
  readonly demote: (held: HeldContext) => Promise<void>
}

/** What a context holds, and whose it is. */
export interface HeldContext {
  /** Contexts of different scopes never share: tenant, adapter and everything else that the KV depends on. */
  readonly scope: string
  readonly context: KvContext
  /** The tokens of its filled positions. */
  readonly tokenIds: Uint32Array
}

/** A context of one request. Ends by `release` or `discard`. */
export interface ContextLease {
  readonly context: KvContext
  /** Leading tokens of the prompt whose KV it holds already: whole blocks. */
  readonly residentTokens: number
  /** The request is done; the context holds the KV of these tokens, and stays while there is room. */
  release(tokenIds: Uint32Array): void
  /** Something failed: what the context holds is not known. */
  discard(): Promise<void>
}

/** What is in the engine's memory now, and what was found there since the node was opened. */
export interface ResidentStats {
  readonly contexts: number
  readonly contextsInUse: number
  readonly bytes: number
  readonly requestsWaiting: number
  /** Requests that found a part of their prompt here, and the tokens of those parts. */
  readonly hits: number
  readonly hitTokens: number
  /** Contexts that left. */
  readonly demoted: number
  /** Contexts whose demotion failed: their KV has to be computed again. */
  readonly demotionsFailed: number
}

export interface ContextRequest extends CallOptions {
  readonly scope: string
  readonly tokenIds: Uint32Array
  /** Positions that the request may fill: its prompt and what it generates. */
  readonly capacityTokens: number
  /** Begins with nothing: what is here is not looked at. */
  readonly isFresh?: boolean
}

interface Resident {
  readonly scope: string
  readonly context: KvContext
  readonly capacityTokens: number
  tokenIds: Uint32Array
  isInUse: boolean
  /** It leaves when its request ends. */
  isForgotten: boolean
  usedAt: number
}

interface Waiter {
  readonly start: () => void
}

export class ResidentPool {
  readonly #options: ResidentOptions
  readonly #residents = new Set<Resident>()
  readonly #waiting: Waiter[] = []
  #requests = 0
  #uses = 0
  /** Leases that are over. */
  #ends = 0
  /** Choosing a context waits for demotions, and two requests must not choose the same one. */
  #choosing: Promise<unknown> = Promise.resolve()
  #isClosed = false
  /** Called when a request ends. */
  #wake: (() => void)[] = []
  readonly #counts = { hits: 0, hitTokens: 0, demoted: 0, demotionsFailed: 0 }

  constructor(options: ResidentOptions) {
    this.#options = options
  }

  stats(): ResidentStats {
    const inUse = [...this.#residents].filter(({ isInUse }) => isInUse)
    return {
      ...this.#counts,
      contexts: this.#residents.size,
      contextsInUse: inUse.length,
      bytes: this.#bytes(),
      requestsWaiting: this.#waiting.length,
    }
  }

  /** How many leading tokens a request would find; changes nothing. */
  peek({ scope, tokenIds }: Pick<ContextRequest, 'scope' | 'tokenIds'>): number {
    return this.#nearest(scope, tokenIds)?.sharedTokens ?? 0
  }

  /** Throws LIMIT_REACHED when too many wait, COMPUTE_FULL when the engine has no room for it alone, ABORTED. */
  async acquire(request: ContextRequest): Promise<ContextLease> {
    await this.#takeTurn(request)
    try {
      const choice = this.#choosing.then(() => this.#choose(request))
      this.#choosing = choice.catch(() => {})
      return await choice
    } catch (error) {
      this.#endTurn()
      throw error
    }
  }

  /**
   * What is here of these scopes goes, and is kept nowhere else; a context in use goes when its request ends. Ends when
   * the memory of the others is free.
   */
  forget(isOf: (scope: string) => boolean): Promise<void> {
    // Nothing is being copied or demoted then.
    const forgotten = this.#choosing.then(() => this.#forget(isOf))
    this.#choosing = forgotten.catch(() => {})
    return forgotten
  }

  /** Waits for the requests that have a context, refuses the others with ABORTED, and demotes all that is there. */
  async close(): Promise<void> {
    this.#isClosed = true
    for (;;) {
      await this.#choosing
      if ([...this.#residents].every(({ isInUse }) => !isInUse)) break
      await this.#nextEnd(undefined)
    }
    for (const resident of this.#residents) await this.#remove(resident)
  }

  async #forget(isOf: (scope: string) => boolean): Promise<void> {
    for (const resident of this.#residents) {
      if (!isOf(resident.scope)) continue
      resident.isForgotten = true
      if (resident.isInUse) continue
      resident.isInUse = true
      await this.#close(resident)
    }
  }

  async #choose(request: ContextRequest): Promise<ContextLease> {
    if (this.#isClosed) throw new MembraneError('ABORTED', 'The node is being closed.')
    throwIfAborted(request.signal)
    const { scope, tokenIds, capacityTokens, isFresh = false } = request
    const nearest = isFresh ? null : this.#nearest(scope, tokenIds)
    if (nearest === null) return this.#lease(await this.#opened(request, null), 0)
    const { resident, sharedTokens } = nearest
    // Held while others leave for the request.
    resident.isInUse = true
    // When the prompt goes on where the context ends, only tokens of an unfinished block are lost.
    const lostTokens = resident.tokenIds.length - sharedTokens
    const isLarge = resident.capacityTokens >= capacityTokens
    if (isLarge && lostTokens < this.#options.blockTokens) return this.#continued(nearest)
    try {
      const copy = await this.#opened(request, resident)
      const lease = await this.#copied(request, { nearest, copy })
      if (lostTokens < this.#options.blockTokens) await this.#close(resident)
      return lease
    } catch (error) {
      if (!isFull(error)) throw error
    } finally {
      resident.isInUse = false
    }
    // Not both of them fit.
    if (!isLarge) return this.#lease(await this.#opened(request, null), 0)
    resident.isInUse = true
    await this.#demote(resident)
    return this.#continued(nearest)
  }

  async #continued({ resident, sharedTokens }: Nearest): Promise<ContextLease> {
    try {
      resident.context.truncate(sharedTokens)
      return this.#lease(resident, sharedTokens)
    } catch (error) {
      // Its engine was closed: nobody gives it back.
      await this.#close(resident)
      throw error
    }
  }

  async #copied(
    { signal }: ContextRequest,
    { nearest, copy }: { readonly nearest: Nearest; readonly copy: Resident },
  ): Promise<ContextLease> {
    try {
      const span = { start: 0, end: nearest.sharedTokens }
      await copy.context.write(await nearest.resident.context.read(span, { signal }), { signal })
      return this.#lease(copy, nearest.sharedTokens)
    } catch (error) {
      await this.#close(copy)
      throw error
    }
  }

  /** The longest unused leave for it as needed, and then it waits for those in use, all but `held`. */
  async #opened({ scope, capacityTokens, signal }: ContextRequest, held: Resident | null): Promise<Resident> {
    const { backend, bytesMax } = this.#options
    const bytes = contextBytes(backend.model, capacityTokens)
    for (;;) {
      throwIfAborted(signal)
      const ends = this.#ends
      const isAlone = this.#residents.size === 0
      if (isAlone || this.#bytes() + bytes <= bytesMax) {
        try {
          const context = await backend.openContext(capacityTokens)
          const opened = {
            scope,
            context,
            capacityTokens,
            tokenIds: NONE,
            isInUse: true,
            isForgotten: false,
            usedAt: 0,
          }
          this.#residents.add(opened)
          return opened
        } catch (error) {
          if (isAlone || !isFull(error)) throw error
        }
      }
      const oldest = this.#oldestUnused()
      if (oldest !== null) await this.#remove(oldest)
      // What ended while the engine tried has woken nobody.
      if (oldest !== null || this.#ends !== ends) continue
      const others = [...this.#residents].some((resident) => resident !== held)
      if (!others) throw new MembraneError('COMPUTE_FULL', 'There is no room for another context beside this one.')
      await this.#nextEnd(signal)
    }
  }

  #nextEnd(signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve) => {
      const wake = (): void => {
        signal?.removeEventListener('abort', wake)
        resolve()
      }
      this.#wake.push(wake)
      if (signal?.aborted === true) wake()
      else signal?.addEventListener('abort', wake, { once: true })
    })
  }

  #oldestUnused(): Resident | null {
    let oldest: Resident | null = null
    for (const resident of this.#residents) {
      if (!resident.isInUse && (oldest === null || resident.usedAt < oldest.usedAt)) oldest = resident
    }
    return oldest
  }

  async #remove(resident: Resident): Promise<void> {
    resident.isInUse = true
    await this.#demote(resident)
    await this.#close(resident)
  }

  /** Counts until its memory is free: who opens another one before would find the engine full. */
  async #close(resident: Resident): Promise<void> {
    try {
      await resident.context.close()
    } finally {
      this.#residents.delete(resident)
    }
  }

  async #demote(resident: Resident): Promise<void> {
    try {
      await this.#options.demote(resident)
      this.#counts.demoted += 1
    } catch {
      this.#counts.demotionsFailed += 1
    }
  }

  #lease(resident: Resident, residentTokens: number): ContextLease {
    if (residentTokens > 0) this.#counts.hits += 1
    this.#counts.hitTokens += residentTokens
    let isOver = false
    const begin = (): void => {
      assert(!isOver, 'a context is given back twice')
      isOver = true
    }
    const end = (): void => {
      this.#ends += 1
      for (const wake of this.#wake.splice(0)) wake()
      this.#endTurn()
    }
    return {
      context: resident.context,
      residentTokens,
      release: (tokenIds) => {
        begin()
        if (resident.isForgotten) {
          // An engine that fails to close it has said so to its log, and the context is found by nobody.
          this.#close(resident).then(end, end)
          return
        }
        resident.tokenIds = tokenIds.slice(0, resident.context.filledTokens)
        resident.usedAt = ++this.#uses
        resident.isInUse = false
        end()
      },
      discard: async () => {
        begin()
        try {
          await resident.context.close()
        } finally {
          // Only now the engine has room for whoever waits.
          this.#residents.delete(resident)
          end()
        }
      },
    }
  }

  /** Tokens decide: an unused context of the scope with the most leading tokens in common, in whole blocks. */
  #nearest(scope: string, tokenIds: Uint32Array): Nearest | null {
    let nearest: Nearest | null = null
    for (const resident of this.#residents) {
      if (resident.isInUse || resident.scope !== scope) continue
      const sharedTokens = this.#sharedTokens(resident.tokenIds, tokenIds)
      if (sharedTokens > (nearest?.sharedTokens ?? 0)) nearest = { resident, sharedTokens }
    }
    return nearest
  }

  /** A recurrent state is that of one position: such a context goes on at its end, or not at all. */
  #sharedTokens(held: Uint32Array, asked: Uint32Array): number {
    // The last token of a prompt is computed always.
    const common = Math.min(commonTokens(held, asked), asked.length - 1)
    const wholeBlocks = common - (common % this.#options.blockTokens)
    const hasState = this.#options.backend.model.parts.some(({ kind }) => kind === 'state')
    return hasState && wholeBlocks !== held.length ? 0 : wholeBlocks
  }

  #bytes(): number {
    let bytes = 0
    for (const { context } of this.#residents) bytes += context.residentBytes
    return bytes
  }

  async #takeTurn({ signal }: CallOptions): Promise<void> {
    const { requestsMax, waitingMax } = this.#options
    throwIfAborted(signal)
    if (this.#requests < requestsMax) {
      this.#requests += 1
      return
    }
    if (this.#waiting.length >= waitingMax)
      throw new MembraneError('LIMIT_REACHED', `${waitingMax} requests wait already, which is the most.`, {
        remedy: 'Try again later, or send fewer requests at once.',
        details: { waitingMax },
      })
    await new Promise<void>((resolve, reject) => {
      const leave = (): void => {
        const place = this.#waiting.indexOf(waiter)
        if (place >= 0) this.#waiting.splice(place, 1)
        if (signal !== undefined) reject(abortedError(signal))
      }
      const waiter: Waiter = {
        start: () => {
          signal?.removeEventListener('abort', leave)
          resolve()
        },
      }
      this.#waiting.push(waiter)
      signal?.addEventListener('abort', leave, { once: true })
    })
  }

  /** The turn goes to who has waited longest. */
  #endTurn(): void {
    const next = this.#waiting.shift()
    if (next === undefined) this.#requests -= 1
    else next.start()
  }
}

interface Nearest {
  readonly resident: Resident
  readonly sharedTokens: number
}

function commonTokens(a: Uint32Array, b: Uint32Array): number {
  const most = Math.min(a.length, b.length)
  let common = 0
  while (common < most && a[common] === b[common]) common += 1
  return common
}

const NONE = new Uint32Array(0)

function isFull(error: unknown): boolean {
  return error instanceof MembraneError && error.code === 'COMPUTE_FULL'
}
