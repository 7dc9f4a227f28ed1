import { readFile, stat } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import type { Config, InputConfig } from '../api/config-schema.ts'
import { MembraneError } from '../core/errors.ts'
import { LIMITS } from '../core/limits.ts'

/** Reads JSON or YAML (JSON is YAML too), bounded in size. Throws FILE_UNREADABLE, LIMIT_REACHED or INVALID_CONFIG. */
export async function readDocument(path: string, what: string): Promise<unknown> {
  const text = await readText(path, what)
  const { parseDocument } = await import('./yaml.ts')
  const document = parseDocument(text, { prettyErrors: true })
  const [problem] = document.errors
  if (problem !== undefined) {
    const { line, col } = problem.linePos?.[0] ?? { line: 1, col: 1 }
    throw new MembraneError(
      'INVALID_CONFIG',
      `${path}:${line}:${col}: ${firstLine(problem.message)}; expected ${what} in YAML or JSON.`,
      {
        details: { file: path, line, column: col },
        cause: problem,
      },
    )
  }
  try {
    return document.toJS()
  } catch (error) {
    // Aliases that unfold into more than the library allows, or into themselves.
    throw new MembraneError(
      'INVALID_CONFIG',
      `${path}: its aliases cannot be resolved; expected ${what} in YAML or JSON.`,
      { details: { file: path }, cause: error },
    )
  }
}

/** Bounded in size. Throws FILE_UNREADABLE and LIMIT_REACHED. */
export async function readText(path: string, what: string): Promise<string> {
  try {
    const { size } = await stat(path)
    if (size > LIMITS.configFileBytesMax) {
      throw new MembraneError(
        'LIMIT_REACHED',
        `${path} has ${size} bytes; ${what} may have at most ${LIMITS.configFileBytesMax}.`,
      )
    }
    return await readFile(path, 'utf8')
  } catch (error) {
    if (error instanceof MembraneError || !(error instanceof Error)) throw error
    const code = 'code' in error ? String(error.code) : ''
    const problem =
      code === 'ENOENT' ? 'does not exist' : code === 'EISDIR' ? 'is a folder' : `cannot be read (${code})`
    throw new MembraneError('FILE_UNREADABLE', `${path} ${problem}; expected ${what}.`, {
      remedy: 'Check the path.',
      details: { file: path },
      cause: error,
    })
  }
}

function firstLine(message: string): string {
  return (message.split(/\n|; please use /)[0] ?? message).replace(/:$/, '').replace(/ at line \d+, column \d+$/, '')
}

/** A scenario file; the files it names are relative to it. */
export async function readConfigFile(path: string): Promise<Config> {
  const { parseConfig } = await import('../api/config-schema.ts')
  const config = parseConfig(await readDocument(path, 'a Membrane scenario'), path)
  const folder = dirname(path)
  return {
    ...config,
    ...(config.remote === undefined ? {} : { remote: withProfileAt(config.remote, folder) }),
    ...(config.local === undefined ? {} : { local: withProfileAt(config.local, folder) }),
    ...(config.workload?.input === undefined
      ? {}
      : { workload: { ...config.workload, input: inputAt(config.workload.input, folder) } }),
  }
}

function withProfileAt<T extends { readonly profile?: unknown }>(pool: T, folder: string): T {
  return typeof pool.profile === 'string' && isPath(pool.profile)
    ? { ...pool, profile: resolve(folder, pool.profile) }
    : pool
}

function inputAt(input: InputConfig, folder: string): InputConfig {
  if (input.kind === 'trace') return { ...input, file: resolve(folder, input.file) }
  if (input.kind !== 'mixture') return input
  return { ...input, components: input.components.map((part) => ({ ...part, input: inputAt(part.input, folder) })) }
}

/** Profiles are named by word or by file; a file has a separator or an ending. */
export function isPath(reference: string): boolean {
  return /[/\\]/.test(reference) || /\.(json|ya?ml)$/i.test(reference)
}
