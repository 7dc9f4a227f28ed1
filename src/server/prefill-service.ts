/**
 * Computes for other nodes: what this node has of their prompt it reads, the rest it computes, and the KV goes out layer
 * by layer while it does. Who goes away ends the computing.
 */
import type { CallOptions, KvModel, ReadyLayers } from '../core/compute.ts'
import { assert, MembraneError } from '../core/errors.ts'
import type { Span, TokenSpan } from '../core/fragment.ts'
import { LIMITS } from '../core/limits.ts'
import type { ContentHasher, Stopwatch } from '../core/ports.ts'
import { writeSafetensors } from '../core/safetensors-writer.ts'
import { decodePeerMessage } from '../cluster/peer-calls.ts'
import { encodePrefillFrame } from '../cluster/prefill-frames.ts'
import { type PrefillRequest, prefillRequestOf } from '../cluster/prefill-request.ts'
import type { Caller } from './caller.ts'
import type { Engine } from './compute-operations.ts'
import type { Gate } from './gate.ts'
import type { Node } from './node.ts'
import { WatchedContext } from './watched-context.ts'

export interface PrefillServiceParts {
  readonly engine: Engine
  readonly gate: Gate
  readonly blake3: ContentHasher
  readonly stopwatch: Stopwatch
}

/** Counted since the start. */
export interface PrefillServiceStats {
  readonly asked: number
  /** Sent to their end. */
  readonly completed: number
  /** Too many were under way. */
  readonly refused: number
  /** Ended by who asked for them, or by an error. */
  readonly failed: number
  readonly running: number
  readonly bytes: number
  /** Until all was computed; and of these, while some of it was on its way already. */
  readonly seconds: number
  readonly overlapSeconds: number
}

/** See the top of this file. */
export class PrefillService {
  readonly #parts: PrefillServiceParts
  readonly #counts = {
    asked: 0,
    completed: 0,
    refused: 0,
    failed: 0,
    running: 0,
    bytes: 0,
    seconds: 0,
    overlapSeconds: 0,
  }

  constructor(parts: PrefillServiceParts) {
    this.#parts = parts
  }

  /** Of frames. */
  get blake3(): ContentHasher {
    return this.#parts.blake3
  }

  stats(): PrefillServiceStats {
    return { ...this.#counts }
  }

  /**
   * Bytes of frames, to be sent as they come. Leaving the loop ends the computing. Throws, before the first and between
   * any two: FORBIDDEN, INVALID_REQUEST, NOT_SUPPORTED without an engine or for a model that is not its own,
   * COMPUTE_FULL when too many are under way, ABORTED, and what the engine throws.
   */
  async *stream(caller: Caller, message: Uint8Array, { signal }: CallOptions): AsyncGenerator<Uint8Array> {
    this.#parts.gate.enter(caller, 'peer')
    this.#counts.asked += 1
    const request = prefillRequestOf(decodePeerMessage(message))
    const node = this.#nodeFor(request)
    if (this.#counts.running >= LIMITS.prefillRequestsMax) {
      this.#counts.refused += 1
      throw new MembraneError('COMPUTE_FULL', `This node has ${this.#counts.running} prefills for others under way.`)
    }
    this.#counts.running += 1
    const left = new AbortController()
    const ended = signal === undefined ? left.signal : AbortSignal.any([signal, left.signal])
    let isCompleted = false
    try {
      for await (const bytes of this.#frames(node, caller, request, ended)) {
        this.#counts.bytes += bytes.length
        yield bytes
      }
      isCompleted = true
    } finally {
      left.abort()
      this.#counts.running -= 1
      if (isCompleted) this.#counts.completed += 1
      else this.#counts.failed += 1
    }
  }

  async *#frames(
    node: Node,
    { tenant }: Caller,
    { tokenIds, hashes, span }: PrefillRequest,
    signal: AbortSignal,
  ): AsyncGenerator<Uint8Array> {
    const { blake3, stopwatch } = this.#parts
    const { model } = node.backend
    const layers = layersOf(model)
    const opened = Promise.withResolvers<WatchedContext>()
    const beganSeconds = stopwatch.seconds()
    let firstSeconds: number | null = null
    let computedSeconds = 0
    const work = node.prefillFor({
      tenant,
      tokenIds,
      hashes,
      signal,
      fill: async (context, rebuild, observePrefill) => {
        const watched = new WatchedContext(context, { span, layers, stopwatch, observePrefill, signal })
        opened.resolve(watched)
        const result = await rebuild(watched)
        computedSeconds = stopwatch.seconds()
        await watched.finish()
        return result
      },
    })
    // It is waited for below; what it throws before a context is open is thrown there.
    work.catch(opened.reject)
    const failed = work.then(() => new Promise<never>(() => undefined))
    failed.catch(() => undefined)
    const context = await opened.promise
    const ready = context.ready()
    for (;;) {
      const next = await Promise.race([ready.next(), failed])
      if (next.done === true) break
      for (const piece of piecesOf(model, next.value)) {
        const tensors = writeSafetensors(await context.take(piece))
        yield* encodePrefillFrame({ kind: 'piece', ...piece, tensors }, blake3)
        firstSeconds ??= stopwatch.seconds()
      }
    }
    const { reusedTokens } = await work
    const seconds = computedSeconds - beganSeconds
    const overlapSeconds = Math.max(0, computedSeconds - (firstSeconds ?? computedSeconds))
    this.#counts.seconds += seconds
    this.#counts.overlapSeconds += overlapSeconds
    yield* encodePrefillFrame({ kind: 'end', seconds, overlapSeconds, reusedTokens }, blake3)
  }

  #nodeFor({ model }: PrefillRequest): Node {
    const { engine } = this.#parts
    if (engine.kind !== 'node')
      throw new MembraneError('NOT_SUPPORTED', 'This node has no engine that computes for others.')
    const own = engine.node.backend.model
    if (own.fingerprint !== model)
      throw new MembraneError('NOT_SUPPORTED', `This node computes ${own.name}; another model was asked for.`)
    return engine.node
  }
}

/** Of a model whose whole context is KV: a recurrent state is there at the end only. Throws NOT_SUPPORTED. */
function layersOf({ name, parts }: KvModel): Span {
  const [part, ...more] = parts
  if (part?.kind === 'kv' && more.length === 0) return part.layers
  throw new MembraneError('NOT_SUPPORTED', `${name} keeps more than KV, which is not computed for others.`)
}

/** Not larger than a piece may be, as far as tokens and layers can be cut. */
function piecesOf({ parts }: KvModel, { layers, span }: ReadyLayers): readonly ReadyLayers[] {
  const [part] = parts
  assert(part !== undefined, 'a model has KV')
  const layerBytes = part.bytes / (part.layers.end - part.layers.start)
  const tokens = Math.max(1, Math.floor(LIMITS.prefillPieceBytesMax / layerBytes))
  return cuts(span, tokens).flatMap((piece) => {
    const count = Math.max(1, Math.floor(LIMITS.prefillPieceBytesMax / (layerBytes * (piece.end - piece.start))))
    return cuts(layers, count).map((some) => ({ layers: some, span: piece }))
  })
}

function cuts({ start, end }: Span, length: number): readonly TokenSpan[] {
  const count = Math.ceil((end - start) / length)
  return Array.from({ length: count }, (_, index) => ({
    start: start + index * length,
    end: Math.min(end, start + (index + 1) * length),
  }))
}
