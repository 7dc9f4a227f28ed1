/** What is used of the package `node-llama-cpp`, which need not be there when we are compiled. */
import { importOptional } from './optional-package.ts'

/** Exports of the package. */
export interface LlamaPackage {
  getLlama(options: {
    readonly gpu: 'auto' | 'cuda' | 'vulkan' | 'metal' | false
    readonly build: 'never'
    readonly skipDownload: true
    readonly progressLogs: false
    readonly logLevel: 'error'
    readonly logger: (level: string, message: string) => void
    readonly maxThreads: number
  }): Promise<LlamaRuntime>
  readonly InsufficientMemoryError: ErrorClass
  readonly NoBinaryFoundError: ErrorClass
}

type ErrorClass = abstract new (...args: never) => Error

/** A loaded binary. */
export interface LlamaRuntime {
  readonly gpu: string | false
  readonly cpuMathCores: number
  loadModel(options: { readonly modelPath: string; readonly gpuLayers?: number | 'max' }): Promise<LlamaModel>
  dispose(): Promise<void>
}

/** A loaded model file. */
export interface LlamaModel {
  readonly trainContextSize: number
  readonly gpuLayers: number
  readonly flashAttentionSupported: boolean
  readonly fileInfo: {
    readonly metadata: Readonly<Record<string, unknown>>
    readonly fullTensorInfo?: readonly { readonly name: string }[]
  }
  readonly tokens: { readonly bos: number | null; readonly shouldPrependBosToken: boolean }
  iterateAllTokens(): Iterable<number>
  isEogToken(token: number): boolean
  tokenize(text: string, specialTokens: boolean): readonly number[]
  detokenize(tokens: readonly number[], specialTokens: boolean, lastTokens: readonly number[]): string
  createContext(options: {
    readonly contextSize: number
    readonly batchSize: number
    readonly sequences: 1
    readonly flashAttention: true
    readonly threads: number
    readonly experimentalKvCacheKeyType: string
    readonly experimentalKvCacheValueType: string
  }): Promise<LlamaContext>
  dispose(): Promise<void>
}

/** Memory of one sequence. */
export interface LlamaContext {
  readonly contextSize: number
  getSequence(): LlamaSequence
  dispose(): Promise<void>
}

/** The tokens in a context. */
export interface LlamaSequence {
  readonly nextTokenIndex: number
  eraseContextTokenRanges(ranges: readonly { readonly start: number; readonly end: number }[]): Promise<void>
  controlledEvaluate(
    tokens: readonly (number | readonly [number, { readonly generateNext: GenerateNext }])[],
  ): Promise<readonly ({ readonly next: { readonly logits?: ReadonlyMap<number, number> } } | undefined)[]>
  saveStateToFile(path: string): Promise<unknown>
  loadStateFromFile(path: string, risk: { readonly acceptRisk: true }): Promise<void>
}

interface GenerateNext {
  readonly logits: true
  readonly options: {
    readonly temperature: number
    readonly topK: number
    readonly topP: number
    readonly minP: number
  }
}

/** Throws MISSING_PACKAGE. */
export async function loadLlamaPackage(): Promise<LlamaPackage> {
  return (await importOptional('node-llama-cpp')) as LlamaPackage
}
