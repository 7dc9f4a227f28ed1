/** The configuration file of a server, and its credentials file: read with the line of each value, and quoted nowhere. */
import { stat } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import type { ConfigLayer, GivenValue } from '../api/server-layers.ts'
import type { ServerConfigKey } from '../api/server-schema.ts'
import { MembraneError } from '../core/errors.ts'
import { readText } from './config-file.ts'

/** Values that are paths: in a file, they are relative to it. */
const PATH_KEYS: readonly string[] = [
  'respSocket',
  'dataDir',
  'model',
  'llmKeyFile',
  'tlsCertFile',
  'tlsKeyFile',
  'tlsClientCaFile',
  'credentialsFile',
  'logFile',
  'auditFile',
] satisfies readonly ServerConfigKey[]

const SECRET_KEYS: readonly string[] = ['redisPassword', 'llmApiKey'] satisfies readonly ServerConfigKey[]

/** Throws FILE_UNREADABLE, LIMIT_REACHED, and INVALID_CONFIG with a line. The notes warn of secrets that others can read. */
export async function fileLayer(
  path: string,
): Promise<{ readonly layer: ConfigLayer; readonly notes: readonly string[] }> {
  const { value, lineOf } = await readPrivateDocument(path, 'the configuration of a server')
  if (value !== null && (typeof value !== 'object' || Array.isArray(value)))
    throw new MembraneError('INVALID_CONFIG', `${path}: expected settings by name, as in \`port: 8080\`.`)
  const values = new Map<string, GivenValue>()
  for (const [name, given] of Object.entries(value ?? {})) {
    const line = lineOf(name)
    const isPath = PATH_KEYS.includes(name) && typeof given === 'string'
    values.set(name, {
      value: isPath ? resolve(dirname(path), given) : given,
      origin: `file ${path}${line === null ? '' : `, line ${line}`}`,
    })
  }
  const isOpen = SECRET_KEYS.some((key) => values.has(key)) && ((await stat(path)).mode & 0o077) !== 0
  return {
    layer: { kind: 'file', values },
    notes: isOpen ? [`${path} holds a secret, and others can read it: chmod 600 ${path}`] : [],
  }
}

/** A document as plain values, and the line of each key at its top. */
export interface PrivateDocument {
  readonly value: unknown
  readonly lineOf: (key: string) => number | null
}

/** What may hold secrets: refusals give the place, and nothing of what stands there. */
export async function readPrivateDocument(path: string, what: string): Promise<PrivateDocument> {
  const text = await readText(path, what)
  const { isMap, isScalar, parseDocument } = await import('./yaml.ts')
  // The library's own messages and pictures quote the text.
  const document = parseDocument(text, { prettyErrors: false })
  const [problem] = document.errors
  if (problem !== undefined) {
    const line = lineAt(text, problem.pos[0])
    throw new MembraneError(
      'INVALID_CONFIG',
      `${path}:${line}: not YAML or JSON (${problem.code}); expected ${what}.`,
      {
        details: { file: path, line, problem: problem.code },
      },
    )
  }
  const { contents } = document
  const lineOf = (key: string): number | null => {
    const pair = isMap(contents)
      ? contents.items.find(({ key: name }) => isScalar(name) && name.value === key)
      : undefined
    const start = isScalar(pair?.key) ? pair.key.range?.[0] : undefined
    return start === undefined ? null : lineAt(text, start)
  }
  try {
    const value: unknown = document.toJS()
    return { value, lineOf }
  } catch {
    // Aliases that unfold into more than the library allows, or into nothing. The error quotes the alias.
    throw new MembraneError('INVALID_CONFIG', `${path}: its aliases cannot be resolved; expected ${what}.`, {
      details: { file: path },
    })
  }
}

function lineAt(text: string, offset: number): number {
  return text.slice(0, offset).split('\n').length
}
