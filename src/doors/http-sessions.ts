/** Sessions and search: hints of what belongs together and what is over, and fragments by what their text says. */
import { z } from 'zod'
import { MembraneError } from '../core/errors.ts'
import { parseModelFingerprint } from '../core/ids.ts'
import { LIMITS } from '../core/limits.ts'
import { callerOf, type HttpRoutes, requestObject } from './http-app.ts'

const SESSION = z.object({
  id: z.string().min(1).max(LIMITS.sessionNameCharactersMax).describe('Name of the session, as its client calls it.'),
})
const TURN = requestObject({
  accessed: z
    .array(z.string())
    .min(1)
    .max(LIMITS.lookUpKeysMax)
    .describe(`Keys, in the order of their use; the first ${LIMITS.coAccessKeysMax} are linked with each other.`),
}).describe('What one turn of a session used: keys of fragments.')
const CLOSED = z
  .object({ wasKnown: z.boolean().describe('False for a session that no turn was reported of, or that is forgotten.') })
  .describe('Whether there was such a session.')

const SEARCH = requestObject({
  text: z.string().min(1).max(LIMITS.embeddedCharactersMax).describe('What the fragments should be about.'),
  model: z.string().optional().describe("Model fingerprint; default: the engine's."),
  limit: z.number().int().min(1).max(LIMITS.nearestMax).default(10).describe('Fragments to give at most.'),
  similarityMin: z.number().min(-1).max(1).default(0).describe('The least cosine that counts, -1 to 1.'),
}).describe('A search by meaning. Similarities are cosines, -1 to 1.')
const FOUND = z
  .object({
    fragments: z.array(
      z.object({
        key: z.string(),
        similarity: z.number().describe('Cosine, -1 to 1.'),
        payloadBytes: z.number().int().describe('Bytes of the payload.'),
        text: z.string().nullable(),
        start: z.number().int().describe('The first token.'),
        end: z.number().int().describe('The token after the last.'),
      }),
    ),
  })
  .describe('Fragments whose text is near, the nearest first: never KV for other tokens. Bytes, tokens, cosines.')

export const sessionRoutes: HttpRoutes = (app, { operations }) => {
  const { fragments, compute } = operations
  const tags = ['sessions']
  app.post(
    '/v1/sessions/:id',
    {
      schema: {
        tags,
        operationId: 'reportTurn',
        summary: 'One turn of a session used these fragments.',
        params: SESSION,
        body: TURN,
      },
    },
    async (request, reply) => {
      fragments.accessed(callerOf(request), request.params.id, request.body.accessed)
      return reply.code(204).send()
    },
  )
  const close = { tags, summary: 'No further turn of the session comes.', params: SESSION, response: { 200: CLOSED } }
  app.delete('/v1/sessions/:id', { schema: { ...close, operationId: 'closeSession' } }, async (request) => ({
    wasKnown: fragments.closeSession(callerOf(request), request.params.id),
  }))
  app.post('/v1/sessions/:id/close', { schema: { ...close, operationId: 'closeSessionByPost' } }, async (request) => ({
    wasKnown: fragments.closeSession(callerOf(request), request.params.id),
  }))
  app.post(
    '/v1/search',
    {
      schema: {
        tags: ['look-up'],
        operationId: 'searchFragments',
        summary: 'Fragments whose text is near a text.',
        body: SEARCH,
        response: { 200: FOUND },
      },
    },
    async (request) => {
      const { text, limit, similarityMin, model } = request.body
      const { engine } = compute
      const ours = engine.kind === 'node' ? engine.node.backend.model.fingerprint : null
      const fingerprint = model === undefined ? ours : parseModelFingerprint(model)
      if (fingerprint === null)
        throw new MembraneError('INVALID_REQUEST', 'This node has no engine: name the model whose fragments to search.')
      const found = fragments.similar(callerOf(request), { model: fingerprint, text, limit, similarityMin })
      return {
        fragments: found.map(({ similarity, fragment: { key, payloadBytes, description } }) => ({
          key,
          similarity,
          payloadBytes,
          text: description.text,
          ...description.signature.tokens,
        })),
      }
    },
  )
}
