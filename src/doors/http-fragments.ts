/** Fragments by key, beside their bytes: descriptions, pages of them, and removal. */
import { z } from 'zod'
import { LIMITS } from '../core/limits.ts'
import { callerOf, type HttpRoutes, KEY } from './http-app.ts'
import { DESCRIPTION, descriptionOf } from './http-description.ts'
import { notFound } from './http-get.ts'

const LIST = z.object({
  prefix: z.string().max(LIMITS.storeKeyBytesMax).default('').describe('Only keys that begin with it.'),
  cursor: z.string().max(64).optional().describe('Of the page before; then the prefix of the first page counts.'),
  limit: z.coerce.number().int().min(1).max(LIMITS.listingPageMax).default(1000).describe('Fragments of a page.'),
})

const PAGE = z
  .object({
    fragments: z.array(DESCRIPTION),
    cursor: z.string().nullable().describe('Of the next page; null after the last.'),
  })
  .describe('A page of fragments, in no order. Sizes in bytes.')

const REMOVE = z
  .object({ keys: z.array(z.string()).min(1).max(LIMITS.lookUpKeysMax).describe('Keys of fragments.') })
  .describe('Fragments to remove, by key.')
const REMOVED = z
  .object({ removed: z.number().int().describe('Fragments that were there.') })
  .describe('How many fragments were there.')

export const fragmentRoutes: HttpRoutes = (app, { operations }) => {
  const { fragments } = operations
  const tags = ['fragments']
  app.get(
    '/v1/descriptions/*',
    {
      schema: {
        tags,
        operationId: 'describeFragment',
        summary: 'What a fragment is, without its bytes.',
        params: KEY,
        response: { 200: DESCRIPTION },
      },
    },
    async (request) => {
      const key = request.params['*']
      const entry = await fragments.head(callerOf(request), key)
      if (entry === null) throw notFound(key)
      return descriptionOf(entry)
    },
  )
  app.get(
    '/v1/fragments',
    {
      schema: {
        tags,
        operationId: 'listFragments',
        summary: 'What is stored, page by page.',
        description:
          'What is there throughout is in exactly one page. A cursor is kept for five minutes after its last use; the page at a cursor is given again to whoever asks again.',
        querystring: LIST,
        response: { 200: PAGE },
      },
    },
    async (request) => {
      const { prefix, cursor = null, limit } = request.query
      const page = await fragments.list(callerOf(request), { prefix, cursor, limit })
      return { fragments: page.entries.map(descriptionOf), cursor: page.cursor }
    },
  )
  app.delete(
    '/v1/fragments/*',
    { schema: { tags, operationId: 'removeFragment', summary: 'Remove a fragment.', params: KEY } },
    async (request, reply) => {
      const key = request.params['*']
      if ((await fragments.remove(callerOf(request), [key])) === 0) throw notFound(key)
      return reply.code(204).send()
    },
  )
  app.post(
    '/v1/remove',
    {
      schema: {
        tags,
        operationId: 'removeFragments',
        summary: 'Remove many fragments in one call.',
        body: REMOVE,
        response: { 200: REMOVED },
      },
    },
    async (request) => ({ removed: await fragments.remove(callerOf(request), request.body.keys) }),
  )
}
