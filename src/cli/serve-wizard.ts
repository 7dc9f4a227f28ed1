/** Asks for the settings of a server that matter most, one by one; Enter keeps what stands there. */
import { open } from 'node:fs/promises'
import type { ConfigLayer, GivenValue } from '../api/server-layers.ts'
import { valueOfText } from '../api/server-names.ts'
import {
  DEFAULT_SERVER_CONFIG,
  LOG_LEVELS,
  SERVER_COMPUTE_CHOICES,
  type ServerConfig,
  type ServerConfigKey,
  serverConfigSchema,
} from '../api/server-schema.ts'
import { MembraneError } from '../core/errors.ts'

/** How questions are asked: at a terminal, or by a test. Each throws ABORTED when whoever is asked breaks off. */
export interface Prompts {
  /** `check` gives what is wrong with an answer, which is asked for again then; null takes it. */
  text(question: Question & { readonly initial: string; readonly check: Check }): Promise<string>
  /** Not shown while it is typed. */
  secret(question: Question & { readonly check: Check }): Promise<string>
  choose(question: Question & { readonly options: readonly string[]; readonly initial: string }): Promise<string>
  confirm(question: Question & { readonly initial: boolean }): Promise<boolean>
  /** Something to know, no question. */
  tell(message: string): void
}

interface Question {
  readonly message: string
}
type Check = (answer: string) => string | null

const SERVICES = ['openai', 'anthropic', 'ollama']
const DEFAULT_FILE = 'membrane.yaml'

/**
 * The answers, as a layer that wins over all others. Peers are not asked for: there is no cluster to join yet. At the end
 * the answers are written to a file if that is wanted, for this user alone.
 */
export async function runWizard(prompts: Prompts, current: ServerConfig): Promise<ConfigLayer> {
  const answers = new Map<ServerConfigKey, unknown>()
  const ask = async (key: ServerConfigKey, message: string): Promise<void> => {
    const initial = textOf(key, current[key])
    // Without the name of a model, no service answers.
    const isNeeded = key === 'llmModel'
    const check = (answer: string): string | null =>
      isNeeded && answer.trim() === '' ? 'Expected a name.' : problemWith(key, answer, initial)
    const text = await prompts.text({ message, initial, check })
    if (text !== initial) answers.set(key, valueOf(key, text))
  }
  const choose = async (key: ServerConfigKey, message: string, options: readonly string[]): Promise<string> => {
    const initial = String(current[key])
    const choice = await prompts.choose({ message, options, initial })
    if (choice !== initial) answers.set(key, choice)
    return choice
  }
  await ask('nodeId', 'Name of this node')
  await ask('host', 'Address to listen on')
  await ask('port', 'Port for HTTP')
  const transport = await choose('transport', 'Doors: HTTP alone, or gRPC as well', ['http', 'grpc'])
  if (transport === 'grpc') await ask('grpcPort', 'Port for gRPC (empty: 50051)')
  const compute = await choose('compute', 'What computes', SERVER_COMPUTE_CHOICES)
  if (SERVICES.includes(compute)) await askService(compute, ask, answers, { prompts, current })
  if (
    await prompts.confirm({ message: 'Keep bytes in a Redis, not on this disk?', initial: current.store === 'redis' })
  ) {
    if (current.store !== 'redis') answers.set('store', 'redis')
    await askRedis(prompts, current, answers)
  } else if (current.store === 'redis') answers.set('store', 'disk').set('redisUrl', null).set('redisPassword', null)
  await ask('memoryBytesMax', 'Memory for fragments, such as 4GiB')
  await choose('logLevel', 'What is logged', LOG_LEVELS)
  await offerFile(prompts, answers)
  const values = [...answers].map(([key, value]): [string, GivenValue] => [key, { value, origin: 'answer' }])
  return { kind: 'flags', values: new Map(values) }
}

interface Asking {
  readonly prompts: Prompts
  readonly current: ServerConfig
}

async function askService(
  service: string,
  ask: (key: ServerConfigKey, message: string) => Promise<void>,
  answers: Map<ServerConfigKey, unknown>,
  { prompts, current }: Asking,
): Promise<void> {
  await ask('llmUrl', `Base URL of ${service} (empty: its own)`)
  await ask('llmModel', `Model of ${service}`)
  if (service === 'ollama' || current.llmKeyFile !== null) return
  if (current.llmApiKey !== null) {
    prompts.tell('A key is set already, and stays.')
    return
  }
  const key = await prompts.secret({
    message: `Key of ${service} (empty: from its environment variable)`,
    check: (answer) => (answer === '' ? null : problemWith('llmApiKey', answer, null)),
  })
  if (key !== '') answers.set('llmApiKey', key)
}

async function askRedis(
  prompts: Prompts,
  current: ServerConfig,
  answers: Map<ServerConfigKey, unknown>,
): Promise<void> {
  const initial = current.redisUrl ?? 'redis://127.0.0.1:6379'
  const url = await prompts.text({
    message: 'URL of the Redis, without its password',
    initial,
    check: (answer) =>
      /:[^/]*@/.test(answer.replace(/^[a-z-]+:\/\//, ''))
        ? 'Without the password: it is asked for next.'
        : problemWith('redisUrl', answer, null),
  })
  if (url !== current.redisUrl) answers.set('redisUrl', url)
  if (current.redisPassword !== null) return
  const password = await prompts.secret({ message: 'Password of the Redis (empty: none)', check: () => null })
  if (password !== '') answers.set('redisPassword', password)
}

/** As it would be typed. */
function textOf(key: ServerConfigKey, value: ServerConfig[ServerConfigKey]): string {
  if (value === null) return ''
  const gibibytes = Number(value) / 1024 ** 3
  return key === 'memoryBytesMax' && Number.isInteger(gibibytes) ? `${gibibytes}GiB` : String(value)
}

/** Empty takes a value away where there need not be one. */
function valueOf(key: ServerConfigKey, text: string): unknown {
  return text === '' && DEFAULT_SERVER_CONFIG[key] === null ? null : valueOfText(key, text)
}

function problemWith(key: ServerConfigKey, answer: string, initial: string | null): string | null {
  if (answer === initial) return null
  const result = serverConfigSchema.shape[key].safeParse(valueOf(key, answer))
  return result.success ? null : `Expected ${result.error.issues[0]?.message}.`
}

async function offerFile(prompts: Prompts, answers: ReadonlyMap<ServerConfigKey, unknown>): Promise<void> {
  if (answers.size === 0) return
  if (!(await prompts.confirm({ message: 'Write these answers to a file for the next time?', initial: false }))) return
  const { stringify } = await import('./yaml.ts')
  for (;;) {
    const path = await prompts.text({
      message: 'File',
      initial: DEFAULT_FILE,
      check: (answer) => (answer.trim() === '' ? 'Expected a path.' : null),
    })
    const problem = await writeNew(path, stringify(Object.fromEntries(answers)))
    if (problem === null) {
      prompts.tell(`Next time: membrane serve --config ${path}`)
      return
    }
    prompts.tell(problem)
  }
}

/** Never over a file that is there; what is wrong, or null. */
async function writeNew(path: string, text: string): Promise<string | null> {
  try {
    const file = await open(path, 'wx', 0o600)
    try {
      await file.writeFile(text)
    } finally {
      await file.close()
    }
    return null
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : String(error)
    return code === 'EEXIST' ? `${path} is there already.` : `${path} cannot be written (${code}).`
  }
}

/** Questions on standard error, so that they do not mix with an answer. Throws INVALID_REQUEST where nobody can be asked. */
export async function terminalPrompts(): Promise<Prompts> {
  if (!process.stdin.isTTY || !process.stderr.isTTY)
    throw new MembraneError('INVALID_REQUEST', '--interactive asks questions, and there is no terminal to ask on.', {
      remedy: 'Give flags, environment variables or --config instead.',
    })
  const { confirm, isCancel, log, password, select, text } = await import('@clack/prompts')
  const output = process.stderr
  const answered = <T>(answer: T | symbol): T => {
    if (!isCancel(answer)) return answer as T
    throw new MembraneError('ABORTED', 'The questions were broken off; nothing was started.')
  }
  const validate = (check: Check) => (answer: string | undefined) => check(answer ?? '') ?? undefined
  return {
    text: async ({ message, initial, check }) =>
      answered<string>(
        await text({ message, initialValue: initial, defaultValue: '', validate: validate(check), output }),
      ),
    secret: async ({ message, check }) =>
      answered<string | undefined>(await password({ message, validate: validate(check), output })) ?? '',
    choose: async ({ message, options, initial }) =>
      answered<string>(
        await select({ message, options: options.map((value) => ({ value })), initialValue: initial, output }),
      ),
    confirm: async ({ message, initial }) =>
      answered<boolean>(await confirm({ message, initialValue: initial, output })),
    tell: (message) => log.info(message, { output }),
  }
}
