import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { MembraneError } from '../core/errors.ts'
import { Secret } from '../core/secret.ts'
import { DEFAULT_EVICTION_POLICY } from '../policy/evict-policies.ts'
import { COMPUTE_CHOICES } from '../server/backends.ts'
import { parseRedisUrl } from '../store/redis-url.ts'
import { type EffectiveServerConfig, mergeServerConfig } from './merge-server-config.ts'
import { type ConfigLayer, environmentLayer } from './server-layers.ts'
import { clusterEngineOf, revealRedisUrl } from './server-meaning.ts'
import { SERVER_OPTION_NAMES, valueOfText, variablesOf } from './server-names.ts'
import {
  DEFAULT_SERVER_CONFIG,
  SERVER_COMPUTE_CHOICES,
  SERVER_CONFIG_KEYS,
  type ServerConfig,
  type ServerConfigKey,
} from './server-schema.ts'

function flags(values: Readonly<Record<string, unknown>>): ConfigLayer {
  return layer('flags', 'flag', values)
}

function file(values: Readonly<Record<string, unknown>>): ConfigLayer {
  return layer('file', 'file x.yaml', values)
}

function layer(kind: ConfigLayer['kind'], origin: string, values: Readonly<Record<string, unknown>>): ConfigLayer {
  const entries = Object.entries(values).map(([name, value]) => [name, { value, origin: `${origin} ${name}` }] as const)
  return { kind, values: new Map(entries) }
}

function merged(...layers: readonly ConfigLayer[]): EffectiveServerConfig['config'] {
  return mergeServerConfig(layers).config
}

function fromEnvironment(environment: Record<string, string>, ...others: readonly ConfigLayer[]) {
  return mergeServerConfig([environmentLayer(environment, others).layer, ...others])
}

function refusal(act: () => unknown): MembraneError {
  try {
    act()
  } catch (error) {
    if (error instanceof MembraneError) return error
    throw error
  }
  throw new Error('nothing was refused')
}

describe('a server that is told nothing', () => {
  test('has the defaults that stand in one constant, and its store in a directory', () => {
    const { config, origins, notes } = mergeServerConfig([])
    expect(config).toEqual({ ...DEFAULT_SERVER_CONFIG, dataDir: 'membrane-data' })
    expect(new Set(Object.values(origins))).toEqual(new Set(['default']))
    expect(notes).toEqual([])
    expect(config.host).toBe('127.0.0.1')
    expect(config.evictionPolicy).toBe(DEFAULT_EVICTION_POLICY)
    const defaults: ServerConfig = DEFAULT_SERVER_CONFIG
    expect(defaults.port).toBe(8080)
  })
})

test('the engines of a server are those that open, or none', () => {
  expect(SERVER_COMPUTE_CHOICES).toEqual([...COMPUTE_CHOICES, 'none'])
})

describe('layers', () => {
  test('win in the order flags, environment, file, defaults, whatever order they come in', () => {
    const sources = {
      flags: flags({ port: 1 }),
      environment: environmentLayer({ MEMBRANE_PORT: '2' }, []).layer,
      file: file({ port: 3 }),
    }
    fc.assert(
      fc.property(fc.shuffledSubarray(['flags', 'environment', 'file'] as const), (kinds) => {
        const { config, origins } = mergeServerConfig(kinds.map((kind) => sources[kind]))
        const winner = (['flags', 'environment', 'file'] as const).find((kind) => kinds.includes(kind))
        expect(config.port).toBe(winner === undefined ? 8080 : { flags: 1, environment: 2, file: 3 }[winner])
        expect(origins.port).toBe(
          winner === undefined
            ? 'default'
            : { flags: 'flag port', environment: 'environment MEMBRANE_PORT', file: 'file x.yaml port' }[winner],
        )
      }),
    )
  })

  test('a flag opens what a file closes, and closes what it opens', () => {
    expect(merged(file({ respPort: 6380 }), flags({ respPort: valueOfText('respPort', 'none') })).respPort).toBeNull()
    expect(merged(file({ respPort: null }), flags({ respPort: valueOfText('respPort', '6380') })).respPort).toBe(6380)
  })

  test('an unknown name is refused, and the nearest known one named', () => {
    const error = refusal(() => merged(file({ prot: 80 })))
    expect(error.message).toBe('file x.yaml prot: there is no setting "prot".')
    expect(error.remedy).toContain('Did you mean port?')
    expect(refusal(() => merged(file({ __proto__x: 1 }))).code).toBe('INVALID_CONFIG')
  })

  test('a value out of its range is refused with where it came from, what was expected and what was found', () => {
    const error = refusal(() => fromEnvironment({ MEMBRANE_PORT: '99999' }))
    expect(error.code).toBe('INVALID_CONFIG')
    expect(error.message).toBe('environment MEMBRANE_PORT: port: expected a whole number from 0 to 65535, found 99999.')
    expect(refusal(() => merged(flags({ memoryBytesMax: '2 barrels' }))).message).toMatch(
      /such as 500MB.*found "2 barrels"/,
    )
  })

  test('a port that Kubernetes sets for a service of our name is explained', () => {
    const error = refusal(() => fromEnvironment({ MEMBRANE_PORT: 'tcp://10.0.0.1:8080' }))
    expect(error.remedy).toContain('enableServiceLinks')
  })
})

describe('the environment', () => {
  test('has a variable for every setting', () => {
    for (const key of SERVER_CONFIG_KEYS) expect(variablesOf(key)[0]).toMatch(/^MEMBRANE_[A-Z_]+$/)
    expect(new Set(SERVER_CONFIG_KEYS.flatMap(variablesOf)).size).toBe(SERVER_CONFIG_KEYS.flatMap(variablesOf).length)
  })

  test.each([
    ['MEMBRANE_LOG_LEVEL', 'WARNING', 'logLevel', 'warn'],
    ['MEMBRANE_LOG_FILE', '/var/log/membrane', 'logFile', '/var/log/membrane'],
    ['MEMBRANE_NODE_ID', 'membrane-3', 'nodeId', 'membrane-3'],
    ['MEMBRANE_TRANSPORT', 'grpc', 'grpcPort', 50_051],
    ['MEMBRANE_TRANSPORT', 'fastapi', 'transport', 'http'],
    ['MEMBRANE_COMPUTE', 'none', 'compute', 'none'],
    ['MEMBRANE_PORT', '9000', 'port', 9000],
    ['MEMBRANE_HOST', '0.0.0.0', 'host', '0.0.0.0'],
    ['MEMBRANE_LLM_BASE_URL', 'http://localhost:8000/v1', 'llmUrl', 'http://localhost:8000/v1'],
    ['MEMBRANE_MAX_WORKERS', '7', 'requestsMax', 7],
    ['MEMBRANE_SEMANTIC', 'off', 'semantic', false],
    ['MEMBRANE_MEMORY_BYTES_MAX', '2GiB', 'memoryBytesMax', 2 * 1024 ** 3],
    ['MEMBRANE_MAX_MEMORY', '2GiB', 'memoryBytesMax', 2 * 1024 ** 3],
    ['MEMBRANE_RESP_PORT', 'none', 'respPort', null],
    ['MEMBRANE_LEASE_SECONDS', '2min', 'leaseSeconds', 120],
    ['MEMBRANE_LEASE_SECONDS', '0.5', 'leaseSeconds', 0.5],
    ['MEMBRANE_ALLOWED_PEERS', 'a:1, b:2', 'allowedPeers', ['a:1', 'b:2']],
  ] as const)('%s=%s', (name, text, key, expected) => {
    expect(fromEnvironment({ [name]: text }).config[key]).toEqual(expected)
  })

  test('that is empty says nothing', () => {
    expect(fromEnvironment({ MEMBRANE_PORT: '' }).config.port).toBe(8080)
  })

  test('MEMBRANE_OLLAMA_URL counts when ollama computes', () => {
    const url = { MEMBRANE_OLLAMA_URL: 'http://localhost:11434' }
    expect(fromEnvironment(url).config.llmUrl).toBeNull()
    expect(fromEnvironment(url, flags({ compute: 'ollama' })).config.llmUrl).toBe(url.MEMBRANE_OLLAMA_URL)
    expect(fromEnvironment({ ...url, MEMBRANE_COMPUTE: 'ollama' }).config.llmUrl).toBe(url.MEMBRANE_OLLAMA_URL)
    expect(fromEnvironment(url, file({ compute: 'ollama' })).config.llmUrl).toBe(url.MEMBRANE_OLLAMA_URL)
  })

  test("a service's own variable is its key where nothing else gives one", () => {
    const own = { OPENAI_API_KEY: 'own' }
    const compute = flags({ compute: 'openai' })
    expect(fromEnvironment(own, compute).config.llmApiKey?.reveal()).toBe('own')
    expect(fromEnvironment(own, compute).origins.llmApiKey).toBe('environment OPENAI_API_KEY')
    expect(fromEnvironment({ ...own, MEMBRANE_LLM_API_KEY: 'ours' }, compute).config.llmApiKey?.reveal()).toBe('ours')
    expect(fromEnvironment(own, compute, file({ llmApiKey: 'filed' })).config.llmApiKey?.reveal()).toBe('filed')
    expect(fromEnvironment(own).config.llmApiKey).toBeNull()
  })

  test('two names of one value that disagree are refused', () => {
    const both = { MEMBRANE_LLM_URL: 'http://a', MEMBRANE_LLM_BASE_URL: 'http://b' }
    expect(refusal(() => fromEnvironment(both)).message).toMatch(/MEMBRANE_LLM_URL and MEMBRANE_LLM_BASE_URL/)
    expect(fromEnvironment({ ...both, MEMBRANE_LLM_BASE_URL: 'http://a' }).config.llmUrl).toBe('http://a')
  })

  test('a variable that is one slip away is pointed out, and those of others are not', () => {
    const { notes } = environmentLayer(
      { MEMBRANE_PROT: '1', MEMBRANE_SERVICE_HOST: '10.0.0.1', MEMBRANE_CONFIG: 'x', HOME: '/' },
      [],
    )
    expect(notes).toEqual(['environment MEMBRANE_PROT is not a setting: did you mean MEMBRANE_PORT?'])
  })
})

describe('values that do not go together', () => {
  test.each([
    [{ store: 'redis' }, /a Redis is needed/],
    [{ redisPassword: 'x' }, /no Redis to send it to/],
    [{ store: 'memory', storeBytesMax: 1 }, /bounded by memoryBytesMax/],
    [{ store: 'memory', durability: 'power' }, /makes no such promise/],
    [{ store: 'disk', dataDir: null }, /needs a directory/],
    [{ compute: 'none', model: 'x.gguf' }, /nothing computes/],
    [{ tlsCertFile: 'a' }, /go together/],
    [{ tlsKeyFile: 'a' }, /go together/],
    [{ tlsClientCaFile: 'a' }, /need TLS/],
    [{ bodiesBytesMax: 1000 }, /would not fit/],
    [{ port: 80, respPort: 80 }, /another door's/],
    [{ cluster: 'redis' }, /needs its address/],
    [{ cluster: 'gossip', redisUrl: 'redis://h' }, /no Redis is asked/],
    [{ peers: ['a:1'], credentialsFile: 'x' }, /nodes have to know each other/],
    [{ redisUrl: 'redis://h', credentialsFile: 'x' }, /nodes have to know each other/],
    [{ clusterSecret: 'short' }, /at least 16 characters/],
    [{ clusterSecret: 'x'.repeat(16), clusterSecretFile: 'y' }, /given twice/],
    [{ advertise: '0.0.0.0:80' }, /nobody can reach/],
  ])('%j', (values, message) => {
    const error = refusal(() => merged(flags(values)))
    expect(error.code).toBe('INVALID_CONFIG')
    expect(error.message).toMatch(message)
    expect(error.remedy).not.toBeNull()
  })

  test('several doors may take any free port', () => {
    expect(merged(flags({ port: 0, respPort: 0 })).respPort).toBe(0)
  })

  test.each([
    [{ peers: ['a:1'], cluster: 'off' }, /peers is for a cluster, which is switched off/],
    [{ redisUrl: 'redis://localhost', cluster: 'off' }, /redisUrl is for a cluster, which is switched off/],
  ])('%j asks for a cluster and against it', (values, message) => {
    const error = refusal(() => merged(flags(values)))
    expect(error.code).toBe('CLUSTER_OFF')
    expect(error.message).toMatch(message)
  })

  test('a Redis that no bytes rest in is the engine of the cluster; without one, nodes gossip', () => {
    const engine = (values: Record<string, unknown>) => clusterEngineOf(merged(flags(values)))
    expect(engine({})).toBe('gossip')
    expect(engine({ redisUrl: 'redis://localhost' })).toBe('redis')
    expect(engine({ redisUrl: 'redis://localhost', store: 'redis' })).toBe('gossip')
    expect(engine({ redisUrl: 'redis://localhost', store: 'redis', cluster: 'redis' })).toBe('redis')
    expect(engine({ cluster: 'off' })).toBe('off')
  })

  test('a node that names others is called by its host and port when it has no name; alone it keeps the usual one', () => {
    expect(merged(flags({})).nodeId).toBe('membrane-0')
    expect(merged(flags({ peers: ['a:1'], nodeId: 'mine' })).nodeId).toBe('mine')
    expect(merged(flags({ peers: ['a:1'], port: 9000 })).nodeId).toMatch(/^[A-Za-z0-9][A-Za-z0-9._-]*-9000$/)
    expect(merged(flags({ redisUrl: 'redis://h', port: 9001 })).nodeId).toMatch(/-9001$/)
  })

  test('grpc opens its door on its own port, or on the one that is given', () => {
    expect(merged(flags({ transport: 'grpc' }))).toMatchObject({ port: 8080, grpcPort: 50_051 })
    expect(merged(flags({ transport: 'grpc', grpcPort: 9 }))).toMatchObject({ grpcPort: 9 })
    expect(merged(flags({ grpcPort: 9 }))).toMatchObject({ transport: 'http', grpcPort: 9 })
    expect(mergeServerConfig([flags({ transport: 'stdlib' })]).notes).toHaveLength(1)
    expect(refusal(() => merged(flags({ transport: 'carrier pigeon' }))).message).toMatch(/one of http, grpc/)
  })
})

describe('the password of a Redis', () => {
  test('becomes a secret of its own, and goes back into the URL for the store alone', () => {
    const config = merged(file({ store: 'redis', redisUrl: 'redis://user:p%40s:s@host:6379/2' }))
    expect(config.redisUrl).toBe('redis://user@host:6379/2')
    expect(config.redisPassword?.reveal()).toBe('p@s:s')
    expect(revealRedisUrl(config)).toBe('redis://user:p%40s%3As@host:6379/2')
    expect(revealRedisUrl(merged(flags({ store: 'redis', redisUrl: 'redis://host' })))).toBe('redis://host')
  })

  test('is refused in a flag, where everybody on the machine sees it', () => {
    const error = refusal(() => merged(flags({ store: 'redis', redisUrl: 'redis://:hunter2@host' })))
    expect(error.remedy).toContain('MEMBRANE_REDIS_PASSWORD')
    expect(JSON.stringify([error.message, error.details])).not.toContain('hunter2')
  })

  test.each([
    'redis://host',
    'rediss://host:6379/3',
    'redis://[::1]:6379',
    'redis://host/0?db=1',
    'unix:///run/redis.sock?db=2',
    'redis-cluster://a:1,b:2,c',
    'redis-sentinel://a:1,b:2/mymaster?db=1',
    'valkey://host_1',
  ])('need not be there: %s', (redisUrl) => {
    expect(merged(flags({ store: 'redis', redisUrl })).redisUrl).toBe(redisUrl)
    expect(parseRedisUrl(redisUrl).password).toBeNull()
  })

  test.each([
    'redis://:hunter2',
    'redis://a:hunter2',
    'redis://hunter2@host',
    'redis://h ost',
    'tcp://host',
    'redis://a:1 b',
  ])('is not what is left of a URL: %s is refused and not repeated', (redisUrl) => {
    const error = refusal(() => merged(file({ store: 'redis', redisUrl })))
    expect(JSON.stringify([error.message, error.details, error.remedy])).not.toContain('hunter2')
  })

  test('is refused when it is given twice', () => {
    const twice = file({ store: 'redis', redisUrl: 'redis://:a@host', redisPassword: 'b' })
    expect(refusal(() => merged(twice)).message).toMatch(/and so has/)
  })
})

describe('secrets', () => {
  const awkward = fc.constantFrom('', ' ', '@', ':', '/', '?', '#', '%', '\n', '"', '*', '&', '\u0007')
  const secret = fc.tuple(awkward, fc.string({ minLength: 8 }), awkward).map(([before, text, after]) => {
    return `${before}s3cr3t${text}${after}`
  })
  const SECRET_KEYS = SERVER_CONFIG_KEYS.filter((key) => SERVER_OPTION_NAMES[key].isSecret === true)

  test('never show, in a configuration that is printed or in a refusal', () => {
    const given = fc.record({
      key: fc.constantFrom<ServerConfigKey>(...SECRET_KEYS, 'llmUrl'),
      secret,
      form: fc.constantFrom(
        'plain',
        'redis://:SECRET@host',
        'redis://user:SECRET@host/0',
        'http://SECRET@h',
        'REDIS://a:SECRET@h',
      ),
      source: fc.constantFrom('flags', 'environment', 'file'),
      others: fc.constantFrom(
        {},
        { port: 'x' },
        { store: 'redis', redisUrl: 'redis://h' },
        { nope: 1 },
        { store: 'redis' },
      ),
    })
    fc.assert(
      fc.property(given, ({ key, secret: hidden, form, source, others }) => {
        const text = form === 'plain' ? hidden : form.replace('SECRET', () => hidden)
        if (key === 'llmUrl' && form === 'plain') return
        let shown: string
        try {
          const other = file(others)
          const own =
            source === 'environment'
              ? environmentLayer({ [variablesOf(key)[0] ?? '']: text }, [other]).layer
              : source === 'file'
                ? file({ [key]: text })
                : flags({ [key]: text })
          const { config, origins, notes } = mergeServerConfig([other, own])
          shown = `${JSON.stringify(config)} ${Object.values(config).join(' ')} ${JSON.stringify([origins, notes])}`
        } catch (error) {
          if (!(error instanceof MembraneError)) throw error
          shown = `${error.message} ${error.remedy} ${JSON.stringify(error.details)} ${String(error.cause)} ${error.stack}`
        }
        expect(shown).not.toContain('s3cr3t')
      }),
      { numRuns: 1000 },
    )
  })

  test('have no flag', () => {
    for (const key of ['redisPassword', 'llmApiKey'] as const) expect(SERVER_OPTION_NAMES[key].flag).toBeNull()
    expect(new Secret('x').reveal()).toBe('x')
    expect(`${String(new Secret('hidden'))}${JSON.stringify({ a: new Secret('hidden') })}`).not.toContain('hidden')
  })
})
