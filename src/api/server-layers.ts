/** Sources of a server's configuration, each read into values by name, not yet checked. */
import { MembraneError } from '../core/errors.ts'
import { nearestName } from '../core/nearest-name.ts'
import { valueOfText, variablesOf } from './server-names.ts'
import { SERVER_CONFIG_KEYS, type ServerConfigKey } from './server-schema.ts'

/** A value as it was given, not yet checked. */
export interface GivenValue {
  readonly value: unknown
  /** `flag --port`, `environment MEMBRANE_PORT`, `file x.yaml, line 3`. */
  readonly origin: string
}

/** What one source gives, by name. */
export interface ConfigLayer {
  readonly kind: 'flags' | 'environment' | 'file'
  readonly values: ReadonlyMap<string, GivenValue>
}

/** Variables of the process, or of a test. */
export type Environment = Readonly<Record<string, string | undefined>>

/** Variables that begin as ours do and are for other parts: the launcher, the tests, the file of the configuration itself. */
const OTHER_VARIABLES = ['MEMBRANE_CONFIG', 'MEMBRANE_COMMAND', 'MEMBRANE_SKIPS', 'MEMBRANE_URL', 'MEMBRANE_TOKEN']
/** Keys of services in variables of their own, which count when no other source has a key. */
const PROVIDER_VARIABLES: Readonly<Record<string, string>> = {
  openai: 'OPENAI_API_KEY',
  anthropic: 'ANTHROPIC_API_KEY',
}

/**
 * What the variables say; one that is empty counts as not given. `others` are the layers of flags and file: which service
 * computes decides whether MEMBRANE_OLLAMA_URL and the services' own variables count. Throws INVALID_CONFIG when two
 * variables of one value disagree. The notes name variables that are one slip away from ours.
 */
export function environmentLayer(
  environment: Environment,
  others: readonly ConfigLayer[],
): { readonly layer: ConfigLayer; readonly notes: readonly string[] } {
  const values = new Map<string, GivenValue>()
  const given = (name: string): string | undefined => (environment[name] === '' ? undefined : environment[name])
  const computeOf = (kind: ConfigLayer['kind']): unknown =>
    others.find((layer) => layer.kind === kind)?.values.get('compute')?.value
  const compute = computeOf('flags') ?? given('MEMBRANE_COMPUTE') ?? computeOf('file')
  const known = new Set([...OTHER_VARIABLES, 'MEMBRANE_OLLAMA_URL'])
  for (const key of SERVER_CONFIG_KEYS) {
    const names = [...variablesOf(key), ...(key === 'llmUrl' && compute === 'ollama' ? ['MEMBRANE_OLLAMA_URL'] : [])]
    for (const name of names) known.add(name)
    const found = names.filter((name) => given(name) !== undefined)
    const [first, second] = found
    if (first === undefined) continue
    const text = given(first) ?? ''
    if (second !== undefined && given(second) !== text)
      throw new MembraneError('INVALID_CONFIG', `${first} and ${second} are two names of ${key}, and differ.`, {
        remedy: 'Set one of them.',
      })
    values.set(key, { value: valueOfText(key, text), origin: `environment ${first}` })
  }
  const isKeyGiven = (key: ServerConfigKey): boolean => values.has(key) || others.some((layer) => layer.values.has(key))
  const own = compute === 'openai' || compute === 'anthropic' ? PROVIDER_VARIABLES[compute] : undefined
  if (own !== undefined && given(own) !== undefined && !isKeyGiven('llmApiKey') && !isKeyGiven('llmKeyFile'))
    values.set('llmApiKey', { value: given(own), origin: `environment ${own}` })
  return { layer: { kind: 'environment', values }, notes: slips(environment, [...known]) }
}

/** Others may use our prefix (Kubernetes does, for a service called membrane), so what is unknown is only pointed out. */
function slips(environment: Environment, known: readonly string[]): string[] {
  return Object.keys(environment)
    .filter((name) => name.startsWith('MEMBRANE_') && !known.includes(name))
    .flatMap((name) => {
      const nearest = nearestName(name, known)
      return nearest === null ? [] : [`environment ${name} is not a setting: did you mean ${nearest}?`]
    })
}
