/** Routes of version 0, kept for the clients that call them, with the status codes that HTTP has for what happens. */
import type { FastifyRequest } from 'fastify'
import { z } from 'zod'
import { byteDescription } from '../core/fragment-bytes.ts'
import { MembraneError } from '../core/errors.ts'
import type { StoredEntry } from '../core/ports.ts'
import { LIMITS } from '../core/limits.ts'
import type { IndexedFragment } from '../indices/indexed-fragment.ts'
import type { Member } from '../cluster/member.ts'
import type { Described } from '../server/tenant-fabric.ts'
import type { DoorOptions } from './door.ts'
import { abortedWith, callerOf, type HttpApp, type HttpRoutes } from './http-app.ts'
import {
  decodeRecord,
  encodeRecord,
  OLD_FRAGMENT,
  oldContentHash,
  type OldFragment,
  type OldRecord,
  recordDescription,
  recordedVersion,
  recordKey,
  recordName,
} from './http-record.ts'

const TAGS = ['version 0']

const STORE = z
  .object({
    fragment: OLD_FRAGMENT.extend({
      payload: z.base64().optional().describe('The bytes, in base64; may stand beside the fragment instead.'),
    }),
    payload: z.base64().optional().describe('The bytes of the fragment, in base64.'),
    is_primary: z.boolean().default(false).describe('Kept and given back: a node that is alone has the only copy.'),
  })
  .describe('A fragment and its bytes, in base64. Sizes in bytes, ttl in seconds.')
const STORED = z
  .object({ success: z.literal(true), content_hash: z.string() })
  .describe('It is stored under this hash; has no units.')
const RETRIEVED = z
  .object({
    found: z.literal(true),
    fragment: OLD_FRAGMENT.extend({ is_primary: z.boolean(), key: z.string() }).describe(
      'As it was stored, and the key of its bytes, for GET /v1/fragments/{key}. Sizes in bytes, ttl in seconds.',
    ),
  })
  .describe('A fragment of version 0. Sizes in bytes, ttl in seconds.')
const INVENTORY = z
  .object({
    node_id: z.string(),
    digest: z.record(z.string(), z.number().int()).describe('Version of each content hash.'),
    next_cursor: z.string().optional().describe('Only when there is more: of the next page.'),
  })
  .describe(`Content hashes and versions, ${LIMITS.legacyInventoryEntriesMax} entries at most; has no units.`)
const HEARTBEAT = z
  .object({
    node_id: z.string(),
    load: z.number().describe('Share of the time, 0 to 1, in which the event loop had work since it was last asked.'),
    memory_used_bytes: z
      .number()
      .describe('Payload bytes of the tenant; resident bytes of the process for who may observe.'),
    memory_limit_bytes: z.number().describe("Bytes of its control group's bound, or of the machine's memory."),
    fragment_count: z.number().int().describe("Fragments: the caller's, or, for who may observe, all."),
    healthy: z.boolean().describe('It takes requests.'),
  })
  .describe('What was observed: bytes, fragments, a share of time.')
const PREFILL = z
  .object({
    prompt_tokens: z
      .array(
        z
          .number()
          .int()
          .min(0)
          .max(2 ** 32 - 1),
      )
      .min(1)
      .describe('Token ids.'),
    model_id: z.string().default('default').describe("default, or the engine's model by name or fingerprint."),
  })
  .describe('A prompt to compute, in tokens.')
const PREFILLED = z
  .object({
    success: z.literal(true),
    fragments: z.array(OLD_FRAGMENT.extend({ key: z.string(), is_primary: z.boolean() })),
  })
  .describe('Fragments that cover the prompt now. Sizes in bytes, spans in tokens with both ends counted.')
const ANYTHING = z.unknown().describe('Not looked at.')
const PEERS = z
  .object({
    peers: z.array(
      z.object({
        node_id: z.string(),
        host: z.string(),
        port: z.number().int(),
        healthy: z.boolean().describe('It is alive, as far as this node knows.'),
        suspect: z.boolean(),
        missed_heartbeats: z.number().int().describe('0 for a node that is alive, otherwise at least 1.'),
      }),
    ),
  })
  .describe('Other nodes, and this one last; has no units.')
const JOIN = z
  .object({
    node_id: z.string().optional().describe('Not needed: the node that is asked says it.'),
    host: z
      .string()
      .regex(/^[A-Za-z0-9._:-]{1,253}$/)
      .describe('Of a node of the cluster.'),
    port: z.number().int().min(1).max(65_535),
  })
  .describe('Where a node of the cluster is; has no units.')
const JOINED = PEERS.extend({ success: z.literal(true) }).describe('The nodes that are known now; has no units.')
const LEAVE = z.object({ node_id: z.string().optional() }).describe('This node, or nothing; has no units.')

export const legacyRoutes: HttpRoutes = (app, options) => {
  const { observe, fragments } = options.operations
  app.get(
    '/heartbeat',
    { schema: { tags: TAGS, operationId: 'heartbeat', summary: 'How the node is.', response: { 200: HEARTBEAT } } },
    async (request) => {
      const { node, load, fragments: count, isTakingRequests } = observe.heartbeat(callerOf(request))
      return {
        node_id: node,
        load: load.eventLoopRatio,
        memory_used_bytes: load.memoryBytes,
        memory_limit_bytes: load.memoryBytesMax,
        fragment_count: count,
        healthy: isTakingRequests,
      }
    },
  )
  app.get(
    '/retrieve',
    {
      schema: {
        tags: TAGS,
        operationId: 'retrieve',
        summary: 'A fragment of version 0 by its content hash.',
        querystring: z.object({ content_hash: z.string().describe('b3:…, s256:…, or 64 digits of SHA-256.') }),
        response: { 200: RETRIEVED },
      },
    },
    async (request) => {
      const contentHash = oldContentHash(request.query.content_hash)
      const found = await fragments.get(callerOf(request), recordKey(contentHash))
      if (found === null)
        throw new MembraneError('NOT_FOUND', `No fragment of version 0 is stored with the content hash ${contentHash}.`)
      return { found: true as const, fragment: decodeRecord(found.payload) }
    },
  )
  app.get(
    '/inventory',
    {
      schema: {
        tags: TAGS,
        operationId: 'inventory',
        summary: 'Content hashes of what the caller holds, and their versions.',
        querystring: z.object({ cursor: z.string().max(64).optional().describe('Of the page before.') }),
        response: { 200: INVENTORY },
      },
    },
    async (request) => {
      const asked = { prefix: '', cursor: request.query.cursor ?? null, limit: LIMITS.legacyInventoryEntriesMax }
      const page = await fragments.list(callerOf(request), asked)
      const node_id = observe.heartbeat(callerOf(request)).node
      const more = page.cursor === null ? {} : { next_cursor: page.cursor }
      return { node_id, digest: digestOf(page.entries), ...more }
    },
  )
  for (const name of ['store', 'replicate'] as const)
    app.post(
      `/${name}`,
      {
        bodyLimit: LIMITS.base64BodyBytesMax,
        schema: {
          tags: TAGS,
          operationId: name,
          summary: 'Store a fragment of version 0 with its bytes.',
          body: STORE,
          response: { 200: STORED },
        },
      },
      async (request) => {
        const { fragment, is_primary } = request.body
        const { payload: inner, ...old } = fragment
        const text = request.body.payload ?? inner
        if (text === undefined)
          throw new MembraneError('PAYLOAD_REQUIRED', 'A fragment comes with its bytes: send payload, in base64.')
        return storeOld(options, request, { old, is_primary, payload: Buffer.from(text, 'base64') })
      },
    )
  prefillRoute(app, options)
  clusterRoutes(app, options)
}

async function storeOld(
  { operations: { fragments } }: DoorOptions,
  request: FastifyRequest,
  {
    old,
    is_primary,
    payload,
  }: { readonly old: OldFragment; readonly is_primary: boolean; readonly payload: Uint8Array },
): Promise<z.infer<typeof STORED>> {
  if (old.size !== payload.length)
    throw new MembraneError('CONTENT_MISMATCH', `The size says ${old.size} bytes, and ${payload.length} came.`)
  const contentHash = oldContentHash(old.content_hash)
  const caller = callerOf(request)
  const expiry = old.ttl === 0 ? {} : { expiresAtMs: Date.now() + Math.round(old.ttl * 1000) }
  const description = byteDescription('artifact')
  const { key, outcome } = await fragments.put(caller, { description, payload, contentHash, ...expiry })
  const record: OldRecord = { ...old, content_hash: contentHash, is_primary, key }
  const kept = await fragments.put(caller, { ...recordPut(record), ...expiry })
  if (outcome === 'refused' || kept.outcome === 'refused')
    throw new MembraneError('STORE_FULL', 'It was not stored: what would have to leave is worth more.')
  return { success: true, content_hash: contentHash }
}

function recordPut(record: OldRecord) {
  const contentHash = oldContentHash(record.content_hash)
  return {
    description: recordDescription(record, contentHash),
    foreignKey: recordName(contentHash),
    payload: encodeRecord(record),
  }
}

/** A record stands for its fragment, with its version; what has none is of version 1. */
function digestOf(entries: readonly Described<StoredEntry>[]): Record<string, number> {
  const digest = new Map<string, number>()
  for (const { contentHash, description } of entries) {
    const recorded = recordedVersion(description)
    if (recorded !== null) digest.set(...recorded)
    else if (!digest.has(contentHash)) digest.set(contentHash, 1)
  }
  return Object.fromEntries(digest)
}

function prefillRoute(app: HttpApp, { operations }: DoorOptions): void {
  const { compute, fragments } = operations
  app.post(
    '/prefill',
    {
      schema: {
        tags: TAGS,
        operationId: 'prefill',
        summary: 'Compute a prompt, and say which fragments cover it then.',
        body: PREFILL,
        response: { 200: PREFILLED },
      },
    },
    async (request, reply) => {
      const { prompt_tokens, model_id } = request.body
      const caller = callerOf(request)
      checkModel(operations, model_id)
      const prompt = { tokenIds: Uint32Array.from(prompt_tokens) }
      const found = await compute.prefill(caller, { prompt, signal: abortedWith(reply) })
      const records = found.fragments.map((fragment) => recordOf(fragment, model_id))
      // So that they are found again by what the answer says.
      for (const record of records) await fragments.put(caller, recordPut(record))
      return { success: true as const, fragments: records }
    },
  )
}

function checkModel({ compute }: DoorOptions['operations'], asked: string): void {
  const { engine } = compute
  if (engine.kind !== 'node' || asked === 'default') return
  const { name, fingerprint } = engine.node.backend.model
  if (asked === name || asked === fingerprint) return
  throw new MembraneError('NOT_FOUND', `The model here is ${name}; there is no ${JSON.stringify(asked.slice(0, 200))}.`)
}

/** What version 0 calls primary is a copy that is not made from another: what was computed here is one. */
function recordOf({ key, contentHash, payloadBytes, description }: IndexedFragment, model_id: string): OldRecord {
  const { tokens, layers } = description.signature
  return {
    content_hash: contentHash,
    embedding: [],
    model_id,
    layer_range: [layers.start, Math.max(layers.start, layers.end - 1)],
    token_span: [tokens.start, Math.max(tokens.start, tokens.end - 1)],
    size: payloadBytes,
    ttl: 0,
    reuse_score: 0,
    version_id: 1,
    is_primary: true,
    key,
  }
}

/**
 * What version 0 asked of a cluster. Above all, no URL of a request is fetched: a node takes over what its cluster says,
 * and joins whom its own administrator names.
 */
function clusterRoutes(app: HttpApp, { operations: { cluster, observe } }: DoorOptions): void {
  const peers = (request: FastifyRequest): z.infer<typeof PEERS> => {
    const [self, ...others] = cluster.members(callerOf(request))
    return { peers: [...others, ...(self === undefined ? [] : [self])].map(peerOf) }
  }
  app.get(
    '/peers',
    {
      schema: { tags: TAGS, operationId: 'peers', summary: 'The nodes of the cluster.', response: { 200: PEERS } },
    },
    async (request) => peers(request),
  )
  app.post(
    '/join',
    {
      schema: {
        tags: TAGS,
        operationId: 'join',
        summary: 'Join the cluster of the node that is named; for administrators.',
        body: JOIN,
        response: { 200: JOINED },
      },
    },
    async (request) => {
      const { host, port } = request.body
      const address = `${host.includes(':') ? `[${host}]` : host}:${port}`
      await cluster.join({ caller: callerOf(request), requestId: request.id }, address)
      return { success: true as const, ...peers(request) }
    },
  )
  app.post(
    '/leave',
    {
      schema: {
        tags: TAGS,
        operationId: 'leave',
        summary: 'Say goodbye to the cluster, after moving what only this node has; for administrators.',
        body: LEAVE,
        response: { 200: z.object({ success: z.literal(true) }).describe('It has left; has no units.') },
      },
    },
    async (request) => {
      const node = observe.node
      if (request.body.node_id !== undefined && request.body.node_id !== node)
        throw new MembraneError('INVALID_REQUEST', `This node is ${node}: another one leaves by itself.`)
      await cluster.leave({ caller: callerOf(request), requestId: request.id })
      return { success: true as const }
    },
  )
  for (const name of ['sync', 'gossip'])
    app.post(
      `/${name}`,
      {
        schema: {
          tags: TAGS,
          operationId: name,
          summary: 'Gone: nodes exchange messages with each other by themselves.',
          body: ANYTHING,
        },
      },
      async (request) => {
        cluster.members(callerOf(request))
        throw new MembraneError('NOT_SUPPORTED', `POST /${name} is gone: nodes speak with each other in messages.`, {
          remedy: 'GET /v1/cluster says how the cluster is; POST /v1/transfer/pull copies from another node.',
        })
      },
    )
}

function peerOf({ node, address, state }: Member): z.infer<typeof PEERS>['peers'][number] {
  const colon = address.lastIndexOf(':')
  return {
    node_id: node,
    host: address.slice(0, colon),
    port: Number(address.slice(colon + 1)),
    healthy: state === 'alive',
    suspect: state === 'suspect',
    missed_heartbeats: state === 'alive' ? 0 : 1,
  }
}
