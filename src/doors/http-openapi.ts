/** The description of the HTTP API, OpenAPI 3.1, made from the schemas that requests are checked with. */
import swagger, { type SwaggerTransform } from '@fastify/swagger'
import { jsonSchemaTransform } from 'fastify-type-provider-zod'
import { z } from 'zod'
import { ERROR_BODY, type HttpApp } from './http-app.ts'

const ERROR = {
  description: 'What went wrong.',
  content: { 'application/json': { schema: z.toJSONSchema(ERROR_BODY) } },
}

/** Before any route is added. */
export async function describeApi(app: HttpApp): Promise<void> {
  await app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'Membrane',
        version: '1',
        description:
          'Fragments, rebuilds and generation of one node. Every error has one shape. HEAD is answered wherever GET is, with the same headers.',
      },
      components: { securitySchemes: { token: { type: 'http', scheme: 'bearer' } } },
      security: [{ token: [] }],
    },
    transform,
  })
  // Written once: it takes two milliseconds, and whoever asks for it needs no credential.
  let text: string | null = null
  app.get('/openapi.json', { config: { isOpen: true }, schema: { hide: true } }, (_, reply) => {
    text ??= JSON.stringify(app.swagger())
    return reply.type('application/json; charset=utf-8').send(text)
  })
}

/** A key takes all that is left of a path, which OpenAPI has no word for: it is one parameter with slashes in it. */
const transform: SwaggerTransform = (document) => {
  const { schema, url } = jsonSchemaTransform(document)
  const described: Record<string, unknown> = { ...schema }
  if (described['hide'] === true) return { schema, url }
  const isOpen = document.route.config?.isOpen === true
  if (isOpen) described['security'] = []
  const responses = Object.entries((described['response'] ?? {}) as Record<string, object>)
  const declared = responses.map(([status, response]) => [status, withDescription(status, response)])
  described['response'] = {
    ...(declared.length === 0 ? { 204: { description: 'Done.', type: 'null' } } : Object.fromEntries(declared)),
    ...(isOpen ? {} : { '4XX': ERROR }),
    '5XX': ERROR,
  }
  if (!url.includes('*')) return { schema: described, url }
  const params = described['params'] as { properties: Record<string, unknown> }
  described['params'] = { ...params, properties: { key: params.properties['*'] }, required: ['key'] }
  return { schema: described, url: url.replace('*', ':key') }
}

function withDescription(status: string, response: object): object {
  return 'description' in response ? response : { description: `Answer with status ${status}.`, ...response }
}
