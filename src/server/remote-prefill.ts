/** Lets other nodes compute spans of prompts: chooses one, takes the KV that it streams, and asks another when it is late. */
import { abortedError } from '../core/cancel.ts'
import { type CallOptions, contextBytes, type KvModel } from '../core/compute.ts'
import { ERROR_CODES, type ErrorCode, MembraneError } from '../core/errors.ts'
import { sliceBlockHashes } from '../core/block-hashes.ts'
import type { Fragment, TokenSpan } from '../core/fragment.ts'
import type {
  Alarm,
  ContentHasher,
  PromptName,
  RemotePrefill,
  RemotePrefillEstimate,
  Stopwatch,
} from '../core/ports.ts'
import {
  choosePrefill,
  hedge,
  type Hedged,
  type PrefillChoice,
  type PrefillLink,
  reportedLink,
} from '../cluster/dispatch-prefill.ts'
import type { Member } from '../cluster/member.ts'
import type { Membership } from '../cluster/membership.ts'
import { type PrefillFrame, readPrefillFrames } from '../cluster/prefill-frames.ts'
import { prefillMessage } from '../cluster/prefill-request.ts'
import type { FragmentizeOptions } from '../reconstruct/fragmentize.ts'
import { PieceAssembly } from '../reconstruct/layer-pieces.ts'
import type { FetchLinks } from './cluster-fetch.ts'
import type { PeerConnections } from './peer-connections.ts'

/** Says which prompts are worth sending to another datacentre. */
export interface PrefillThreshold {
  isRemote(promptTokens: number, uncachedTokens: number): boolean
}

export interface ClusterPrefillParts {
  readonly membership: Pick<Membership, 'self' | 'members' | 'watch'>
  readonly connections: Pick<PeerConnections, 'prefill'>
  readonly blake3: ContentHasher
  readonly alarm: Alarm
  readonly stopwatch: Stopwatch
  /** Null: whatever the plan finds sooner. */
  readonly threshold: PrefillThreshold | null
  /** The way to a node, as measured; null takes what telemetry says of its datacentre. */
  readonly link: ((member: Member) => PrefillLink) | null
  /** Shares the way with others; null for a way of its own. */
  readonly links: Pick<FetchLinks, 'admit'> | null
}

/** What this node's engine computes. */
export interface PrefillModel {
  readonly model: KvModel
  readonly fragmentize: FragmentizeOptions
}

/** Counted since the start. Seconds are those of this node, but for the overlap. */
export interface ClusterPrefillStats {
  readonly asked: number
  /** All of whose KV was taken. */
  readonly used: number
  readonly failed: number
  /** Nobody waited for the rest of them. */
  readonly cancelled: number
  readonly hedged: number
  readonly bytes: number
  readonly seconds: number
  /** In which KV travelled while more was computed, as the other node says. */
  readonly overlapSeconds: number
}

interface Stream {
  readonly frames: AsyncGenerator<PrefillFrame>
  readonly first: PrefillFrame
}

/** The end follows the last piece at once, or not at all. */
const END_SECONDS_MAX = 1

/** See the top of this file. Offers nothing before `begin`, and nothing for a model that keeps more than KV. */
export class ClusterPrefill implements RemotePrefill {
  readonly #parts: ClusterPrefillParts
  readonly #counts = { asked: 0, used: 0, failed: 0, cancelled: 0, hedged: 0, bytes: 0, seconds: 0, overlapSeconds: 0 }
  #engine: PrefillModel | null = null

  constructor(parts: ClusterPrefillParts) {
    this.#parts = parts
  }

  /** Once, when the engine is open. */
  begin(engine: PrefillModel): void {
    const [part, ...more] = engine.model.parts
    if (part?.kind === 'kv' && more.length === 0) this.#engine = engine
  }

  stats(): ClusterPrefillStats {
    return { ...this.#counts }
  }

  estimate(prompt: PromptName, span: TokenSpan): RemotePrefillEstimate | null {
    if (this.#engine === null) return null
    const [best] = this.#choices(this.#engine, prompt, span)
    if (best === undefined) return null
    const { node, waitSeconds, prefillSeconds, transferSeconds } = best
    return { node, waitSeconds, prefillSeconds, transferSeconds }
  }

  /** As the port says; throws STORE_UNAVAILABLE whatever went wrong, and ABORTED. */
  async *prefill(
    prompt: PromptName & { readonly tokenIds: Uint32Array },
    span: TokenSpan,
    { signal }: CallOptions = {},
  ): AsyncGenerator<Fragment> {
    const { stopwatch } = this.#parts
    const beganSeconds = stopwatch.seconds()
    this.#counts.asked += 1
    let isFailed = false
    let given = span.start
    try {
      for await (const fragment of this.#taken(prompt, span, signal)) {
        given = fragment.description.signature.tokens.end
        yield fragment
      }
    } catch (error) {
      if (signal?.aborted === true) throw abortedError(signal)
      isFailed = true
      throw unavailable(error)
    } finally {
      // Who has the last fragment asks for no more.
      if (given === span.end) this.#counts.used += 1
      else if (isFailed) this.#counts.failed += 1
      else this.#counts.cancelled += 1
      this.#counts.seconds += stopwatch.seconds() - beganSeconds
    }
  }

  async *#taken(
    prompt: PromptName & { readonly tokenIds: Uint32Array },
    span: TokenSpan,
    signal: AbortSignal | undefined,
  ): AsyncGenerator<Fragment> {
    const engine = this.#engine
    const choices = engine === null ? [] : this.#choices(engine, prompt, span)
    if (engine === null || choices.length === 0)
      throw new MembraneError('PEER_UNAVAILABLE', 'No node computes this model for others now.')
    const assembly = new PieceAssembly({ ...engine, hashes: prompt.hashes, span })
    const stream = await this.#open(choices, prompt, { engine, span, signal })
    const leave = (): void => stream.cancel()
    signal?.addEventListener('abort', leave)
    try {
      for (let next: PrefillFrame = stream.first.first; ; ) {
        if (next.kind === 'error') throw errorOf(next)
        if (next.kind === 'end')
          throw new MembraneError('PEER_UNAVAILABLE', `${stream.choice.node} ended before it had given all tokens.`)
        this.#counts.bytes += next.tensors.length
        assembly.add(next)
        for (let ready = assembly.take(); ready !== null; ready = assembly.take()) yield ready
        if (assembly.isComplete) return
        // Who waits here is not sent more.
        const bytes = next.kind === 'piece' ? next.tensors.length : 0
        if (bytes > 0) await this.#parts.links?.admit(stream.choice.node, 'prefill', bytes, signal)
        const { value, done } = await stream.first.frames.next()
        if (done === true) throw new MembraneError('PEER_UNAVAILABLE', `${stream.choice.node} fell silent.`)
        next = value
      }
    } finally {
      signal?.removeEventListener('abort', leave)
      if (assembly.isComplete) void this.#readEnd(stream)
      else stream.cancel()
    }
  }

  /** Nobody waits for it: it has what the other node measured. */
  async #readEnd({ first: { frames }, cancel }: Hedged<Stream>): Promise<void> {
    const cancelAlarm = this.#parts.alarm.after(END_SECONDS_MAX, cancel)
    try {
      const { value } = await frames.next()
      if (value?.kind === 'end') this.#counts.overlapSeconds += value.overlapSeconds
    } catch (error) {
      // All KV has come and was verified; only its times are not known.
      if (!(error instanceof MembraneError)) throw error
    } finally {
      cancelAlarm()
      cancel()
    }
  }

  #open(
    choices: readonly PrefillChoice[],
    { tenant, model, hashes, tokenIds }: PromptName & { readonly tokenIds: Uint32Array },
    { engine, span, signal }: { readonly engine: PrefillModel; readonly span: TokenSpan } & CallOptions,
  ): Promise<Hedged<Stream>> {
    const { alarm, connections, blake3, membership } = this.#parts
    const blocks = span.end / engine.fragmentize.blockTokens
    const asked = { model, tokenIds: tokenIds.subarray(0, span.end), hashes: sliceBlockHashes(hashes, 0, blocks), span }
    const message = prefillMessage(asked)
    return hedge(choices, {
      alarm,
      signal,
      ask: async ({ member }, cancelled) => {
        const bytes = connections.prefill(member.address, tenant, message, cancelled)
        const frames = readPrefillFrames(bytes, blake3)
        const { value, done } = await frames.next()
        if (done === true) throw new MembraneError('PEER_UNAVAILABLE', `${member.node} sent nothing.`)
        // It has nothing to give: another one may.
        if (value.kind === 'error') throw errorOf(value)
        return { frames, first: value }
      },
      onSuspected: (node, callback) =>
        membership.watch(({ member }) => {
          if (member.node === node && member.state !== 'alive') callback()
        }),
      onHedge: () => {
        this.#counts.hedged += 1
      },
    })
  }

  #choices({ model, fragmentize }: PrefillModel, prompt: PromptName, span: TokenSpan): readonly PrefillChoice[] {
    const { membership, link, threshold } = this.#parts
    const { self } = membership
    const [part] = model.parts
    if (part === undefined || prompt.model !== model.fingerprint) return []
    const layers = part.layers.end - part.layers.start
    const tokenBytes = contextBytes(model, 1)
    const work = { model: model.fingerprint, span, tokenBytes, layers, chunkTokens: fragmentize.fragmentTokens }
    const promptTokens = prompt.hashes.count * fragmentize.blockTokens
    // The threshold is for links between datacentres; within one, whoever is sooner computes.
    const mayCross = threshold?.isRemote(promptTokens, span.end - span.start) ?? true
    const members = membership.members().filter(({ datacentre }) => mayCross || datacentre === self.datacentre)
    return choosePrefill(members, work, {
      self: self.node,
      link: link ?? ((member) => reportedLink(self, member)),
    })
  }
}

function errorOf({ code, sentence }: Extract<PrefillFrame, { readonly kind: 'error' }>): MembraneError {
  const known: ErrorCode = Object.hasOwn(ERROR_CODES, code) ? (code as ErrorCode) : 'PEER_UNAVAILABLE'
  return new MembraneError(known, sentence)
}

function unavailable(cause: unknown): unknown {
  if (!(cause instanceof MembraneError)) return cause
  return new MembraneError('STORE_UNAVAILABLE', `A prefill by another node failed: ${cause.message}`, { cause })
}
