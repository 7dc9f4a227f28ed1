/** The cluster over HTTP: messages between nodes, which are bytes, and its state, which is JSON. */
import { z } from 'zod'
import { LIMITS } from '../core/limits.ts'
import { checkAllowed } from '../server/caller.ts'
import { CLUSTER_MESSAGES_PATH } from '../server/peer-connections.ts'
import { callerOf, type HttpRoutes, TIME_MS } from './http-app.ts'
import { withBody } from './http-body.ts'

const OCTETS = 'application/octet-stream'
const tags = ['cluster']

const LINK = z.object({
  datacentre: z.string(),
  bytesPerSecond: z.number().describe('As measured.'),
  rttSeconds: z.number(),
  lossRatio: z.number().describe('Share of calls that failed, 0 to 1.'),
  utilisation: z.number().describe('Share of the bandwidth in use, 0 to 1.'),
})
const PREFILL = z.object({
  model: z.string(),
  callSeconds: z.number(),
  secondsPerToken: z.number(),
  secondsPerPair: z.number().describe('Of each pair of a token and one before it.'),
  waitSeconds: z.number().describe('How long a prompt that comes now waits.'),
})
const MEMBER = z.object({
  node: z.string(),
  state: z.enum(['alive', 'suspect', 'gone', 'left']),
  sinceMs: TIME_MS,
  incarnation: z.number(),
  address: z.string().describe('host:port of its HTTP door.'),
  datacentre: z.string(),
  roles: z.array(z.string()).readonly(),
  version: z.string(),
  startedMs: TIME_MS,
  isDraining: z.boolean(),
  capacityBytes: z.number().nullable(),
  storedBytes: z.number(),
  fragments: z.number(),
  eventLoopRatio: z.number().describe('Share of the time with work, 0 to 1.'),
  running: z.number().describe('Requests that compute.'),
  prefill: PREFILL.nullable(),
  links: z.array(LINK).readonly(),
})
const COUNTS = z.record(z.string(), z.number())
const CLUSTER_STATUS = z
  .object({
    cluster: z.string(),
    engine: z.enum(['gossip', 'redis']),
    self: z.string().describe('The node that answers.'),
    members: z.array(MEMBER).readonly(),
    membership: COUNTS.describe('Messages, bytes, and what was suspected and removed.'),
    directory: COUNTS.describe('Entries, look-ups and failures.'),
    replication: z.record(z.string(), z.number().nullable()).describe('Fragments, bytes and seconds.'),
    reads: COUNTS.describe('What was asked of other nodes, and what came.'),
    prefill: COUNTS.describe('Prefills that other nodes were asked for, their bytes and seconds.'),
    routing: z.unknown().describe('The threshold in tokens, why, and the last decisions; null without an engine.'),
    notes: z.array(z.string()).readonly().describe('What does not work as it should, in sentences.'),
  })
  .describe('Nodes, as this one sees them: bytes, seconds, shares, counts.')

export const clusterRoutes: HttpRoutes = (app, { operations: { cluster } }) => {
  app.get(
    '/v1/cluster',
    {
      schema: {
        tags,
        operationId: 'getCluster',
        summary: 'All nodes as this one sees them, and what it does for the cluster.',
        response: { 200: CLUSTER_STATUS },
      },
    },
    async (request) => cluster.status(callerOf(request)),
  )
}

/** Messages between nodes: their bodies are read as they come. */
export const clusterMessageRoutes: HttpRoutes = (app, options) => {
  const { cluster } = options.operations
  const bounded = { ...options, payloadBytesMax: LIMITS.clusterMessageBytesMax }
  app.post(
    CLUSTER_MESSAGES_PATH,
    {
      config: { hasRawBody: true },
      schema: {
        tags,
        operationId: 'sendClusterMessage',
        summary: 'A message from node to node.',
        description: 'For nodes alone: their credential is made from the secret of the cluster.',
        body: z.unknown().describe('Bytes, as many as Content-Length says.'),
        consumes: [OCTETS],
        response: { 200: { content: { [OCTETS]: { schema: z.unknown().describe('Bytes.') } } } },
      },
    },
    async (request, reply) => {
      const caller = callerOf(request)
      checkAllowed(caller, 'peer')
      const answer = await withBody({ request, reply }, bounded, (body) => cluster.answer(caller, body))
      return reply
        .serializer((payload: unknown) => payload as string)
        .headers({ 'content-type': OCTETS, 'cache-control': 'no-store' })
        .send(Buffer.from(answer.buffer, answer.byteOffset, answer.length))
    },
  )
}
