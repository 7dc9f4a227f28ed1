/** The configuration of a server from all its sources: flags, the environment, a file, and answers to questions. */
import { type EffectiveServerConfig, mergeServerConfig } from '../api/merge-server-config.ts'
import { type ConfigLayer, type Environment, environmentLayer } from '../api/server-layers.ts'
import { type ServeFlags, layerOfFlags } from './serve-flags.ts'
import { fileLayer } from './server-config-file.ts'

/**
 * With `--interactive`, asks on the terminal for what matters most; answers count as flags. Throws what
 * `mergeServerConfig` throws, FILE_UNREADABLE for the file, and ABORTED when the questions are broken off.
 */
export async function loadServerConfig(flags: ServeFlags, environment: Environment): Promise<EffectiveServerConfig> {
  const layers = await readLayers(flags, environment)
  if (flags.interactive !== true) return withNotes(mergeServerConfig(layers.layers), layers.notes)
  const { runWizard, terminalPrompts } = await import('./serve-wizard.ts')
  const answers = await runWizard(await terminalPrompts(), mergeServerConfig(layers.layers).config)
  return withNotes(mergeServerConfig([...layers.layers, answers]), layers.notes)
}

async function readLayers(
  flags: ServeFlags,
  environment: Environment,
): Promise<{ readonly layers: readonly ConfigLayer[]; readonly notes: readonly string[] }> {
  const fromFlags = layerOfFlags(flags)
  const path = flags.config ?? (environment['MEMBRANE_CONFIG'] || undefined)
  const file = path === undefined ? null : await fileLayer(path)
  const others = file === null ? [fromFlags] : [fromFlags, file.layer]
  const { layer, notes } = environmentLayer(environment, others)
  return { layers: [...others, layer], notes: [...notes, ...(file?.notes ?? [])] }
}

function withNotes(merged: EffectiveServerConfig, notes: readonly string[]): EffectiveServerConfig {
  return { ...merged, notes: [...notes, ...merged.notes] }
}
