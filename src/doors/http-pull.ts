/** A node told to copy from another one, and how far it is: for administrators. */
import { z } from 'zod'
import { pullState } from '../server/pull-operations.ts'
import { callerOf, type HttpRoutes, TIME_MS } from './http-app.ts'

// Of transfers between nodes, whose versions may differ: what is not known is ignored.
const PULL = z
  .object({
    peer: z.string().min(1).max(300).describe('host:port, one of allowedPeers of the configuration.'),
    token: z.string().min(1).max(4096).optional().describe('Credential for the peer; it is written nowhere.'),
    tls: z.boolean().default(false).describe('Whether the peer speaks TLS.'),
  })
  .describe('What to copy from: all that the tenant has there and not here.')

const STATE = z
  .object({
    id: z.number().int().describe('Number of the pull since the node started.'),
    tenant: z.string(),
    peer: z.string(),
    startedMs: TIME_MS,
    state: z.enum(['running', 'done', 'failed']),
    wantedFragments: z.number().int().nullable().describe('Fragments to fetch; null until it is known.'),
    wantedBytes: z.number().nullable().describe('Their bytes; null until it is known.'),
    acceptedBytes: z.number().describe('Bytes that have come and are verified.'),
    resumedBytes: z.number().describe('Bytes that an earlier pull had brought.'),
    discardedBytes: z.number().describe('Bytes that came and are fetched again.'),
    cuts: z.number().int().describe('Connections that broke.'),
    fetched: z.number().int().nullable().describe('Fragments that came; null until it has ended.'),
    linked: z.number().int().nullable().describe('Fragments whose bytes were here; null until it has ended.'),
    unfinished: z.number().int().nullable().describe('Fragments that did not come; null until it has ended.'),
    error: z.object({ code: z.string(), message: z.string() }).nullable(),
  })
  .describe('A pull: fragments and bytes. Times are milliseconds since 1970.')

export const pullRoutes: HttpRoutes = (app, { operations: { pulls } }) => {
  const tags = ['transfer']
  app.get(
    '/v1/transfer',
    {
      schema: {
        tags,
        operationId: 'listPulls',
        summary: 'Pulls of this node, the latest first.',
        response: { 200: z.object({ pulls: z.array(STATE) }).describe('Pulls, in fragments and bytes.') },
      },
    },
    async (request) => ({ pulls: pulls.list(callerOf(request)).map(pullState) }),
  )
  app.post(
    '/v1/transfer/pull',
    {
      schema: {
        tags,
        operationId: 'pull',
        summary: 'Copy from a peer what is missing here.',
        description: '202: it has begun. Asked for again after it has ended, it goes on where it was cut.',
        body: PULL,
        response: { 202: STATE },
      },
    },
    async (request, reply) => {
      const { peer, token = null, tls } = request.body
      const call = { caller: callerOf(request), requestId: request.id }
      return reply.code(202).send(pullState(await pulls.start(call, { peer, token, isTls: tls })))
    },
  )
}
