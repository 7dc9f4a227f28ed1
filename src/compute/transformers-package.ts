/** What is used of the package `@huggingface/transformers`, which need not be there when we are compiled. */
import { importOptional } from './optional-package.ts'

/** Exports of the package. */
export interface TransformersPackage {
  readonly AutoModelForCausalLM: { from_pretrained(model: string, options: LoadOptions): Promise<OnnxModel> }
  readonly AutoTokenizer: { from_pretrained(model: string, options: TokenizerOptions): Promise<OnnxTokenizer> }
  readonly DynamicCache: new (tensors?: Readonly<Record<string, OnnxTensor>>) => object
  readonly Tensor: new (type: string, data: Float32Array | BigInt64Array, dims: readonly number[]) => OnnxTensor
}

interface TokenizerOptions {
  readonly local_files_only?: boolean
  readonly cache_dir?: string
}

interface LoadOptions extends TokenizerOptions {
  readonly device: string
  readonly dtype: string
  readonly session_options: { readonly intraOpNumThreads?: number; readonly interOpNumThreads: number }
}

/** A loaded model. */
export interface OnnxModel {
  readonly sessions: Readonly<Record<string, { readonly inputNames: readonly string[] } | undefined>>
  readonly config: Readonly<Record<string, unknown>>
  forward(inputs: Readonly<Record<string, unknown>>): Promise<Readonly<Record<string, OnnxTensor | undefined>>>
  dispose(): Promise<unknown>
}

export interface OnnxTensor {
  readonly type: string
  readonly dims: readonly number[]
  readonly data: unknown
}

export interface OnnxTokenizer {
  encode(text: string, options: { readonly add_special_tokens: boolean }): readonly number[]
  decode(
    ids: readonly number[],
    options: { readonly skip_special_tokens: true; readonly clean_up_tokenization_spaces: false },
  ): string
}

/** Throws MISSING_PACKAGE. */
export async function loadTransformersPackage(): Promise<TransformersPackage> {
  return (await importOptional('@huggingface/transformers')) as TransformersPackage
}
