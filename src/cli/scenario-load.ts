import { resolve } from 'node:path'
import type { Config, InputConfig } from '../api/config-schema.ts'
import { MembraneError } from '../core/errors.ts'
import type { AssumptionId } from '../planner/assumptions.ts'
import { preset, presetProfiles } from '../planner/presets.ts'
import type { ProfileData } from '../planner/profile.ts'
import type { InputSpec, ScenarioPart, ScenarioSpec } from '../planner/scenario.ts'
import { analyzeTrace } from '../planner/trace-analysis.ts'
import { uncachedLengths } from '../planner/trace-prefix.ts'
import { isPath, readConfigFile, readDocument } from './config-file.ts'
import { configOfFlags, type ScenarioFlags } from './scenario-flags.ts'

const DEFAULT_PRESET = 'case-study'

/** A scenario as the user gave it: preset, then file, then flags, every part replaced by the later one that has it. */
export interface LoadedScenario {
  readonly spec: ScenarioSpec
  /** The same with the names of traces instead of their lengths: what `--print-config` shows and `--config` takes. */
  readonly config: Config
  /** What was taken from a trace, one line each. */
  readonly notes: readonly string[]
}

export async function loadScenario(flags: ScenarioFlags): Promise<LoadedScenario> {
  const file = flags.config === undefined ? {} : await readConfigFile(flags.config)
  const base = preset(flags.preset ?? file.preset ?? DEFAULT_PRESET)
  const below = layered(configOfPreset(base), file)
  const over = configOfFlags(flags, below)
  const { config, replaced } = await withProfiles(layered(below, over), [file, over])
  return complete(config, base, replaced, isOutputGiven(file, over))
}

/** A scenario by name or file, for commands that take two. */
export function loadNamed(reference: string): Promise<LoadedScenario> {
  return loadScenario(isPath(reference) ? { config: reference } : { preset: reference })
}

function configOfPreset(spec: ScenarioSpec): Config {
  const { input } = spec.workload
  if (input.kind === 'samples' || input.kind === 'mixture')
    throw new Error('Bug: a preset has lengths that a configuration cannot name')
  return {
    name: spec.name,
    remote: { ...spec.remote, profile: mutable(spec.remote.profile) },
    local: { ...spec.local, profile: mutable(spec.local.profile) },
    link: spec.link,
    workload: { ...spec.workload, input },
  }
}

/** The schema's type has plain arrays; nothing writes to them. */
function mutable(profile: ProfileData): Exclude<NonNullable<NonNullable<Config['remote']>['profile']>, string> {
  return profile as Exclude<NonNullable<NonNullable<Config['remote']>['profile']>, string>
}

function layered(under: Config, over: Config): Config {
  return {
    ...under,
    ...over,
    remote: { ...under.remote, ...over.remote },
    local: { ...under.local, ...over.local },
    link: { ...under.link, ...over.link },
    workload: { ...under.workload, ...over.workload },
    slo: { ...under.slo, ...over.slo },
  }
}

/** Resolves profile names, lets a local profile bring its own decode, and says which parts of the preset are gone. */
async function withProfiles(
  config: Config,
  layers: readonly Config[],
): Promise<{ config: Config; replaced: Set<ScenarioPart> }> {
  const isGiven = (has: (layer: Config) => unknown): boolean => layers.some((layer) => has(layer) !== undefined)
  const remote = await profileOf(config.remote?.profile)
  const local = await profileOf(config.local?.profile)
  const isDecodeGiven = isGiven((layer) => layer.local?.decode)
  const ownDecode = local.kind === 'latency' && isGiven((layer) => layer.local?.profile) ? local.decode : undefined
  const decode = isDecodeGiven ? config.local?.decode : (ownDecode ?? config.local?.decode)
  const replaced = new Set<ScenarioPart>([
    ...(isGiven((layer) => layer.remote?.profile) ? (['remote'] as const) : []),
    ...(isGiven((layer) => layer.local?.profile) ? (['local'] as const) : []),
    ...(isDecodeGiven || ownDecode !== undefined ? (['decode'] as const) : []),
    ...(isGiven((layer) => layer.workload?.input) ? (['workload'] as const) : []),
  ])
  return {
    config: {
      ...config,
      remote: { ...config.remote, profile: mutable(remote) },
      local: { ...config.local, profile: mutable(local), decode },
    },
    replaced,
  }
}

async function profileOf(reference: NonNullable<Config['remote']>['profile']): Promise<ProfileData> {
  if (reference === undefined) throw new Error('Bug: a pool has no profile')
  if (typeof reference !== 'string') return reference
  if (isPath(reference)) {
    const { parseProfile } = await import('../api/profile-schema.ts')
    return parseProfile(await readDocument(reference, 'a hardware profile'), reference)
  }
  const found = presetProfiles().find((profile) => profile.name === reference)
  if (found !== undefined) return found
  const names = presetProfiles().map((profile) => profile.name)
  throw new MembraneError('INVALID_CONFIG', `There is no built-in profile "${reference}".`, {
    remedy: `Give a file (with a / or an ending), or one of ${names.join(', ')}.`,
    details: { reference, profiles: names },
  })
}

function isOutputGiven(...layers: readonly Config[]): { outputTokens: boolean; burstiness: boolean } {
  return {
    outputTokens: layers.some((layer) => layer.workload?.outputTokens !== undefined),
    burstiness: layers.some((layer) => layer.workload?.burstiness !== undefined),
  }
}

async function complete(
  config: Config,
  base: ScenarioSpec,
  replaced: Set<ScenarioPart>,
  given: { outputTokens: boolean; burstiness: boolean },
): Promise<LoadedScenario> {
  const { remote, local, link, workload } = config
  const decode = local?.decode
  if (workload?.input === undefined || decode === undefined) throw new Error('Bug: a preset gives every part')
  const resolved = await inputOf(workload.input)
  const traced = workload.input.kind === 'trace' ? resolved.traced : null
  const outputTokens = given.outputTokens ? workload.outputTokens : (traced?.outputTokens ?? workload.outputTokens)
  const burstiness = given.burstiness ? workload.burstiness : (traced?.burstiness ?? workload.burstiness)
  const spec: ScenarioSpec = {
    name: config.name ?? base.name,
    remote: {
      ...base.remote,
      ...remote,
      profile: await profileOf(remote?.profile),
      instances: remote?.instances ?? base.remote.instances,
    },
    local: {
      ...base.local,
      ...local,
      profile: await profileOf(local?.profile),
      instances: local?.instances ?? base.local.instances,
      decode,
    },
    homogeneousInstances: config.homogeneousInstances,
    link: { ...base.link, ...link, gbps: link?.gbps ?? base.link.gbps },
    workload: {
      input: resolved.input,
      outputTokens: outputTokens ?? base.workload.outputTokens,
      prefixHitRatio: workload.prefixHitRatio,
      burstiness,
      promptTokensMean: resolved.traced?.promptTokensMean,
    },
    slo: config.slo,
    assumptions: assumptionsLeft(base, replaced, resolved.hasCeiling),
  }
  return {
    spec,
    config: {
      ...config,
      workload: {
        ...workload,
        outputTokens: spec.workload.outputTokens,
        ...(burstiness === undefined ? {} : { burstiness }),
      },
    },
    notes: resolved.notes,
  }
}

function assumptionsLeft(
  base: ScenarioSpec,
  replaced: Set<ScenarioPart>,
  hasCeiling: boolean,
): ScenarioSpec['assumptions'] {
  const entries = Object.entries(base.assumptions ?? {}).filter(
    ([part]) => ![...replaced].some((gone) => gone === part),
  )
  const kept: Partial<Record<ScenarioPart, readonly AssumptionId[]>> = Object.fromEntries(entries)
  return hasCeiling ? { ...kept, workload: [...(kept.workload ?? []), 'prefix-hits-ceiling'] } : kept
}

interface Traced {
  readonly outputTokens: number | undefined
  readonly burstiness: number | undefined
  readonly promptTokensMean: number
}

interface ResolvedInput {
  readonly input: InputSpec
  readonly traced: Traced | null
  readonly hasCeiling: boolean
  readonly notes: readonly string[]
}

async function inputOf(input: InputConfig): Promise<ResolvedInput> {
  if (input.kind === 'trace') return tracedInput(input.file, input.prefixHits ?? 'none')
  if (input.kind !== 'mixture') return { input, traced: null, hasCeiling: false, notes: [] }
  const parts = await Promise.all(
    input.components.map(async (part) => ({ weight: part.weight, resolved: await inputOf(part.input) })),
  )
  return {
    input: { kind: 'mixture', components: parts.map(({ weight, resolved }) => ({ weight, input: resolved.input })) },
    traced: null,
    hasCeiling: parts.some(({ resolved }) => resolved.hasCeiling),
    notes: parts.flatMap(({ resolved }) => resolved.notes),
  }
}

async function tracedInput(file: string, prefixHits: 'none' | 'ceiling'): Promise<ResolvedInput> {
  const { readTraceFile } = await import('./read-trace.ts')
  const read = await readTraceFile(file === '-' ? file : resolve(file))
  const analysis = analyzeTrace(read)
  if (read.kind !== 'requests' || analysis.inputTokens === null) {
    throw new MembraneError('INVALID_TRACE', `${file} holds arrival rates of clients and no prompt lengths.`, {
      remedy: 'Give a trace of requests as workload; rates are for `membrane trace analyze`.',
      details: { file },
    })
  }
  const { trace } = read
  if (prefixHits === 'ceiling' && trace.blocks === null) {
    throw new MembraneError('INVALID_TRACE', `${file} has no block ids, so its prefix hits are not known.`, {
      remedy: 'Give --prefix-hits a ratio, or a trace with hash_ids or blockIds.',
      details: { file },
    })
  }
  const ceiling = analysis.prefixHitRatioMax
  // ASSUMPTION: prefix-hits-ceiling.
  const tokens =
    prefixHits === 'ceiling'
      ? uncachedLengths(trace).map((length) => Math.max(1, length))
      : Float64Array.from(trace.inputTokens)
  const outputTokens =
    analysis.outputTokens === null || analysis.outputTokens.mean <= 0 ? undefined : analysis.outputTokens.mean
  const burstiness = analysis.dispersion60s === null || analysis.dispersion60s <= 0 ? undefined : analysis.dispersion60s
  const note = [
    `${file}: ${trace.requestCount.toLocaleString('en-US')} requests`,
    `mean prompt ${Math.round(analysis.inputTokens.mean).toLocaleString('en-US')} tokens`,
    ...(outputTokens === undefined ? [] : [`mean output ${outputTokens.toFixed(0)} tokens`]),
    ...(burstiness === undefined ? [] : [`burstiness ${burstiness.toFixed(2)} (dispersion of 60 s counts)`]),
    ...(ceiling === null
      ? []
      : [
          `prefix hits ${prefixHits === 'ceiling' ? 'counted' : 'not counted'} (ceiling ${(ceiling.tokens * 100).toFixed(2)} % of tokens)`,
        ]),
  ]
  return {
    input: { kind: 'samples', tokens, source: file },
    traced: { outputTokens, burstiness, promptTokensMean: analysis.inputTokens.mean },
    hasCeiling: prefixHits === 'ceiling',
    notes: [note.join(', ')],
  }
}
