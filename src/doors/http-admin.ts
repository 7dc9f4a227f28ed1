/** Tenants, quotas and the store itself, for administrators; and what a tenant itself may know. */
import type { FastifyReply, FastifyRequest } from 'fastify'
import { z } from 'zod'
import { parseTenantId } from '../core/ids.ts'
import type { AdminCall, TenantReport } from '../server/admin-operations.ts'
import { abortedWith, callerOf, type HttpRoutes, requestObject } from './http-app.ts'

const QUOTA_FIELDS = {
  payloadBytesMax: z.number().int().min(1).describe('Bytes of payloads, each fragment in full.'),
  entriesMax: z.number().int().min(1).describe('Fragments.'),
}
const QUOTA_MEANS = 'At most so much of one tenant: bytes and fragments. What it puts beyond evicts its own.'
const QUOTA = z.object(QUOTA_FIELDS).describe(QUOTA_MEANS)
const NEW_QUOTA = requestObject(QUOTA_FIELDS).describe(QUOTA_MEANS)

const REPORT = z
  .object({
    tenant: z.string(),
    fragments: z.number().int().describe('Fragments that it holds.'),
    payloadBytes: z.number().describe('Their bytes, each in full.'),
    quota: QUOTA.nullable().describe('Null for none of its own; bytes and fragments.'),
  })
  .describe('What a tenant holds and may hold, in bytes and fragments.')

const TENANT = z.object({ id: z.string().min(1).max(64).describe('Name of the tenant.') })
const ERASED = z
  .object({ erased: z.number().int().describe('Fragments that it had.') })
  .describe('Fragments that are gone, with every byte that nobody else has.')
const SCRUBBED = z
  .object({
    entries: z.number().int().describe('Entries read to the end.'),
    payloadBytes: z.number().describe('Bytes read.'),
    damaged: z.number().int().describe('Fragments that were damaged or had lost their bytes: gone now.'),
    isComplete: z.boolean().describe('False when it was stopped.'),
  })
  .describe('What reading everything found, in entries and bytes.')

export const adminRoutes: HttpRoutes = (app, { operations }) => {
  const { admin } = operations
  const tags = ['administration']
  app.get(
    '/v1/usage',
    {
      schema: { tags, operationId: 'getUsage', summary: 'What the caller itself holds.', response: { 200: REPORT } },
    },
    async (request) => reportBody(admin.usage(callerOf(request))),
  )
  app.get(
    '/v1/tenants',
    {
      schema: {
        tags,
        operationId: 'listTenants',
        summary: 'Who holds how much.',
        response: { 200: z.object({ tenants: z.array(REPORT) }).describe('All tenants; bytes and fragments.') },
      },
    },
    async (request) => ({ tenants: admin.tenants(callerOf(request)).map(reportBody) }),
  )
  app.get(
    '/v1/tenants/:id/quota',
    {
      schema: {
        tags,
        operationId: 'getQuota',
        summary: 'What a tenant holds and may hold.',
        params: TENANT,
        response: { 200: REPORT },
      },
    },
    async (request) => reportBody(admin.usage(callerOf(request), parseTenantId(request.params.id))),
  )
  app.put(
    '/v1/tenants/:id/quota',
    {
      schema: {
        tags,
        operationId: 'setQuota',
        summary: 'Bound what a tenant holds.',
        description: 'Kept over a restart. Holds from the next put of the tenant on; what is beyond leaves then.',
        params: TENANT,
        body: NEW_QUOTA,
        response: { 200: REPORT },
      },
    },
    async (request) =>
      reportBody(await admin.setQuota(callOf(request), parseTenantId(request.params.id), request.body)),
  )
  app.delete(
    '/v1/tenants/:id/quota',
    { schema: { tags, operationId: 'removeQuota', summary: 'Bound a tenant no more.', params: TENANT } },
    async (request, reply) => {
      await admin.removeQuota(callOf(request), parseTenantId(request.params.id))
      return nothing(reply)
    },
  )
  app.delete(
    '/v1/tenants/:id',
    {
      schema: {
        tags,
        operationId: 'eraseTenant',
        summary: 'Remove all that a tenant has.',
        params: TENANT,
        response: { 200: ERASED },
      },
    },
    async (request) => ({ erased: await admin.erase(callOf(request), parseTenantId(request.params.id)) }),
  )
  app.post(
    '/v1/purge',
    { schema: { tags, operationId: 'purge', summary: "Wipe the bytes of what was removed from the store's files." } },
    async (request, reply) => {
      await admin.purge(callOf(request))
      return nothing(reply)
    },
  )
  app.post(
    '/v1/scrub',
    {
      schema: {
        tags,
        operationId: 'scrub',
        summary: 'Read everything and compare it with its hashes.',
        response: { 200: SCRUBBED },
      },
    },
    async (request, reply) => admin.scrub(callOf(request), abortedWith(reply)),
  )
}

function callOf(request: FastifyRequest): AdminCall {
  return { caller: callerOf(request), requestId: request.id }
}

function reportBody({ tenant, usage, quota }: TenantReport): z.infer<typeof REPORT> {
  const { entries, payloadBytes } = usage
  return { tenant, fragments: entries, payloadBytes, quota: quota === null ? null : { ...quota } }
}

function nothing(reply: FastifyReply): FastifyReply {
  return reply.code(204).send()
}
