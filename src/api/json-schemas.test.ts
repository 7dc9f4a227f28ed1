import { describe, expect, it } from 'vitest'
import { LIMITS } from '../core/limits.ts'
import { listPresets, preset } from '../planner/presets.ts'
import { configSchema } from './config-schema.ts'
import { credentialsSchema } from './credentials-schema.ts'
import { jsonSchema, SCHEMA_NAMES } from './json-schemas.ts'
import { profileSchema } from './profile-schema.ts'
import { serverConfigSchema } from './server-schema.ts'
import { simulationSchema } from './simulation-schema.ts'
import { traceLineSchema } from './trace-schema.ts'

type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json | undefined }
type Schema = Readonly<Record<string, unknown>>

function isRecord(value: unknown): value is Schema {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** What the published schemas use of JSON Schema 2020-12. An unknown keyword is a failure: this checker must not be laxer than they are. */
const IGNORED = new Set(['$schema', '$id', '$defs', 'description', 'default', 'definitions', 'id'])

function accepts(root: Schema, schema: unknown, value: Json | undefined): boolean {
  if (typeof schema === 'boolean') return schema
  if (!isRecord(schema)) throw new Error('a schema is an object')
  const check = (inner: unknown, of: Json | undefined): boolean => accepts(root, inner, of)
  return Object.entries(schema).every(([keyword, rule]) => {
    if (IGNORED.has(keyword)) return true
    switch (keyword) {
      case '$ref':
        return check(resolve(root, String(rule)), value)
      case 'type':
        return hasType(String(rule), value)
      case 'const':
        return value === rule
      case 'enum':
        return (rule as readonly unknown[]).includes(value)
      case 'anyOf':
        return (rule as readonly unknown[]).some((branch) => check(branch, value))
      case 'oneOf':
        return (rule as readonly unknown[]).filter((branch) => check(branch, value)).length === 1
      case 'allOf':
        return (rule as readonly unknown[]).every((branch) => check(branch, value))
      case 'minimum':
        return typeof value !== 'number' || value >= Number(rule)
      case 'maximum':
        return typeof value !== 'number' || value <= Number(rule)
      case 'exclusiveMinimum':
        return typeof value !== 'number' || value > Number(rule)
      case 'exclusiveMaximum':
        return typeof value !== 'number' || value < Number(rule)
      case 'minLength':
        return typeof value !== 'string' || value.length >= Number(rule)
      case 'maxLength':
        return typeof value !== 'string' || value.length <= Number(rule)
      case 'minItems':
        return !Array.isArray(value) || value.length >= Number(rule)
      case 'maxItems':
        return !Array.isArray(value) || value.length <= Number(rule)
      case 'items':
        return !Array.isArray(value) || value.every((item: Json) => check(rule, item))
      case 'required':
        return !isRecord(value) || (rule as readonly string[]).every((key) => value[key] !== undefined)
      case 'properties':
        return (
          !isRecord(value) ||
          Object.entries(rule as Schema).every(([key, inner]) => value[key] === undefined || check(inner, value[key]))
        )
      case 'additionalProperties': {
        const known = isRecord(schema['properties']) ? schema['properties'] : {}
        return (
          !isRecord(value) ||
          Object.entries(value).every(([key, item]) => Object.hasOwn(known, key) || check(rule, item))
        )
      }
      case 'pattern':
        return typeof value !== 'string' || new RegExp(String(rule), 'u').test(value)
      default:
        throw new Error(`the schemas use ${keyword}, which this checker does not know`)
    }
  })
}

function resolve(root: Schema, reference: string): unknown {
  if (!reference.startsWith('#')) throw new Error(`a reference out of the document: ${reference}`)
  return reference
    .split('/')
    .slice(1)
    .reduce<unknown>((at, key) => (isRecord(at) ? at[key] : undefined), root)
}

function hasType(type: string, value: Json | undefined): boolean {
  if (type === 'integer') return Number.isInteger(value)
  if (type === 'object') return isRecord(value)
  if (type === 'array') return Array.isArray(value)
  if (type === 'null') return value === null
  return typeof value === type
}

const PARSERS = {
  config: configSchema,
  credentials: credentialsSchema,
  profile: profileSchema,
  server: serverConfigSchema,
  simulation: simulationSchema,
  'trace-line': traceLineSchema,
} as const

const POINT = { tokens: 1, seconds: 1, kvBytes: 1 }
const PROFILE = {
  name: 'x',
  model: 'x',
  hardware: 'x',
  gpusPerInstance: 8,
  source: 'x',
  prefill: { points: [POINT, { ...POINT, tokens: 2 }] },
}
const RATES = {
  ...PROFILE,
  prefill: undefined,
  kind: 'rate-only',
  points: [
    { tokens: 1, kvGbps: 1 },
    { tokens: 2, kvGbps: 1 },
  ],
}
const LOG_NORMAL = { kind: 'log-normal', mu: 1, sigma: 1, minTokens: 1, maxTokens: 2 }
const input = (value: Json): Json => ({ workload: { input: value } })

const SIMULATION = { name: 'x', rateRps: 1, durationSeconds: 60 } as const
const AGENTS = {
  systemTokens: 0,
  firstTokens: 1,
  turnTokens: 1,
  outputTokens: 1,
  turnsMean: 2,
  turnGapSeconds: 1,
  promptTokensMax: 1000,
} as const

const EXAMPLES: Readonly<Record<keyof typeof PARSERS, readonly Json[]>> = {
  config: [
    {},
    [],
    'x',
    { preset: 'case-study' },
    { presets: 'case-study' },
    { remote: { instances: 4 } },
    { remote: { instances: 4.5 } },
    { remote: { instances: 0 } },
    { remote: { instances: 5000 } },
    { remote: { profile: 'x' } },
    { remote: { profile: '' } },
    { remote: { profile: PROFILE } },
    { remote: { profile: { ...PROFILE, name: 3 } } },
    { local: { decode: { batchMax: 1, stepSeconds: { fixed: 0 }, source: 'x' } } },
    { local: { decode: { batchMax: 1, stepSeconds: {}, source: 'x' } } },
    { link: { gbps: 100 } },
    { link: { gbps: 0 } },
    { link: { gbps: 1, pricePerGigabyte: -1 } },
    input({ kind: 'fixed', tokens: 1 }),
    input({ kind: 'fixed', tokens: 0 }),
    input(LOG_NORMAL),
    input({ ...LOG_NORMAL, sigma: 0 }),
    input({ kind: 'trace', file: 'x' }),
    input({ kind: 'trace', file: 'x', prefixHits: 'some' }),
    input({
      kind: 'mixture',
      components: [{ weight: 1, input: { kind: 'mixture', components: [{ weight: 1, input: LOG_NORMAL }] } }],
    }),
    input({ kind: 'mixture', components: [{ weight: 1, input: { kind: 'mixture', components: [] } }] }),
    input({ kind: 'other' }),
    { workload: { prefixHitRatio: 0 } },
    { workload: { prefixHitRatio: 1 } },
    { slo: { ttftSecondsP90: 6 } },
    { slo: { ttft: 6 } },
  ],
  profile: [
    PROFILE,
    { ...PROFILE, kind: 'latency' },
    { ...PROFILE, kind: 'rate-only' },
    { ...PROFILE, extra: 1 },
    { ...PROFILE, source: '' },
    { ...PROFILE, gpusPerInstance: 1.5 },
    { ...PROFILE, prefill: { points: [POINT] } },
    { ...PROFILE, prefill: { points: [POINT, { ...POINT, seconds: 0 }] } },
    { ...PROFILE, prefill: { ...PROFILE.prefill, interpolation: 'log-log-cubic', below: 'hold' } },
    { ...PROFILE, prefill: { ...PROFILE.prefill, interpolation: 'nearest' } },
    { ...PROFILE, kv: { fixedBytes: 0, bytesPerToken: 1 } },
    { ...PROFILE, kv: { fixedBytes: -1, bytesPerToken: 1 } },
    RATES,
    { ...RATES, points: [{ tokens: 1, kvGbps: 1 }] },
    { ...RATES, kind: undefined },
    ...listPresets().map(({ name }): Json => JSON.parse(JSON.stringify(preset(name).remote.profile))),
  ],
  simulation: [
    SIMULATION,
    { ...SIMULATION, rateRps: -1 },
    { ...SIMULATION, durationSeconds: 0 },
    { ...SIMULATION, replications: LIMITS.replicationsMax + 1 },
    { ...SIMULATION, schedulers: ['on', 'fixed'], routing: 'latency' },
    { ...SIMULATION, schedulers: ['sometimes'] },
    { ...SIMULATION, schedulers: [] },
    { ...SIMULATION, arrivals: { kind: 'gamma', burstiness: 4 }, curve: { stepSeconds: 60, rates: [1, 2] } },
    { ...SIMULATION, curve: { stepSeconds: 60, rates: [-1] } },
    { ...SIMULATION, transfer: { mode: 'layerwise', layers: 61, rttMs: 40, flowGbpsMax: 10 } },
    { ...SIMULATION, transfer: { layers: 0 } },
    { ...SIMULATION, events: [{ kind: 'link', atSeconds: 1, gbps: 10 }] },
    { ...SIMULATION, events: [{ kind: 'lose', atSeconds: 1, pool: 'remotePrefill', instances: 1 }] },
    { ...SIMULATION, events: [{ kind: 'lose', atSeconds: 1, pool: 'nobody', instances: 1 }] },
    { ...SIMULATION, events: [{ kind: 'restore', atSeconds: -1, pool: 'decode', instances: 1 }] },
    { ...SIMULATION, caches: { localBlocks: 100, policy: 'lru', stateBlocks: 21 } },
    { ...SIMULATION, caches: { localBlocks: 100, policy: 'mru' } },
    { ...SIMULATION, agents: AGENTS },
    { ...SIMULATION, agents: { ...AGENTS, turnsMean: 0.5 } },
    { ...SIMULATION, agents: { ...AGENTS, turnsMean: LIMITS.agentTurnsMax } },
    { ...SIMULATION, agents: { ...AGENTS, turnsMean: LIMITS.agentTurnsMax + 1 } },
    { ...SIMULATION, agents: { ...AGENTS, turnGapSeconds: 1e300 } },
    { ...SIMULATION, rateRps: 1e300 },
    { ...SIMULATION, durationSeconds: LIMITS.simulatedSecondsMax },
    { ...SIMULATION, durationSeconds: 2 * LIMITS.simulatedSecondsMax },
    { ...SIMULATION, controlSeconds: LIMITS.periodSecondsMin, replanSeconds: LIMITS.simulatedSecondsMax },
    { ...SIMULATION, controlSeconds: 1e-9 },
    { ...SIMULATION, replanSeconds: 1e-9 },
    { ...SIMULATION, curve: { stepSeconds: 1e-9, rates: [1] } },
    { ...SIMULATION, curve: { stepSeconds: 1e300, rates: [1] } },
    { ...SIMULATION, arrivals: { kind: 'gamma', burstiness: 1e-300 } },
    { ...SIMULATION, arrivals: { kind: 'gamma', burstiness: 1e300 } },
    { ...SIMULATION, events: [{ kind: 'link', atSeconds: 1e300, gbps: 10 }] },
    { ...SIMULATION, events: [{ kind: 'link', atSeconds: 1, gbps: 1e-9 }] },
    { ...SIMULATION, events: [{ kind: 'link', atSeconds: 1, gbps: LIMITS.flowGbpsMin }] },
    { ...SIMULATION, transfer: { flowGbpsMax: 1e-9 } },
    { ...SIMULATION, transfer: { rttMs: 1e300 } },
    { ...SIMULATION, roleChangeSeconds: LIMITS.delaySecondsMax, detectionSeconds: 0 },
    { ...SIMULATION, roleChangeSeconds: LIMITS.delaySecondsMax + 1 },
    { ...SIMULATION, detectionSeconds: LIMITS.delaySecondsMax + 1 },
    { ...SIMULATION, more: 1 },
    {},
  ],
  server: [
    {},
    { port: 0, grpcPort: null, respPort: 6380, respSocket: '/run/membrane.sock' },
    { port: 65_536 },
    { port: '8080' },
    { nodeId: '' },
    { host: '::1' },
    { host: 'a b' },
    { memoryBytesMax: '10 GiB', storeBytesMax: 1 },
    { memoryBytesMax: 1.5 },
    { memoryBytesMax: '10 gigs' },
    { memoryBytesMax: null },
    { leaseSeconds: '90s', ttlSeconds: '12h' },
    { leaseSeconds: 601 },
    { ttlSeconds: 0 },
    { store: 'tape' },
    { compute: 'none' },
    { peers: ['node-1:8080', '[::1]:8080'] },
    { peers: ['node-1'] },
    { redisUrl: 'redis://host:6379/0?db=1', redisPassword: 'x' },
    { redisUrl: 'redis://host?password=x' },
    { redisPassword: '' },
    { llmUrl: 'https://user:key@host' },
    { logLevel: 'INFO' },
    { logFile: '' },
    { semantic: 'yes' },
    { more: 1 },
  ],
  credentials: [
    { tenantSaltSecret: '0'.repeat(64), credentials: [] },
    { tenantSaltSecret: '0'.repeat(63), credentials: [] },
    { credentials: [] },
    {
      tenantSaltSecret: '0'.repeat(64),
      anonymous: { tenant: 'default', role: 'reader' },
      credentials: [{ name: 'a', tenant: 'b', role: 'writer', tokenHash: `sha256:${'0'.repeat(64)}` }],
    },
    { tenantSaltSecret: '0'.repeat(64), credentials: [{ name: 'a', tenant: 'b', role: 'owner' }] },
    { tenantSaltSecret: '0'.repeat(64), credentials: [{ name: 'a', tenant: 'b', role: 'admin', token: 'mbr_x' }] },
    {
      tenantSaltSecret: '0'.repeat(64),
      credentials: [{ name: 'a', tenant: 'b', role: 'admin', certificateFingerprint: 'AB:'.repeat(31) + 'AB' }],
    },
  ],
  'trace-line': [
    { inputTokens: 1 },
    { inputTokens: 0 },
    { inputTokens: 1.5 },
    { inputTokens: LIMITS.requestTokensMax + 1 },
    { inputTokens: 1, atSeconds: 0, outputTokens: 0, blockIds: [0] },
    { inputTokens: 1, atSeconds: -1 },
    { inputTokens: 1, outputTokens: -1 },
    { inputTokens: 1, blockIds: [-1] },
    { inputTokens: 1, blockIds: ['a'] },
    { inputTokens: 1, more: 1 },
    {},
  ],
}

describe('the published JSON Schemas', () => {
  it.each(SCHEMA_NAMES)('%s judges its examples as the code does', (name) => {
    const schema = jsonSchema(name) as Schema
    const judged = EXAMPLES[name].map((example) => {
      // `undefined` stands for a key that is not there, as in a file.
      const value: Json = JSON.parse(JSON.stringify(example))
      return { example: value, code: PARSERS[name].safeParse(value).success, schema: accepts(schema, schema, value) }
    })
    for (const { example, code, schema: published } of judged) expect(published, JSON.stringify(example)).toBe(code)
    expect(judged.some(({ code }) => code)).toBe(true)
    expect(judged.some(({ code }) => !code)).toBe(true)
  })

  it.each(SCHEMA_NAMES)('%s names itself and its draft, and describes every field of its document', (name) => {
    const schema = jsonSchema(name) as Schema
    expect(String(schema['$id'])).toContain(`${name}.schema.json`)
    expect(schema['$schema']).toBe('https://json-schema.org/draft/2020-12/schema')
    expect(JSON.stringify(schema)).not.toContain('"additionalProperties":{}')
    expect(schema['description']).toMatch(/\.$/)
  })

  it('allow no other fields anywhere, so that a misspelt one is found by editors too', () => {
    const open: string[] = []
    const walk = (value: unknown, at: string): void => {
      if (Array.isArray(value)) for (const [k, item] of value.entries()) walk(item, `${at}[${k}]`)
      if (!isRecord(value)) return
      if (value['type'] === 'object' && value['additionalProperties'] !== false) open.push(at)
      for (const [key, item] of Object.entries(value)) walk(item, `${at}.${key}`)
    }
    for (const name of SCHEMA_NAMES) walk(jsonSchema(name), name)
    expect(open).toEqual([])
  })
})
