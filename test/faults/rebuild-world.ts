/** A node, its neighbours and an engine on one virtual clock, in which every read can go wrong. */
import type { CallOptions } from '../../src/core/compute.ts'
import { createHashChain } from '../../src/core/hash-chains.ts'
import { contextName, fragmentKey } from '../../src/core/fragment-key.ts'
import type { Fragment } from '../../src/core/fragment.ts'
import type { BlockHashes } from '../../src/core/block-hashes.ts'
import { unpackBlockHashes } from '../../src/core/block-hashes.ts'
import { unreachable } from '../../src/core/errors.ts'
import { DEFAULT_TENANT, type TenantId } from '../../src/core/ids.ts'
import type { PeerFetch, PromptName, PutOutcome, RemoteFragment } from '../../src/core/ports.ts'
import { loadChainHashes } from '../../src/hashing/chain-hashes.ts'
import { loadPureContentHashers } from '../../src/hashing/content-hashers.ts'
import { fragmentSpans } from '../../src/reconstruct/fragmentize.ts'
import { InMemoryPeers } from '../../src/reconstruct/in-memory-peers.ts'
import type {
  LocalFragment,
  RateBook,
  RebuildMemory,
  RebuildOptions,
  RebuildParts,
  RebuildRequest,
} from '../../src/reconstruct/rebuild-ports.ts'
import { copyFragments } from '../../src/reconstruct/rebuild-store.ts'
import { MixingBackend, type MixingContext, type MixingOptions } from './mixing-engine.ts'
import { VirtualAlarm } from './virtual-alarm.ts'

export const BLOCK_TOKENS = 4
export const FRAGMENT_TOKENS = 8
export const SECONDS_A_TOKEN = 1
const hashers = await loadPureContentHashers()
const chainHashes = await loadChainHashes()
const chain = createHashChain('blake3', { hashes: chainHashes, blockTokens: BLOCK_TOKENS })

/** What one read does: after so many seconds, or never where null. */
export interface Fault {
  readonly seconds: number | null
  readonly kind: 'right' | 'missing' | 'throws' | 'damaged' | 'truncated'
  /** Whether a read that is cancelled goes on as if nothing had been said. */
  readonly isDeaf: boolean
}

export const NO_FAULT: Fault = { seconds: 0, kind: 'right', isDeaf: false }

/** What was under way, at most. */
class Flight {
  #bytes = 0
  readonly #reads = new Map<string, number>()
  bytesMax = 0
  readsMax = 0

  async track<T>(place: string, bytes: number, signal: AbortSignal | undefined, read: () => Promise<T>): Promise<T> {
    const count = (this.#reads.get(place) ?? 0) + 1
    this.#reads.set(place, count)
    this.#bytes += bytes
    this.bytesMax = Math.max(this.bytesMax, this.#bytes)
    this.readsMax = Math.max(this.readsMax, count)
    let isOver = false
    const end = (): void => {
      if (isOver) return
      isOver = true
      this.#bytes -= bytes
      this.#reads.set(place, (this.#reads.get(place) ?? 1) - 1)
    }
    signal?.addEventListener('abort', end)
    try {
      return await read()
    } finally {
      end()
    }
  }

  get reads(): number {
    return [...this.#reads.values()].reduce((a, b) => a + b, 0)
  }
}

export class WorldMemory implements RebuildMemory {
  readonly entries = new Map<string, Fragment & { readonly tier: LocalFragment['tier'] }>()
  readonly puts: string[] = []
  readonly sessions: (readonly [string, readonly string[]])[] = []
  findSeconds: number | null = 0
  onPut: (key: string) => PutOutcome | null = () => null
  readonly #world: World

  constructor(world: World) {
    this.#world = world
  }

  hold(fragment: Fragment, tier: LocalFragment['tier'] = 'memory'): string {
    const key = fragmentKey(contextName(fragment.description))
    this.entries.set(key, { ...fragment, tier })
    return key
  }

  async find({ hashes }: PromptName): Promise<readonly LocalFragment[]> {
    await this.#world.pass(this.findSeconds, undefined)
    const blocks = new Set(unpackBlockHashes(hashes))
    return [...this.entries].flatMap(([key, { description, payload, tier }]) =>
      this.#world.isIndexWrong || description.blocks.some((block) => blocks.has(block))
        ? [{ key, description, tier, contentHash: hashers.b3.hash(payload), payloadBytes: payload.length }]
        : [],
    )
  }

  read(key: string, { signal }: CallOptions = {}): Promise<Uint8Array | null> {
    const entry = this.entries.get(key)
    const bytes = entry?.payload.length ?? 0
    return this.#world.read(
      `${entry?.tier} ${key}`,
      { place: entry?.tier ?? '', bytes, signal },
      async () => entry?.payload ?? null,
    )
  }

  async put(fragment: Fragment): Promise<PutOutcome> {
    await this.#world.pass(0.01, undefined)
    const key = fragmentKey(contextName(fragment.description))
    this.puts.push(key)
    const outcome = this.onPut(key)
    if (outcome !== null) return outcome
    if (this.entries.has(key)) return 'present'
    this.hold(fragment)
    return 'stored'
  }

  used(session: string, keys: readonly string[]): void {
    this.sessions.push([session, keys])
  }
}

export interface WorldOptions extends Partial<MixingOptions> {
  readonly parts?: Partial<RebuildParts>
  readonly options?: Partial<RebuildOptions>
}

export class World {
  readonly alarm = new VirtualAlarm()
  readonly flight = new Flight()
  readonly memory: WorldMemory = new WorldMemory(this)
  readonly peers = new InMemoryPeers(hashers.b3)
  readonly backend: MixingBackend
  readonly parts: RebuildParts
  readonly observed: string[] = []
  locateSeconds: number | null = 0
  /** The index proposes everything, of any prompt. */
  isIndexWrong = false
  /** By tier or node and key, what its reads do. */
  faultOf: (name: string) => Fault = () => NO_FAULT
  readonly #options: MixingOptions

  constructor({ parts = {}, options = {}, ...mixing }: WorldOptions = {}) {
    this.#options = {
      wait: (seconds, signal) => this.alarm.wait(seconds, signal).catch(() => undefined),
      secondsAToken: SECONDS_A_TOKEN,
      hasState: false,
      isForgetful: false,
      ...mixing,
    }
    this.backend = new MixingBackend(this.#options)
    const directory = this.peers.directoryOf('here')
    const fetching: PeerFetch = {
      fetch: (tenant, fragment, { signal } = {}) => {
        const { node, key, payloadBytes } = fragment
        return this.read(`${node} ${key}`, { place: node, bytes: payloadBytes, signal }, () =>
          this.peers.fetch(tenant, fragment),
        )
      },
    }
    this.parts = {
      model: this.backend.model,
      memory: this.memory,
      rates: this.#rates(),
      hashers,
      stopwatch: this.alarm,
      alarm: this.alarm,
      fragmentize: { blockTokens: BLOCK_TOKENS, fragmentTokens: FRAGMENT_TOKENS },
      directory: {
        locate: async (prompt) => {
          await this.pass(this.locateSeconds, undefined)
          return directory.locate(prompt)
        },
      },
      peers: fetching,
      remotePrefill: null,
      ...parts,
      options: { patienceSecondsMin: 0, ...options },
    }
  }

  /** A prompt of tokens; another salt or adapter is another context. */
  request(
    tokens: readonly number[],
    rest: Partial<RebuildRequest> & { salt?: string; adapter?: string } = {},
  ): RebuildRequest {
    const { salt = 'salt', adapter, ...other } = rest
    const tokenIds = Uint32Array.from(tokens)
    return {
      tenant: DEFAULT_TENANT,
      tokenIds,
      hashes: hashesOf(tokenIds, { model: this.backend.model.fingerprint, salt, adapter }),
      session: null,
      reuse: 'exact',
      ...other,
    }
  }

  /** The context as a full prefill leaves it, and the fragments of it. */
  async prefilled(tokens: readonly number[], extra: { salt?: string; adapter?: string } = {}) {
    const { hashes, tokenIds } = this.request(tokens, extra)
    const { model } = this.backend
    const backend = new MixingBackend({ ...this.#options, wait: null })
    const context = await backend.openContext(tokens.length)
    const prompt = { model, blockTokens: BLOCK_TOKENS, blocks: unpackBlockHashes(hashes) }
    const fragments: (readonly Fragment[])[] = []
    const { spans } = fragmentSpans({ start: 0, end: tokens.length }, this.parts.fragmentize)
    let start = 0
    for (const span of spans) {
      await context.prefill(span.start, tokenIds.subarray(span.start, span.end))
      fragments.push(await copyFragments(context, { span, prompt }, {}))
      start = span.end
    }
    if (start < tokens.length) await context.prefill(start, tokenIds.subarray(start))
    return { fragments, dump: await context.dump(tokens.length), hashes }
  }

  open(tokens: number): Promise<MixingContext> {
    return this.backend.openContext(tokens)
  }

  holdAtPeer(node: string, fragment: Fragment, tenant: TenantId = DEFAULT_TENANT): RemoteFragment {
    return this.peers.hold(node, tenant, fragment)
  }

  /** Lets seconds pass; for ever where null. */
  pass(seconds: number | null, signal: AbortSignal | undefined): Promise<void> {
    if (seconds === null)
      return new Promise((_, reject) => signal?.addEventListener('abort', () => reject(new Error('gone'))))
    return seconds === 0 ? Promise.resolve() : this.alarm.wait(seconds, signal)
  }

  read(
    name: string,
    { place, bytes, signal }: { place: string; bytes: number; signal: AbortSignal | undefined },
    read: () => Promise<Uint8Array | null>,
  ): Promise<Uint8Array | null> {
    return this.flight.track(place, bytes, signal, async () => {
      const { seconds, kind, isDeaf } = this.faultOf(name)
      await this.pass(seconds, isDeaf ? undefined : signal)
      const payload = await read()
      switch (kind) {
        case 'right':
          return payload
        case 'missing':
          return null
        case 'throws':
          throw new TypeError('socket hang up')
        case 'damaged':
          return payload?.map((byte, index) => (index === payload.length - 1 ? byte ^ 1 : byte)) ?? null
        case 'truncated':
          return payload?.subarray(0, -4) ?? null
        default:
          return unreachable(kind)
      }
    })
  }

  #rates(): RateBook {
    return {
      read: () => ({ latencySeconds: 0.5, bytesPerSecond: 1e5, isMeasured: true }),
      prefillSeconds: ({ start, end }) => (end - start) * SECONDS_A_TOKEN,
      isPrefillMeasured: true,
      observeRead: (place, bytes, seconds) => this.observed.push(`read ${place} ${bytes} ${seconds}`),
      observePrefill: ({ start, end }, seconds) => this.observed.push(`prefill ${start}-${end} ${seconds}`),
    }
  }
}

function hashesOf(
  tokenIds: Uint32Array,
  { model, salt, adapter }: { model: MixingBackend['model']['fingerprint']; salt: string; adapter: string | undefined },
): BlockHashes {
  return chain.hash(tokenIds, { model, tenantSalt: salt, adapter })
}
