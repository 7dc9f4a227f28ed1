import { describe, expect, test } from 'vitest'
import pino from 'pino'
import { z } from 'zod'
import { createHttpApp } from '../../src/doors/http.ts'
import { BodyBudget } from '../../src/server/body-budget.ts'
import { encodeIds } from '../../src/transfer/entry-messages.ts'
import { encodeRequest } from '../../src/transfer/inventory-messages.ts'
import { hashers, opaque, openHttpWorld, openTestEngine } from './http-world.ts'

const world = await openHttpWorld({
  openEngine: openTestEngine,
  scrub: async () => ({ entries: 1, payloadBytes: 2, damaged: 0, isComplete: true }),
})
const { ask } = world

type Json = ReturnType<typeof JSON.parse>
const spec: Json = await (await fetch(`${world.url}/openapi.json`)).json()
const METHODS = ['get', 'put', 'post', 'delete', 'head', 'patch']
const operations = Object.entries<Json>(spec.paths).flatMap(([path, item]) =>
  Object.entries<Json>(item).map(([method, operation]) => ({ path, method, operation })),
)

/** Values that a schema does not tell. */
const KNOWN: Readonly<Record<string, unknown>> = {
  key: 'opaque/=known',
  id: 'somebody',
  model: 'ab'.repeat(32),
  blocks: [`b3c:${'ab'.repeat(32)}`],
  keys: ['opaque/=known'],
  contentHash: hashers.b3.hash(new TextEncoder().encode('x')),
  content_hash: 's256:3608bca1e44ea6c4d268eb6db02260269892c0b42b86bbf1e77a6fa16c3c9282',
  prompt: 'Once upon a time',
  maxTokens: 2,
  prompt_tokens: [1, 2, 3, 4, 5],
}

/** The one that the node runs. */
const MODEL = 'debian-desc-5M'

/** The least value that a schema takes. */
function example(schema: Json, name = ''): unknown {
  if (name in KNOWN) return KNOWN[name]
  if (schema.const !== undefined) return schema.const
  if (schema.default !== undefined) return schema.default
  if (schema.enum !== undefined) return schema.enum[0]
  if (schema.anyOf !== undefined) return example(schema.anyOf[0], name)
  switch (schema.type) {
    case 'object': {
      const required: string[] = schema.required ?? []
      return Object.fromEntries(required.map((field) => [field, example(schema.properties[field], field)]))
    }
    case 'array':
      if (schema.prefixItems !== undefined) return schema.prefixItems.map((item: Json) => example(item))
      return Array.from({ length: schema.minItems ?? 0 }, () => example(schema.items, name))
    case 'integer':
    case 'number':
      return schema.minimum ?? 0
    case 'boolean':
      return false
    case 'string':
      return 'x'.repeat(schema.minLength ?? 1)
    default:
      return {}
  }
}

describe('the description of the API', () => {
  test('is OpenAPI 3.1 in its structure', () => {
    expect(spec.openapi).toMatch(/^3\.1\./)
    expect(spec.info).toMatchObject({ title: expect.any(String), version: expect.any(String) })
    const ids = operations.map(({ operation }) => operation.operationId)
    expect(ids.every((id) => /^[a-zA-Z]+$/.test(id))).toBe(true)
    expect(new Set(ids).size).toBe(ids.length)
    for (const { path, method, operation } of operations) {
      const where = `${method} ${path}`
      expect(path, where).toMatch(/^\/[^?#*]*$/)
      expect(METHODS, where).toContain(method)
      expect(operation.summary, where).toMatch(/\.$/)
      const inPath = [...path.matchAll(/\{([^}]+)\}/g)].map(([, name]) => name)
      const parameters: Json[] = operation.parameters ?? []
      const declared = parameters.filter((parameter) => parameter.in === 'path')
      expect(new Set(declared.map(({ name }) => name)), where).toEqual(new Set(inPath))
      for (const parameter of parameters) {
        expect(['path', 'query', 'header'], where).toContain(parameter.in)
        if (parameter.in === 'path') expect(parameter.required, where).toBe(true)
        expect(parameter.schema, where).toBeDefined()
      }
      expect(Object.keys(operation.responses).length, where).toBeGreaterThan(0)
      for (const [status, response] of Object.entries<Json>(operation.responses)) {
        expect(status, where).toMatch(/^([1-5]\d\d|[1-5]XX|default)$/)
        expect(response.description, `${where} ${status}`).toEqual(expect.any(String))
      }
      for (const name of operation.security ?? []) expect(spec.components.securitySchemes).toMatchObject(name)
      for (const schema of schemasOf(operation)) expect(() => z.fromJSONSchema(schema), where).not.toThrow()
    }
  })

  test('has every route of the code, and no other', async () => {
    const { operations: node } = world.server
    const { app, routeNames } = await createHttpApp({
      operations: node,
      version: '1.2.3',
      authenticator: { anonymous: null, byToken: () => null, byCertificate: () => null },
      address: { kind: 'tcp', host: '127.0.0.1', port: 0 },
      tls: null,
      log: pino({ level: 'silent' }),
      budget: new BodyBudget(1),
      connectionsMax: 1,
      payloadBytesMax: 1,
    })
    const inCode = routeNames().filter((name) => name !== 'GET /openapi.json' && !isAutomatic(name))
    await app.close()
    const inSpec = operations.map(({ path, method }) => `${method.toUpperCase()} ${path}`)
    const template = (name: string): string => name.replace('*', '{key}').replaceAll(/:([a-z]+)/g, '{$1}')
    expect(inSpec.toSorted()).toEqual(inCode.map(template).toSorted())
  })

  test('says of which bodies a field that is not known is refused', () => {
    const bodies = operations.flatMap(({ operation }) => {
      const schema = operation.requestBody?.content?.['application/json']?.schema
      return schema?.properties === undefined
        ? []
        : [{ id: String(operation.operationId), isStrict: schema.additionalProperties === false }]
    })
    const strict = new Set(bodies.filter(({ isStrict }) => isStrict).map(({ id }) => id))
    const open = new Set(bodies.filter(({ isStrict }) => !isStrict).map(({ id }) => id))
    expect(strict).toEqual(
      new Set(['explain', 'generate', 'longestPrefix', 'rebuild', 'removeFragments', 'reportTurn', 'reviseFragment'])
        .add('searchFragments')
        .add('setQuota'),
    )
    // Sent by other nodes, by clients of the API before, and by clients of OpenAI.
    expect(open).toEqual(
      new Set(['createChatCompletion', 'createCompletion', 'hasFragments', 'prefill', 'pull', 'replicate', 'store'])
        .add('join')
        .add('leave'),
    )
  })

  test('gives the unit of every number, in its name or in words', () => {
    const missing: string[] = []
    const walk = (schema: Json, where: string, said: string): void => {
      const words = `${said} ${schema.description ?? ''}`
      const isNumber = schema.type === 'number' || schema.type === 'integer'
      const name = where.split('.').at(-1) ?? ''
      const hasUnit = /(Ms|Seconds|Bytes|Tokens|Nats|PerSecond|_bytes|_count)$/.test(name)
      if (isNumber && !hasUnit && !/[a-z]/.test(words)) missing.push(where)
      for (const [field, inner] of Object.entries<Json>(schema.properties ?? {}))
        walk(inner, `${where}.${field}`, words)
      if (schema.items !== undefined) walk(schema.items, `${where}[]`, words)
      for (const inner of schema.anyOf ?? []) walk(inner, where, words)
    }
    for (const { path, method, operation } of operations) {
      for (const schema of schemasOf(operation)) {
        expect(schema.description, `${method} ${path}`).toEqual(expect.any(String))
        walk(schema, `${method} ${path}`, '')
      }
    }
    expect(missing).toEqual([])
  })
})

/** There is one beside each GET, which says the same without a body. */
function isAutomatic(name: string): boolean {
  return name.startsWith('HEAD ')
}

function schemasOf(operation: Json): Json[] {
  const contents = [operation.requestBody, ...Object.values(operation.responses)].flatMap((one: Json) =>
    Object.values<Json>(one?.content ?? {}),
  )
  return contents.map(({ schema }) => schema)
}

describe('every route', async () => {
  await ask(opaque('known'), { method: 'PUT', body: 'x' })
  // What removes things comes last, and what looks for an old fragment after what stores one.
  const rank = ({ path, method }: { path: string; method: string }): number =>
    method === 'delete' ? 2 : path === '/retrieve' ? 1 : 0
  test.each(operations.toSorted((a, b) => rank(a) - rank(b)))('$method $path answers as described', async (one) => {
    const { path, method, operation } = one
    if (method === 'get' || method === 'put') await ask(opaque('known'), { method: 'PUT', body: 'x' })
    const parameters: Json[] = operation.parameters ?? []
    const url = path.replaceAll(/\{([^}]+)\}/g, (_, name: string) =>
      operation.operationId === 'getModel' ? MODEL : String(example({}, name)),
    )
    const query = parameters
      .filter((parameter) => parameter.in === 'query' && parameter.required === true)
      .map(({ name, schema }) => `${name}=${encodeURIComponent(String(example(schema, name)))}`)
    const headers: Record<string, string> = {}
    let body: string | Uint8Array<ArrayBuffer> | undefined
    const [[type, content] = []] = [Object.entries<Json>(operation.requestBody?.content ?? {})[0]]
    if (type !== undefined) {
      headers['content-type'] = type
      const value = example(content.schema) as Record<string, unknown>
      // One of two, which a schema does not say; bytes that have the hash that is known.
      if (['rebuild', 'explain', 'generate'].includes(operation.operationId))
        Object.assign(value, {
          prompt: KNOWN['prompt'],
          ...(operation.operationId === 'generate' ? { maxTokens: 2 } : {}),
        })
      if (['createChatCompletion', 'createCompletion'].includes(operation.operationId))
        Object.assign(value, { model: MODEL, max_tokens: 2 })
      if (operation.operationId === 'reviseFragment') Object.assign(value, { pin: true })
      if (['store', 'replicate'].includes(operation.operationId))
        Object.assign(value, { payload: Buffer.from('xyz').toString('base64'), fragment: OLD })
      body = type === 'application/json' ? JSON.stringify(value) : 'x'
      if (operation.operationId === 'compareInventory')
        body = Uint8Array.from(encodeRequest({ kind: 'root', digest: new Uint32Array(3) }))
      if (operation.operationId === 'nameEntries') body = Uint8Array.from(encodeIds([]))
    }
    const answer = await ask(url + (query.length === 0 ? '' : `?${query.join('&')}`), {
      method: method.toUpperCase(),
      headers,
      ...(body === undefined ? {} : { body }),
    })
    const text = await answer.text()
    const exact = operation.responses[String(answer.status)]
    const declared = exact ?? operation.responses[`${Math.floor(answer.status / 100)}XX`]
    expect(declared, `${answer.status} ${text}`).toBeDefined()
    const isCluster = ['getCluster', 'peers', 'sync', 'join', 'leave', 'gossip'].includes(operation.operationId)
    const isMissing = ['searchFragments'].includes(operation.operationId)
    expect(answer.status, text).toBe(
      isCluster
        ? 503
        : isMissing
          ? 501
          : ['pull', 'sendClusterMessage', 'prefillForNode'].includes(operation.operationId)
            ? 403
            : exact === undefined
              ? 0
              : answer.status,
    )
    const answered = (answer.headers.get('content-type') ?? '').split(';', 1)[0] ?? ''
    const contents = declared.content ?? {}
    if (text === '' || Object.keys(contents).length === 0) return
    expect(Object.keys(contents)).toContain(answered)
    if (answered === 'application/json') z.fromJSONSchema(contents[answered].schema).parse(JSON.parse(text))
  })
})

const OLD = {
  content_hash: 's256:3608bca1e44ea6c4d268eb6db02260269892c0b42b86bbf1e77a6fa16c3c9282',
  model_id: 'm',
  layer_range: [0, 1],
  token_span: [0, 1],
  size: 3,
}
