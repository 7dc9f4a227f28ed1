/**
 * Packages that Membrane can use and does not need. They are looked for where a program that uses Membrane would have
 * them, and in the `.optional` folders of its project and of our own sources, where they stay out of everybody's way.
 */
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { MembraneError } from '../core/errors.ts'

/** The versions that we have run, which the remedy names. */
const VERSIONS = {
  'node-llama-cpp': '3.22.1',
  '@huggingface/transformers': '4.3.1',
} as const

/** Name of a package that is loaded only when an engine that needs it is asked for. */
export type OptionalPackage = keyof typeof VERSIONS

/** What a package exports. Throws MISSING_PACKAGE when it is not installed or does not load on this machine. */
export async function importOptional(
  name: OptionalPackage,
  folders: readonly string[] = projectFolders(),
): Promise<unknown> {
  const path = findPackage(name, folders)
  if (path === null) throw missing(name, `The package ${name} is not installed.`, { details: { folders } })
  try {
    return await importFile(pathToFileURL(path).href)
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause)
    throw missing(name, `The package ${name} does not load: ${reason}`, { cause, details: { path } })
  }
}

/** MISSING_PACKAGE for a package, or for a part of it that it brings for some machines only. */
export function missing(
  name: OptionalPackage,
  message: string,
  options: ConstructorParameters<typeof MembraneError>[2] = {},
): MembraneError {
  return new MembraneError('MISSING_PACKAGE', message, {
    remedy: `Run npm install ${name}@${VERSIONS[name]} in your project, or npm install --prefix .optional in Membrane's sources.`,
    ...options,
  })
}

function projectFolders(): readonly string[] {
  const own = fileURLToPath(new URL('../..', import.meta.url))
  return [process.cwd(), own].flatMap((folder) => [folder, join(folder, '.optional')])
}

function findPackage(name: OptionalPackage, folders: readonly string[]): string | null {
  for (const folder of folders) {
    try {
      return createRequire(join(folder, 'package.json')).resolve(name)
    } catch {
      // Neither in this folder nor above it.
    }
  }
  return null
}

/**
 * `import()` of a file that only the machine knows. Written here plainly, it would be an import in our sources that no
 * check can follow; and `require` cannot load a package that waits for something while it loads.
 */
async function importFile(url: string): Promise<unknown> {
  // @ts-expect-error: no file declares this module, which is its own source.
  const loader: unknown = await import('data:text/javascript,export const load = (url) => import(url)')
  return (loader as { load(url: string): Promise<unknown> }).load(url)
}
