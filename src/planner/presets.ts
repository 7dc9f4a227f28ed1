import { MembraneError } from '../core/errors.ts'
import { bytesFromMib, bytesPerSecondFromGbps } from '../core/units.ts'
import type { AssumptionId } from './assumptions.ts'
import type { DecodeProfile } from './decode.ts'
import type { LatencyProfileData, ProfileData, RateProfileData } from './profile.ts'
import type { ScenarioSpec } from './scenario.ts'

const TABLE5 = 'arXiv:2604.15039v2, Table 5 (8 x H200, in-house vLLM)'
const TABLE3 = 'arXiv:2604.15039v2, Table 3 (8 x H200, SGLang v0.5.9)'
const TABLE6 = 'inferred from arXiv:2604.15039v2, Table 6'

/** ASSUMPTION: kv-affine. Table 5 sizes as one line: a fixed linear-attention state plus 15 MLA layers of 576 bf16 values. */
const HYBRID_1T_KV = { fixedBytes: bytesFromMib(173.925), bytesPerToken: 17_280 }

const hybrid1T = { model: '1T hybrid (KDA:MLA 3:1)', gpusPerInstance: 8, kind: 'latency', kv: HYBRID_1T_KV } as const

/** ASSUMPTION: h200-knots, table5-lengths, table5-latencies. */
const H200_CALIBRATED: LatencyProfileData = {
  ...hybrid1T,
  name: 'hybrid-1t-h200',
  hardware: '8 x H200',
  source: `${TABLE5}, with two points inferred from Table 6`,
  origin: 'inferred',
  prefill: {
    points: [
      { tokens: 1024, seconds: 0.4434 },
      { tokens: 8192, seconds: 0.7218 },
      { tokens: 32_000, seconds: 1.8431 },
      { tokens: 48_000, seconds: 2.635 },
      { tokens: 64_000, seconds: 3.495 },
      { tokens: 130_000, seconds: 7.4036 },
    ],
    interpolation: 'linear',
    below: 'extrapolate',
    above: 'extrapolate',
  },
}

/** ASSUMPTION: table5-lengths-1000. */
const H200_TABLE5: LatencyProfileData = {
  ...hybrid1T,
  name: 'hybrid-1t-h200-table5',
  hardware: '8 x H200',
  source: TABLE5,
  origin: 'paper',
  prefill: {
    points: [
      { tokens: 1000, seconds: 0.44 },
      { tokens: 8000, seconds: 0.72 },
      { tokens: 32_000, seconds: 1.84 },
      { tokens: 128_000, seconds: 7.4 },
    ],
    interpolation: 'log-log-cubic',
    below: 'hold',
    above: 'extrapolate',
  },
}

/** ASSUMPTION: h20-profile. */
const H20_INFERRED: LatencyProfileData = {
  ...hybrid1T,
  name: 'hybrid-1t-h20',
  hardware: '8 x H20',
  source: TABLE6,
  origin: 'inferred',
  prefill: {
    points: [
      { tokens: 1024, seconds: 0.539 },
      { tokens: 8192, seconds: 1.548 },
      { tokens: 32_000, seconds: 4.901 },
      { tokens: 64_000, seconds: 9.982 },
      { tokens: 130_000, seconds: 21.448 },
    ],
    interpolation: 'linear',
    below: 'extrapolate',
    above: 'extrapolate',
  },
}

/** ASSUMPTION: decode-constants. BS_max / T_decode = 800.5 tokens/s is all that Table 6 says. */
const CASE_STUDY_DECODE: DecodeProfile = {
  batchMax: 20,
  stepSeconds: { fixed: 0.024984, perSequence: 0, perContextToken: 0 },
  source: TABLE6,
  origin: 'inferred',
}

/** ASSUMPTION: upper-cut, threshold-unit. */
function caseStudy(name: string, remote: LatencyProfileData, remoteAssumptions: readonly AssumptionId[]): ScenarioSpec {
  return {
    name,
    remote: { profile: remote, instances: 4 },
    local: { profile: H20_INFERRED, instances: 8, decode: CASE_STUDY_DECODE },
    link: { gbps: 100 },
    workload: {
      input: { kind: 'log-normal', mu: 9.9, sigma: 1, minTokens: 128, maxTokens: 131_072 },
      outputTokens: 1024,
    },
    assumptions: {
      remote: [...remoteAssumptions, 'kv-affine'],
      local: ['h20-profile', 'kv-affine'],
      decode: ['decode-constants'],
      workload: ['upper-cut', 'threshold-unit'],
      deployment: ['homogeneous-size'],
    },
  }
}

interface Table3Model {
  readonly name: string
  readonly model: string
  /** KV bytes of the public architecture, or null when it is not public. */
  readonly kv: { readonly fixedBytes: number; readonly bytesPerToken: number } | null
  /** Table 3, Gbps at 1K, 8K, 32K, 128K. */
  readonly kvGbps: readonly [number, number, number, number]
}

/** ASSUMPTION: table3-prefill. bf16 caches; recurrent states in fp32, sliding windows full (they are from 128 tokens on). */
const TABLE3_MODELS: readonly Table3Model[] = [
  // 9 GQA layers x 2,560 B a token; 39 sliding-window layers of 128 tokens.
  {
    name: 'mimo-v2-flash',
    model: 'MiMo-V2-Flash',
    kv: { fixedBytes: 25_559_040, bytesPerToken: 23_040 },
    kvGbps: [0.82, 2.85, 4.66, 4.71],
  },
  // 15 GQA layers x 2,048 B a token; 45 gated-delta-net states.
  {
    name: 'qwen3.5-397b',
    model: 'Qwen3.5-397B',
    kv: { fixedBytes: 192_061_440, bytesPerToken: 30_720 },
    kvGbps: [4.13, 6.28, 8.25, 7.47],
  },
  // 62 layers x 2 x 8 heads x 128 x 2 B.
  {
    name: 'minimax-m2.5',
    model: 'MiniMax-M2.5',
    kv: { fixedBytes: 0, bytesPerToken: 253_952 },
    kvGbps: [4.94, 32.87, 59.93, 47.82],
  },
  // 94 layers x 2 x 4 heads x 128 x 2 B.
  {
    name: 'qwen3-235b',
    model: 'Qwen3-235B',
    kv: { fixedBytes: 0, bytesPerToken: 192_512 },
    kvGbps: [4.12, 22.42, 33.35, 21.5],
  },
  { name: 'kimi-linear', model: 'Kimi Linear', kv: null, kvGbps: [1.19, 2.29, 3.87, 4.88] },
  { name: 'ring-2.5-1t', model: 'Ring-2.5-1T', kv: null, kvGbps: [7.27, 4.47, 2.59, 1.46] },
]

const TABLE3_TOKENS = [1024, 8192, 32_768, 131_072] as const

function table3Profile({ name, model, kv, kvGbps }: Table3Model): ProfileData {
  const identity = { name: `${name}-h200`, model, hardware: '8 x H200', gpusPerInstance: 8 }
  const rates = TABLE3_TOKENS.map((tokens, k) => ({ tokens, kvGbps: kvGbps[k] ?? Number.NaN }))
  if (kv === null) {
    return { ...identity, kind: 'rate-only', source: TABLE3, origin: 'paper', points: rates } satisfies RateProfileData
  }
  return {
    ...identity,
    kind: 'latency',
    source: `${TABLE3}, divided into the KV bytes of the public architecture`,
    origin: 'inferred',
    kv,
    prefill: {
      points: rates.map((rate) => ({
        tokens: rate.tokens,
        seconds: (kv.fixedBytes + kv.bytesPerToken * rate.tokens) / bytesPerSecondFromGbps(rate.kvGbps),
      })),
      interpolation: 'monotone-cubic',
      below: 'hold',
      above: 'extrapolate',
    },
  }
}

/** ASSUMPTION: table3-deployment, table3-decode. */
function table3Scenario(model: Table3Model): ScenarioSpec {
  const profile = table3Profile(model)
  return {
    ...caseStudy(model.name, H200_CALIBRATED, []),
    remote: { profile, instances: 4 },
    local: { profile, instances: 8, decode: CASE_STUDY_DECODE },
    assumptions: {
      remote: model.kv === null ? [] : ['table3-prefill'],
      decode: ['table3-decode'],
      deployment: ['table3-deployment', 'homogeneous-size'],
    },
  }
}

/** Medians of splitwise-sim's perf_model.csv (MIT), H100, tensor parallel 8, batch 1. */
const LLAMA2_70B_H100: LatencyProfileData = {
  kind: 'latency',
  name: 'llama2-70b-h100',
  model: 'llama2-70b',
  hardware: '8 x H100',
  gpusPerInstance: 8,
  source: 'splitwise-sim data/perf_model.csv, medians at batch 1, tensor parallel 8',
  origin: 'measured',
  kv: { fixedBytes: 0, bytesPerToken: 327_680 },
  prefill: {
    points: [
      { tokens: 128, seconds: 0.0582 },
      { tokens: 512, seconds: 0.0539 },
      { tokens: 1024, seconds: 0.0779 },
      { tokens: 2048, seconds: 0.1368 },
      { tokens: 4096, seconds: 0.3903 },
      { tokens: 8192, seconds: 0.8449 },
    ],
    interpolation: 'linear',
    below: 'hold',
    above: 'extrapolate',
  },
}

/** ASSUMPTION: llama2-70b-decode, llama2-70b-deployment. */
const LLAMA2_70B: ScenarioSpec = {
  name: 'llama2-70b',
  remote: { profile: LLAMA2_70B_H100, instances: 4 },
  local: {
    profile: LLAMA2_70B_H100,
    instances: 8,
    decode: {
      batchMax: 64,
      stepSeconds: { fixed: 0.0297, perSequence: 0.00032, perContextToken: 0 },
      source: 'splitwise-sim data/perf_model.csv, token_time at 512 tokens',
      origin: 'measured',
    },
  },
  link: { gbps: 100 },
  workload: { input: { kind: 'log-normal', mu: 7.3, sigma: 1, minTokens: 128, maxTokens: 8192 }, outputTokens: 256 },
  assumptions: { decode: ['llama2-70b-decode'], deployment: ['llama2-70b-deployment', 'homogeneous-size'] },
}

const PRESETS: Readonly<Record<string, { readonly summary: string; readonly spec: ScenarioSpec }>> = frozen({
  'case-study': {
    summary: "The paper's case study with profiles calibrated on Table 6: 32 H200 remote, 64 H20 local, 100 Gbps",
    spec: caseStudy('case-study', H200_CALIBRATED, ['h200-knots', 'table5-lengths', 'table5-latencies']),
  },
  'case-study-table5': {
    summary: 'The case study with the H200 curve from the four printed rows of Table 5 alone',
    spec: caseStudy('case-study-table5', H200_TABLE5, ['table5-lengths-1000']),
  },
  ...Object.fromEntries(
    TABLE3_MODELS.map((model) => [
      model.name,
      {
        summary: `${model.model} on 8 x H200 (Table 3)${model.kv === null ? ', KV rates only: for `membrane egress`' : ''}`,
        spec: table3Scenario(model),
      },
    ]),
  ),
  'llama2-70b': { summary: 'Dense llama2-70b on 8 x H100, measured prefill and decode', spec: LLAMA2_70B },
})

/** Names and one-line summaries, in the order in which they are worth reading. */
export function listPresets(): { readonly name: string; readonly summary: string }[] {
  return Object.entries(PRESETS).map(([name, { summary }]) => ({ name, summary }))
}

/** A ready-made scenario. Throws UNKNOWN_PRESET, listing the names that exist. */
export function preset(name: string): ScenarioSpec {
  const found = Object.hasOwn(PRESETS, name) ? PRESETS[name] : undefined
  if (found !== undefined) return found.spec
  throw new MembraneError('UNKNOWN_PRESET', `There is no preset "${name}".`, {
    remedy: `Choose one of ${Object.keys(PRESETS).join(', ')}.`,
    details: { name, presets: Object.keys(PRESETS) },
  })
}

/** Profiles of the presets by their own name, so that a scenario can be put together from them. */
export function presetProfiles(): readonly ProfileData[] {
  const profiles = Object.values(PRESETS).flatMap(({ spec }) => [spec.remote.profile, spec.local.profile])
  return [...new Map(profiles.map((profile) => [profile.name, profile])).values()]
}

/** Presets are handed out to everyone; nobody may change one for the others. */
function frozen<T>(value: T): T {
  if (typeof value !== 'object' || value === null) return value
  for (const part of Object.values(value)) frozen(part)
  return Object.freeze(value)
}
