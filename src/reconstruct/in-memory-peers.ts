/** Nodes of one process: what they hold, where it is, and what they compute for each other. */
import { blockHashAt, unpackBlockHashes } from '../core/block-hashes.ts'
import { type CallOptions, contextBytes, type KvBackend } from '../core/compute.ts'
import { contextName, fragmentKey } from '../core/fragment-key.ts'
import type { Fragment, TokenSpan } from '../core/fragment.ts'
import type { TenantId } from '../core/ids.ts'
import type {
  ContentHasher,
  FragmentDirectory,
  PeerFetch,
  PromptName,
  RemoteFragment,
  RemotePrefill,
  RemotePrefillEstimate,
} from '../core/ports.ts'
import { type FragmentizeOptions, fragmentSpans } from './fragmentize.ts'
import type { PromptShape } from './rebuild-candidates.ts'
import type { RebuildRates } from './rebuild-plan.ts'
import { copyFragments } from './rebuild-store.ts'

interface Held {
  readonly remote: RemoteFragment
  readonly payload: Uint8Array
}

/** Several nodes of one process, as each of them sees the others. Bytes are kept, not copied. */
export class InMemoryPeers implements PeerFetch {
  readonly #hasher: ContentHasher
  /** By tenant, then by node and key. */
  readonly #held = new Map<TenantId, Map<string, Held>>()

  constructor(hasher: ContentHasher) {
    this.#hasher = hasher
  }

  /** The node holds a fragment with a context, and everybody knows; in place of what had the same key. */
  hold(node: string, tenant: TenantId, { description, payload }: Fragment): RemoteFragment {
    const key = fragmentKey(contextName(description))
    const contentHash = this.#hasher.hash(payload)
    const remote = { node, key, description, contentHash, payloadBytes: payload.length }
    const ofTenant = this.#held.get(tenant) ?? new Map<string, Held>()
    this.#held.set(tenant, ofTenant)
    ofTenant.set(name(node, key), { remote, payload })
    return remote
  }

  /** Whether the node held it. */
  drop(node: string, tenant: TenantId, key: string): boolean {
    return this.#held.get(tenant)?.delete(name(node, key)) ?? false
  }

  /** What the others hold. Looks at all that the tenant has. */
  directoryOf(node: string): FragmentDirectory {
    return {
      locate: async ({ tenant, model, hashes }) => {
        const blocks = new Set(unpackBlockHashes(hashes))
        return [...(this.#held.get(tenant)?.values() ?? [])]
          .map(({ remote }) => remote)
          .filter(({ node: holder, description }) => {
            const isOfModel = description.signature.model === model
            return holder !== node && isOfModel && description.blocks.some((block) => blocks.has(block))
          })
      },
    }
  }

  async fetch(tenant: TenantId, { node, key }: RemoteFragment): Promise<Uint8Array | null> {
    return this.#held.get(tenant)?.get(name(node, key))?.payload ?? null
  }
}

function name(node: string, key: string): string {
  return `${node}\n${key}`
}

/** A node that computes for others. */
export interface ComputingNode {
  readonly node: string
  readonly backend: KvBackend
  readonly fragmentize: FragmentizeOptions
  /** Its own times to compute, and what reading from it takes. */
  readonly rates: Pick<RebuildRates, 'prefillSeconds' | 'read'>
}

/** Lets an engine of this process compute, one prompt after the other, each from its first token on. */
export class EngineRemotePrefill implements RemotePrefill {
  readonly #computing: ComputingNode
  /** Seconds of what was asked for and has not ended. */
  #waitSeconds = 0
  #last: Promise<void> = Promise.resolve()

  constructor(computing: ComputingNode) {
    this.#computing = computing
  }

  /** Null for a span that is not of whole blocks of the prompt, or of another model. */
  estimate({ model, hashes }: PromptName, span: TokenSpan): RemotePrefillEstimate | null {
    const { node, backend, rates, fragmentize } = this.#computing
    const { blockTokens } = fragmentize
    const isWhole = span.start % blockTokens === 0 && span.end % blockTokens === 0
    if (model !== backend.model.fingerprint || !isWhole || span.end > hashes.count * blockTokens) return null
    const bytes = contextBytes(backend.model, span.end - span.start)
    const { latencySeconds, bytesPerSecond } = rates.read(node)
    return {
      node,
      waitSeconds: this.#waitSeconds,
      prefillSeconds: rates.prefillSeconds({ start: 0, end: span.end }),
      transferSeconds: latencySeconds + bytes / bytesPerSecond,
    }
  }

  async *prefill(
    { hashes, tokenIds }: PromptName & { readonly tokenIds: Uint32Array },
    span: TokenSpan,
    options: CallOptions = {},
  ): AsyncIterable<Fragment> {
    const { backend, rates, fragmentize } = this.#computing
    const { model } = backend
    const seconds = rates.prefillSeconds({ start: 0, end: span.end })
    const { promise, resolve } = Promise.withResolvers<void>()
    const before = this.#last
    this.#last = promise
    this.#waitSeconds += seconds
    try {
      await before
      const prompt: PromptShape = {
        model,
        blockTokens: fragmentize.blockTokens,
        blocks: Array.from({ length: hashes.count }, (_, index) => blockHashAt(hashes, index)),
      }
      const context = await backend.openContext(span.end)
      try {
        if (span.start > 0) await context.prefill(0, tokenIds.subarray(0, span.start), options)
        for (const piece of fragmentSpans(span, fragmentize).spans) {
          await context.prefill(piece.start, tokenIds.subarray(piece.start, piece.end), options)
          yield* await copyFragments(context, { span: piece, prompt }, options)
        }
      } finally {
        await context.close()
      }
    } finally {
      this.#waitSeconds -= seconds
      resolve()
    }
  }
}
