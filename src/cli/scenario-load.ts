import { basename, resolve } from 'node:path'
import type { Config, InputConfig } from '../api/config-schema.ts'
import { assert, MembraneError } from '../core/errors.ts'
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

/**
 * Without `--config` everything starts from a preset. A scenario file stands for itself unless it names one: what it
 * leaves out is then an error, not somebody else's link or traffic.
 */
export async function loadScenario(flags: ScenarioFlags): Promise<LoadedScenario> {
  const file = flags.config === undefined ? {} : await readConfigFile(flags.config)
  const chosen = flags.preset ?? file.preset
  const base = chosen === undefined && flags.config !== undefined ? null : preset(chosen ?? DEFAULT_PRESET)
  const below = layered(base === null ? {} : configOfPreset(base), file)
  const over = configOfFlags(flags, below)
  const parts = await resolvedParts({
    config: layered(below, over),
    base,
    given: layered(file, over),
    where: flags.config ?? 'the command line',
  })
  const isImplicit = base !== null && chosen === undefined
  return {
    ...parts,
    notes: [
      ...(isImplicit
        ? [`starting from the preset ${DEFAULT_PRESET}; --preset and --config choose another scenario`]
        : []),
      ...parts.notes,
    ],
  }
}

/** A scenario by name or file, for commands that take two. */
export function loadNamed(reference: string): Promise<LoadedScenario> {
  return loadScenario(isPath(reference) ? { config: reference } : { preset: reference })
}

function configOfPreset(spec: ScenarioSpec): Config {
  const { input } = spec.workload
  assert(input.kind !== 'samples' && input.kind !== 'mixture', 'a configuration can name the lengths of a preset')
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

async function profileOf(reference: NonNullable<NonNullable<Config['remote']>['profile']>): Promise<ProfileData> {
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

interface Layers {
  /** Everything merged. */
  readonly config: Config
  readonly base: ScenarioSpec | null
  /** What the user gave, in a file or on the command line, without the preset. */
  readonly given: Config
  /** The file, for messages. */
  readonly where: string
}

/** Resolves names and files, fills in what a trace or a profile brings along, and says what was taken from where. */
async function resolvedParts({ config, base, given, where }: Layers): Promise<LoadedScenario> {
  const { remote, local, link, workload } = config
  const input = workload?.input === undefined ? null : await inputOf(workload.input)
  const localProfile = local?.profile === undefined ? null : await profileOf(local.profile)
  const decode = decodeOf(config, given, localProfile)
  const output = outputOf(config, given, input)
  const burstiness = given.workload?.burstiness ?? input?.traced?.burstiness ?? workload?.burstiness
  const needed = {
    'remote.profile': remote?.profile,
    'remote.instances': remote?.instances,
    'local.profile': localProfile ?? undefined,
    'local.instances': local?.instances,
    'local.decode (or decode in the local profile)': decode.value,
    'link.gbps': link?.gbps,
    'workload.input': input ?? undefined,
    'workload.outputTokens (or a trace with output lengths)': output.value,
  }
  const missing = Object.entries(needed).flatMap(([name, value]) => (value === undefined ? [name] : []))
  if (
    remote?.profile === undefined ||
    localProfile === null ||
    decode.value === undefined ||
    input === null ||
    output.value === undefined ||
    remote.instances === undefined ||
    local?.instances === undefined ||
    link?.gbps === undefined
  ) {
    throw new MembraneError('INVALID_CONFIG', `${where} leaves out ${missing.join(', ')}.`, {
      remedy: 'A scenario file without a preset names them all; `preset: case-study` in it starts from one.',
      details: { where, missing },
    })
  }
  const remoteProfile = await profileOf(remote.profile)
  const spec: ScenarioSpec = {
    name: config.name ?? base?.name ?? 'scenario',
    remote: { ...remote, profile: remoteProfile, instances: remote.instances },
    local: { ...local, profile: localProfile, instances: local.instances, decode: decode.value },
    homogeneousInstances: config.homogeneousInstances,
    link: { ...link, gbps: link.gbps },
    workload: {
      input: input.input,
      outputTokens: output.value,
      prefixHitRatio: workload?.prefixHitRatio,
      burstiness,
      promptTokensMean: input.traced?.promptTokensMean,
    },
    slo: config.slo,
    assumptions: assumptionsLeft(base, partsGiven(given, localProfile), input.hasCeiling),
  }
  return {
    spec,
    config: {
      ...config,
      preset: undefined,
      remote: { ...remote, profile: mutable(remoteProfile) },
      local: { ...local, profile: mutable(localProfile), decode: decode.value },
      workload: { ...workload, outputTokens: output.value, ...(burstiness === undefined ? {} : { burstiness }) },
    },
    notes: [...input.notes, ...decode.notes, ...output.notes],
  }
}

interface Filled<T> {
  readonly value: T | undefined
  /** Said when the value comes from a preset beside parts that do not. */
  readonly notes: readonly string[]
}

/** What the user gave, else what the given local profile brings, else the preset's. */
function decodeOf(
  config: Config,
  given: Config,
  localProfile: ProfileData | null,
): Filled<ScenarioSpec['local']['decode']> {
  if (given.local?.decode !== undefined) return { value: given.local.decode, notes: [] }
  const own = localProfile?.kind === 'latency' && given.local?.profile !== undefined ? localProfile.decode : undefined
  if (own !== undefined) return { value: own, notes: [] }
  const value = config.local?.decode
  const isStrange = value !== undefined && given.local?.profile !== undefined
  return {
    value,
    notes: isStrange ? [`profile "${localProfile?.name}" has no decode; the preset's is used (${value.source})`] : [],
  }
}

function outputOf(config: Config, given: Config, input: ResolvedInput | null): Filled<number> {
  const own = given.workload?.outputTokens ?? input?.traced?.outputTokens
  if (own !== undefined) return { value: own, notes: [] }
  const value = config.workload?.outputTokens
  const isStrange = value !== undefined && given.workload?.input !== undefined
  return { value, notes: isStrange ? [`no output length was given; the preset's ${value} tokens are used`] : [] }
}

/** The parts of which a preset's assumptions no longer hold. */
function partsGiven(given: Config, localProfile: ProfileData | null): readonly ScenarioPart[] {
  const hasOwnDecode =
    given.local?.profile !== undefined && localProfile?.kind === 'latency' && localProfile.decode !== undefined
  return [
    ...(given.remote?.profile === undefined ? [] : (['remote'] as const)),
    ...(given.local?.profile === undefined ? [] : (['local'] as const)),
    ...(given.local?.decode === undefined && !hasOwnDecode ? [] : (['decode'] as const)),
    ...(given.workload?.input === undefined ? [] : (['workload'] as const)),
  ]
}

function assumptionsLeft(
  base: ScenarioSpec | null,
  gone: readonly ScenarioPart[],
  hasCeiling: boolean,
): ScenarioSpec['assumptions'] {
  const entries = Object.entries(base?.assumptions ?? {}).filter(([part]) => !gone.some((given) => given === part))
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
    input: { kind: 'samples', tokens, source: basename(file) },
    traced: { outputTokens, burstiness, promptTokensMean: analysis.inputTokens.mean },
    hasCeiling: prefixHits === 'ceiling',
    notes: [note.join(', ')],
  }
}
