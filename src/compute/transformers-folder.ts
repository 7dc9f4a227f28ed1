/** The folder of an ONNX model in the usual layout: which of its files the model is made of, and what it says of itself. */
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { ChatForm } from '../core/compute.ts'
import { MembraneError } from '../core/errors.ts'
import type { ContentHash } from '../core/ids.ts'
import type { ContentHasher } from '../core/ports.ts'
import { hashFile, type HashedFile } from './model-file.ts'

/** Precisions of weights, and how the package's files end. All of them compute in float32. */
export const ONNX_ENDINGS = {
  fp32: '',
  int8: '_int8',
  uint8: '_uint8',
  q8: '_quantized',
  q4: '_q4',
  bnb4: '_bnb4',
} as const
/** Key of ONNX_ENDINGS. */
export type OnnxWeights = keyof typeof ONNX_ENDINGS

/** What was read of a model's folder. */
export interface ModelFolder {
  readonly files: readonly HashedFile[]
  /** Of the names and bytes of all files. */
  readonly contentHash: ContentHash
  /** Of config.json and, before it, generation_config.json. */
  readonly endTokens: readonly number[]
  /** Null without a tokenizer.json. */
  readonly specialTexts: readonly string[] | null
  /** Of tokenizer_config.json. */
  readonly chat: ChatForm | null
}

const TEXT_FILES = ['config.json', 'generation_config.json', 'tokenizer.json', 'tokenizer_config.json'] as const

/** Throws FILE_UNREADABLE, and INVALID_MODEL for a folder without such a model. */
export async function readModelFolder(
  folder: string,
  weights: OnnxWeights,
  hasher: ContentHasher,
): Promise<ModelFolder> {
  const names = [...(await namesIn(folder)), ...(await namesIn(join(folder, 'onnx'))).map((name) => `onnx/${name}`)]
  const model = `onnx/model${ONNX_ENDINGS[weights]}.onnx`
  for (const needed of ['config.json', model]) {
    if (!names.includes(needed))
      throw new MembraneError('INVALID_MODEL', `The model folder has no ${needed}.`, { details: { folder } })
  }
  // Large models keep their weights beside the graph, in model.onnx_data, model.onnx_data_1, …
  const parts = names.filter((name) => name.startsWith(model) || TEXT_FILES.some((text) => text === name)).toSorted()
  const files: HashedFile[] = []
  for (const name of parts) files.push(await hashFile(hasher, join(folder, name)))
  const listed = JSON.stringify(files.map(({ contentHash }, index) => [parts[index], contentHash]))
  const read = async (name: (typeof TEXT_FILES)[number]): Promise<unknown> =>
    parts.includes(name) ? parseJson(join(folder, name)) : null
  const configs = [await read('generation_config.json'), await read('config.json')]
  const tokenizer = await read('tokenizer.json')
  return {
    files,
    contentHash: hasher.hash(new TextEncoder().encode(listed)),
    endTokens: endTokensOf(configs.map((config) => fieldOf(config, 'eos_token_id'))),
    specialTexts: tokenizer === null ? null : textsOf(fieldOf(tokenizer, 'added_tokens')),
    chat: chatFormOf(await read('tokenizer_config.json'), fieldOf(tokenizer, 'added_tokens')),
  }
}

async function namesIn(folder: string): Promise<readonly string[]> {
  try {
    return await readdir(folder)
  } catch (cause) {
    throw new MembraneError('FILE_UNREADABLE', 'The model folder could not be read.', { cause, details: { folder } })
  }
}

async function parseJson(path: string): Promise<unknown> {
  try {
    return JSON.parse(await readFile(path, 'utf8'))
  } catch (cause) {
    throw new MembraneError('INVALID_MODEL', 'A file of the model is no JSON.', { cause, details: { path } })
  }
}

function endTokensOf(said: readonly unknown[]): readonly number[] {
  const first = said.find((ids) => ids !== undefined && ids !== null) ?? []
  return [first].flat().filter((id) => typeof id === 'number')
}

function textsOf(addedTokens: unknown): readonly string[] {
  const list: readonly unknown[] = Array.isArray(addedTokens) ? addedTokens : []
  return list.map((token) => fieldOf(token, 'content')).filter((content) => typeof content === 'string')
}

function chatFormOf(config: unknown, addedTokens: unknown): ChatForm | null {
  const template = fieldOf(config, 'chat_template')
  if (typeof template !== 'string') return null
  const list: readonly unknown[] = Array.isArray(addedTokens) ? addedTokens : []
  const specialTokens = new Map<string, number>()
  for (const token of list) {
    const [content, id] = [fieldOf(token, 'content'), fieldOf(token, 'id')]
    if (typeof content === 'string' && content !== '' && typeof id === 'number') specialTokens.set(content, id)
  }
  // A token is a text, or an object that holds it.
  const textOf = (name: string): string => {
    const token = fieldOf(config, name)
    const content = typeof token === 'string' ? token : fieldOf(token, 'content')
    return typeof content === 'string' ? content : ''
  }
  return { template, specialTokens, startText: textOf('bos_token'), endText: textOf('eos_token') }
}

function fieldOf(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null ? (value as Readonly<Record<string, unknown>>)[name] : undefined
}
