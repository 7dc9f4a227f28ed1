/** Fragments by key, beside their bytes: descriptions, pages of them, and removal. */
import { z } from 'zod'
import { MembraneError } from '../core/errors.ts'
import { LIMITS } from '../core/limits.ts'
import { PRIORITIES } from '../server/fragment-head.ts'
import type { FabricRevision } from '../server/tenant-fabric.ts'
import { callerOf, type HttpRoutes, KEY, requestObject } from './http-app.ts'
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

const REMOVE = requestObject({
  keys: z.array(z.string()).min(1).max(LIMITS.lookUpKeysMax).describe('Keys of fragments.'),
}).describe('Fragments to remove, by key.')
const REMOVED = z
  .object({ removed: z.number().int().describe('Fragments that were there.') })
  .describe('How many fragments were there.')

const HINTS = requestObject({
  ttlMs: z.number().int().min(1).nullish().describe('Milliseconds from now; null keeps it without a time.'),
  expiresAtMs: z.number().int().nullish().describe('Milliseconds since 1970, in place of ttlMs; null for none.'),
  pin: z.boolean().optional().describe('Never evict it; it still expires.'),
  priority: z.enum(['low', 'normal', 'high']).optional().describe('Lower leaves first.'),
}).describe('Hints of how long to keep a fragment, in milliseconds.')

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
  app.patch(
    '/v1/fragments/*',
    {
      schema: {
        tags,
        operationId: 'reviseFragment',
        summary: 'Change how long a fragment is kept.',
        description: 'What is left out stays as it is; the bytes are not moved.',
        params: KEY,
        body: HINTS,
        response: { 200: DESCRIPTION },
      },
    },
    async (request) => {
      const caller = callerOf(request)
      const key = request.params['*']
      if (!(await fragments.revise(caller, key, revisionOf(request.body)))) throw notFound(key)
      const entry = await fragments.head(caller, key)
      if (entry === null) throw notFound(key)
      return descriptionOf(entry)
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

/** Throws INVALID_REQUEST for two times, and for nothing at all. */
function revisionOf({ ttlMs, expiresAtMs, pin, priority }: z.infer<typeof HINTS>): FabricRevision {
  if (ttlMs !== undefined && expiresAtMs !== undefined)
    throw new MembraneError('INVALID_REQUEST', 'A revision has ttlMs or expiresAtMs, not both.')
  if ([ttlMs, expiresAtMs, pin, priority].every((hint) => hint === undefined))
    throw new MembraneError('INVALID_REQUEST', 'A revision has at least one of ttlMs, expiresAtMs, pin and priority.')
  const asked = ttlMs === undefined ? expiresAtMs : ttlMs === null ? null : Date.now() + ttlMs
  return {
    ...(asked === undefined ? {} : { expiresAtMs: asked }),
    hints: {
      ...(pin === undefined ? {} : { isPinned: pin }),
      ...(priority === undefined ? {} : { priority: PRIORITIES[priority] }),
    },
  }
}
