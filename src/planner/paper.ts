import type { DeploymentName } from './search.ts'

/** What arXiv:2604.15039v2 prints, for comparison. Nothing is computed from these values. */

/** Table 6. A dash in the paper is null. */
export interface PaperDeployment {
  readonly name: DeploymentName
  readonly thresholdTokens: number | null
  readonly instances: {
    readonly remotePrefill: number | null
    readonly localPrefill: number | null
    readonly decode: number
  }
  readonly ttftSeconds: { readonly mean: number; readonly p90: number }
  readonly throughputRps: {
    readonly remotePrefill: number | null
    readonly localPrefill: number | null
    readonly decode: number
  }
  readonly lambdaMaxRps: number
  readonly ratioOverHomogeneous: number
}

export const PAPER_TABLE_6: readonly PaperDeployment[] = [
  {
    name: 'membrane-pd',
    thresholdTokens: 19_400,
    instances: { remotePrefill: 4, localPrefill: 3, decode: 5 },
    ttftSeconds: { mean: 2.22, p90: 3.51 },
    throughputRps: { remotePrefill: 1.61, localPrefill: 1.64, decode: 3.91 },
    lambdaMaxRps: 3.24,
    ratioOverHomogeneous: 1.54,
  },
  {
    name: 'homogeneous-pd',
    thresholdTokens: null,
    instances: { remotePrefill: null, localPrefill: 9, decode: 3 },
    ttftSeconds: { mean: 4.44, p90: 9.73 },
    throughputRps: { remotePrefill: null, localPrefill: 2.11, decode: 2.35 },
    lambdaMaxRps: 2.11,
    ratioOverHomogeneous: 1,
  },
  {
    name: 'naive-heterogeneous-pd',
    thresholdTokens: null,
    instances: { remotePrefill: 4, localPrefill: null, decode: 8 },
    ttftSeconds: { mean: 1.74, p90: 3.51 },
    throughputRps: { remotePrefill: 2.45, localPrefill: null, decode: 6.25 },
    lambdaMaxRps: 2.45,
    ratioOverHomogeneous: 1.16,
  },
]

/** Sections 2.3 and 4.4: what a whole prefill cluster puts on the wire, Eq. (2). */
export interface PaperExtrapolation {
  readonly claim: string
  readonly preset: string
  readonly gpus: number
  readonly tokens: number
  /** What the text says, Gbps. */
  readonly statedGbps: number
  /** `below`: the text gives a bound; `about`: the text rounds to the digits shown. */
  readonly kind: 'about' | 'below'
}

export const PAPER_EXTRAPOLATIONS: readonly PaperExtrapolation[] = [
  { claim: '3.8 Tbps', preset: 'minimax-m2.5', gpus: 512, tokens: 32_768, statedGbps: 3800, kind: 'about' },
  { claim: '2.1 Tbps', preset: 'qwen3-235b', gpus: 512, tokens: 32_768, statedGbps: 2100, kind: 'about' },
  { claim: 'about 170 Gbps', preset: 'ring-2.5-1t', gpus: 512, tokens: 32_768, statedGbps: 170, kind: 'about' },
  { claim: 'below 100 Gbps', preset: 'ring-2.5-1t', gpus: 512, tokens: 131_072, statedGbps: 100, kind: 'below' },
  { claim: 'about 1.8 Tbps', preset: 'ring-2.5-1t', gpus: 10_000, tokens: 131_072, statedGbps: 1800, kind: 'about' },
  { claim: 'about 60 Gbps', preset: 'minimax-m2.5', gpus: 8, tokens: 32_768, statedGbps: 60, kind: 'about' },
]
