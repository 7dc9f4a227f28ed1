/** The five calls that the door always had: messages as they were, spans inclusive, and the bytes beside them. */
import { contextBytes } from '../core/compute.ts'
import { byteDescription } from '../core/fragment-bytes.ts'
import { MembraneError } from '../core/errors.ts'
import { fragmentKey } from '../core/fragment-key.ts'
import { isContextKind, type FragmentDescription } from '../core/fragment.ts'
import { encodeDescription } from '../core/fragment-codec.ts'
import { type ContentHash, parseContentHash } from '../core/ids.ts'
import { LIMITS } from '../core/limits.ts'
import type { StoredFragment } from '../core/ports.ts'
import type {
  FragmentMessage,
  HeartbeatResponseMessage,
  InventoryRequestMessage,
  InventoryResponseMessage,
  PrefillRequestMessage,
  PrefillResponseMessage,
  RetrieveRequestMessage,
  RetrieveResponseMessage,
  StoreRequestMessage,
  StoreResponseMessage,
} from '../api/grpc-messages.ts'
import type { FragmentOperations } from '../server/fragment-operations.ts'
import type { ComputeOperations } from '../server/compute-operations.ts'
import type { Described, FabricPut } from '../server/tenant-fabric.ts'
import type { ObserveOperations } from '../server/observe-operations.ts'
import type { CallContext } from './grpc-admission.ts'
import { readDescription, wholeNumber } from './grpc-description.ts'
import { firstKeys } from './grpc-inventory.ts'

const INT32_MAX = 2 ** 31 - 1
const BARE_DIGITS = /^[0-9a-f]{64}$/

/** A fragment without a description becomes an artifact, named by its bytes. */
export async function storeFragment(
  fragments: FragmentOperations,
  { fragment, payload }: StoreRequestMessage,
  { caller }: CallContext,
): Promise<StoreResponseMessage> {
  if (fragment === null) throw new MembraneError('INVALID_REQUEST', 'There is no fragment in the request.')
  if (payload.length === 0)
    throw new MembraneError('PAYLOAD_REQUIRED', 'A fragment is stored with its bytes; none came.', {
      remedy: 'Send them as StoreRequest.payload (field 12), or use Put.',
    })
  const { ttl, contentHash } = fragment
  if (!(ttl >= 0 && Number.isFinite(ttl))) throw new MembraneError('INVALID_REQUEST', `ttl is 0 or more; found ${ttl}.`)
  const put: FabricPut = {
    description: descriptionOf(fragment),
    // A copy of its own: the message's memory holds all of the message.
    payload: new Uint8Array(payload),
    payloadBytes: payload.length,
    ...(contentHash === '' ? {} : { contentHash: parseSentHash(contentHash) }),
    ...(ttl === 0 ? {} : { expiresAtMs: Math.min(Number.MAX_SAFE_INTEGER, Math.round(Date.now() + ttl * 1000)) }),
  }
  const stored = await fragments.put(caller, put)
  return { ...stored, success: stored.outcome !== 'refused' }
}

/** 64 digits without an algorithm are SHA-256, which every language can compute. Throws INVALID_REQUEST. */
function parseSentHash(text: string): ContentHash {
  return parseContentHash(BARE_DIGITS.test(text) ? `s256:${text}` : text)
}

/** Tokens and the model's name are kept: they are the fragment's place in a sequence. */
function descriptionOf(fragment: FragmentMessage): FragmentDescription {
  if (fragment.description.length > 0) return readDescription(fragment.description, '')
  const { modelId, tokenStart, tokenEnd } = fragment
  const description = byteDescription('artifact', undefined, { sequence: modelId === '' ? null : modelId })
  // Nothing was said, which here reads like the span of the first token.
  if (tokenStart === 0 && tokenEnd === 0) return description
  const start = wholeNumber('token_start', tokenStart)
  const end = wholeNumber('token_end', tokenEnd) + 1
  return { ...description, signature: { ...description.signature, tokens: { start, end } } }
}

export async function retrieveFragment(
  fragments: FragmentOperations,
  { contentHash, key }: RetrieveRequestMessage,
  { caller }: CallContext,
): Promise<RetrieveResponseMessage> {
  const keys = key === '' ? keysOf(contentHash) : [key]
  for (const one of keys) {
    const entry = await fragments.head(caller, one)
    if (entry !== null && entry.payloadBytes > LIMITS.grpcMessageBytesMax)
      throw new MembraneError('LIMIT_REACHED', `One message takes ${LIMITS.grpcMessageBytesMax} bytes at most.`, {
        remedy: `Get ${one} in pieces, by Get.`,
      })
    const found = entry === null ? null : await fragments.get(caller, one)
    if (found === null) continue
    return { found: true, fragment: fragmentMessage(found, found.expiresAtMs), payload: found.payload }
  }
  return { found: false, fragment: null, payload: new Uint8Array(0) }
}

function keysOf(contentHash: string): readonly string[] {
  const hashes = BARE_DIGITS.test(contentHash) ? [`s256:${contentHash}`, `b3:${contentHash}`] : [contentHash]
  return hashes.map((hash) => fragmentKey({ kind: 'artifact', name: parseContentHash(hash) }))
}

type Listed = Pick<Described<StoredFragment>, 'key' | 'contentHash' | 'payloadBytes' | 'description'>

function fragmentMessage(
  { key, contentHash, payloadBytes, description }: Listed,
  expiresAtMs: number | null,
): FragmentMessage {
  const { kind, tokens, layers, model } = description.signature
  return {
    contentHash,
    embedding: [],
    modelId: isContextKind(kind) ? model : (description.sequence ?? ''),
    layerStart: layers.start,
    layerEnd: inclusive(layers),
    tokenStart: tokens.start,
    tokenEnd: inclusive(tokens),
    size: Math.min(payloadBytes, INT32_MAX),
    ttl: expiresAtMs === null ? 0 : Math.max(0, (expiresAtMs - Date.now()) / 1000),
    reuseScore: 0,
    versionId: 1,
    sizeBytes: payloadBytes,
    description: encodeDescription(description),
    key,
  }
}

/** Of an empty span its start, because there is no token before the first. */
function inclusive({ start, end }: { readonly start: number; readonly end: number }): number {
  return Math.max(start, end - 1)
}

/** A page in the order of the keys, so that the next one can go on behind it. */
export async function syncInventory(
  fragments: FragmentOperations,
  { pageSize, pageToken }: InventoryRequestMessage,
  { nodeId, context }: { readonly nodeId: string; readonly context: CallContext },
): Promise<InventoryResponseMessage> {
  const limit = pageSize === 0 ? LIMITS.grpcInventoryMax : Math.min(pageSize, LIMITS.grpcInventoryMax)
  const { page, isLast } = await firstKeys(fragments.entries(context.caller), { after: pageToken, limit, ...context })
  const entries = page.map(({ key, contentHash, payloadBytes }) => ({ key, contentHash, payloadBytes }))
  const digest = Object.fromEntries(entries.map(({ contentHash }) => [contentHash, 1]))
  return { digest, nodeId, entries, nextPageToken: isLast ? '' : (entries.at(-1)?.key ?? '') }
}

export async function prefill(
  compute: ComputeOperations,
  { promptTokens, modelId, session }: PrefillRequestMessage,
  { caller, signal }: CallContext,
): Promise<PrefillResponseMessage> {
  const { engine } = compute
  if (engine.kind === 'node') checkModel(modelId, engine.node.backend.model)
  const negative = promptTokens.find((id) => id < 0)
  if (negative !== undefined) throw new MembraneError('INVALID_REQUEST', `Token ids are 0 or more; found ${negative}.`)
  const tokenIds = Uint32Array.from(promptTokens)
  const asked = { prompt: { tokenIds }, session: session === '' ? null : session, signal }
  const { rebuilt, fragments } = await compute.prefill(caller, asked)
  const kvSizeBytes = engine.kind === 'node' ? contextBytes(engine.node.backend.model, rebuilt.promptTokens) : 0
  return {
    fragments: fragments.map((fragment) => fragmentMessage(fragment, null)),
    kvSizeMib: kvSizeBytes / 1024 ** 2,
    latencySeconds: rebuilt.seconds,
    success: true,
    kvSizeBytes,
    reusedTokens: rebuilt.reusedTokens,
    prefilledTokens: rebuilt.prefilledTokens,
    storedFragments: rebuilt.stored.fragments,
  }
}

function checkModel(modelId: string, { name, fingerprint }: { readonly name: string; readonly fingerprint: string }) {
  if (modelId === '' || modelId === 'default' || modelId === name || modelId === fingerprint) return
  throw new MembraneError('INVALID_REQUEST', `This node's model is ${name}; found ${JSON.stringify(modelId)}.`)
}

export function heartbeat(observe: ObserveOperations, { caller }: CallContext): HeartbeatResponseMessage {
  const { node, load, fragments, isTakingRequests } = observe.heartbeat(caller)
  return {
    nodeId: node,
    load: load.eventLoopRatio,
    memoryUsedBytes: load.memoryBytes,
    memoryLimitBytes: load.memoryBytesMax,
    fragmentCount: Math.min(fragments, INT32_MAX),
    healthy: isTakingRequests,
  }
}
