/** The model files of folders, described. */
import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { MembraneError } from '../core/errors.ts'
import { LIMITS } from '../core/limits.ts'
import { type GgufSummary, summarizeGguf } from './gguf-summary.ts'
import { readGgufHeader } from './gguf.ts'

/** Models that come along: see models/README.md. */
export const DEFAULT_MODELS_PATH = fileURLToPath(new URL('../../models', import.meta.url))

/** A file that is a model, or one that cannot be read as one. */
export type ListedModel =
  | ({ readonly kind: 'model'; readonly path: string } & GgufSummary)
  | { readonly kind: 'malformed'; readonly path: string; readonly reason: string }

/**
 * Describes each file of `paths`, and each `.gguf` file of folders among them and of the folders in these; a file once.
 * Throws FILE_UNREADABLE for a path that cannot be read, and LIMIT_REACHED above `listedModelsMax` files.
 */
export async function listModels(paths: readonly string[]): Promise<readonly ListedModel[]> {
  const files = new Set<string>()
  for (const path of paths) for (const file of await filesOf(path)) files.add(file)
  if (files.size > LIMITS.listedModelsMax)
    throw new MembraneError(
      'LIMIT_REACHED',
      `The folders hold ${files.size} model files, at most ${LIMITS.listedModelsMax} are listed.`,
    )
  const models: ListedModel[] = []
  for (const file of files) models.push(await describe(file, !paths.includes(file)))
  return models
}

/** In alphabetical order; what is no folder stands for itself. */
async function filesOf(path: string): Promise<readonly string[]> {
  try {
    if (!(await stat(path)).isDirectory()) return [path]
    const folders = [path]
    const files: string[] = []
    for (const entry of await readdir(path, { withFileTypes: true }))
      if (entry.isDirectory()) folders.push(join(path, entry.name))
    for (const folder of folders)
      for (const name of await readdir(folder)) if (name.endsWith('.gguf')) files.push(join(folder, name))
    return files.sort()
  } catch (cause) {
    throw new MembraneError('FILE_UNREADABLE', `The models ${path} cannot be read.`, { cause, details: { path } })
  }
}

async function describe(path: string, isListed: boolean): Promise<ListedModel> {
  try {
    return { kind: 'model', path, ...summarizeGguf(await readGgufHeader(path)) }
  } catch (error) {
    // One bad file among others hides none of them.
    if (error instanceof MembraneError && (error.code === 'INVALID_MODEL' || isListed))
      return { kind: 'malformed', path, reason: error.message }
    throw error
  }
}
