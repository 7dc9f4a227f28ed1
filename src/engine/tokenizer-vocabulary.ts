/** The tokens that a model file lists, and which of them begin and end a text. */
import { LIMITS } from '../core/limits.ts'
import { invalidModel } from './gguf-cursor.ts'
import type { GgufValue } from './gguf-value.ts'

export type Metadata = ReadonlyMap<string, GgufValue>

/** What a token is, by llama.cpp's numbers. */
export const TOKEN_KINDS = { normal: 1, unknown: 2, control: 3, userDefined: 4, unused: 5, byte: 6 } as const

export interface Vocabulary {
  readonly tokens: readonly string[]
  /** One of TOKEN_KINDS for each. */
  readonly kinds: Uint8Array
  /** Normal tokens only: no text spells out a control token. */
  readonly normalIds: ReadonlyMap<string, number>
  readonly startTokens: readonly number[]
  readonly endTokens: readonly number[]
}

/** `addsStart` is what holds where the file does not say whether a prompt begins with its start token. Throws INVALID_MODEL. */
export function readVocabulary(metadata: Metadata, { addsStart }: { readonly addsStart: boolean }): Vocabulary {
  const tokens = textsOf(metadata, 'tokenizer.ggml.tokens')
  if (tokens.length < 1 || tokens.length > LIMITS.vocabularyTokensMax)
    throw invalidModel(`The vocabulary has ${tokens.length} tokens, 1 to ${LIMITS.vocabularyTokensMax} are allowed.`)
  const kinds = readKinds(metadata, tokens.length)
  const normalIds = new Map<string, number>()
  for (const [id, token] of tokens.entries()) {
    if (token.length > LIMITS.tokenCharactersMax)
      throw invalidModel(
        `Token ${id} has ${token.length} characters, at most ${LIMITS.tokenCharactersMax} are allowed.`,
      )
    if (kinds[id] !== TOKEN_KINDS.normal) continue
    const other = normalIds.get(token)
    if (other !== undefined) throw invalidModel(`The tokens ${other} and ${id} are both ${JSON.stringify(token)}.`)
    normalIds.set(token, id)
  }
  const ends = ['eos', 'eot', 'eom'].map((name) => tokenIdOf(metadata, name, tokens.length)).filter((id) => id !== null)
  const startTokens = readStart(metadata, tokens.length, addsStart)
  return { tokens, kinds, normalIds, startTokens, endTokens: [...new Set(ends)] }
}

export function textsOf(metadata: Metadata, key: string): readonly string[] {
  const value = metadata.get(key)
  if (Array.isArray(value) && value.every((item) => typeof item === 'string')) return value
  throw invalidModel(`${key} must be an array of texts, and is ${value === undefined ? 'missing' : 'not'}.`)
}

export function booleanOf(metadata: Metadata, key: string): boolean | null {
  const value = metadata.get(key)
  if (value === undefined || typeof value === 'boolean') return value ?? null
  throw invalidModel(`${key} must be a boolean, and is not.`)
}

/** Without a list every token is a normal one. */
function readKinds(metadata: Metadata, tokens: number): Uint8Array {
  const value = metadata.get('tokenizer.ggml.token_type')
  if (value === undefined) return new Uint8Array(tokens).fill(TOKEN_KINDS.normal)
  if (!(value instanceof Int32Array || value instanceof Uint32Array) || value.length !== tokens)
    throw invalidModel(`tokenizer.ggml.token_type must have one 32-bit integer for each of ${tokens} tokens.`)
  const wrong = value.findIndex((kind) => kind < TOKEN_KINDS.normal || kind > TOKEN_KINDS.byte)
  if (wrong >= 0) throw invalidModel(`Token ${wrong} is of kind ${value[wrong]}; kinds are 1 to ${TOKEN_KINDS.byte}.`)
  return Uint8Array.from(value)
}

function readStart(metadata: Metadata, tokens: number, addsStart: boolean): readonly number[] {
  const isAdded = booleanOf(metadata, 'tokenizer.ggml.add_bos_token')
  const id = tokenIdOf(metadata, 'bos', tokens)
  if (isAdded === true && id === null)
    throw invalidModel('The file asks for a start token (add_bos_token), and names none (bos_token_id).')
  return id !== null && (isAdded ?? addsStart) ? [id] : []
}

function tokenIdOf(metadata: Metadata, name: string, tokens: number): number | null {
  const key = `tokenizer.ggml.${name}_token_id`
  const id = metadata.get(key)
  if (id === undefined) return null
  if (typeof id === 'number' && Number.isInteger(id) && id >= 0 && id < tokens) return id
  throw invalidModel(`${key} must be a token, 0 to ${tokens - 1}, and is ${String(id)}.`)
}
