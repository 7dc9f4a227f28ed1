/**
 * Keys of providers. They come from the environment or a file, go into one header of a request, and nowhere else: a key
 * does not print, and what others say is searched for it before anybody reads it.
 */
import { open } from 'node:fs/promises'
import type { BackendName } from '../core/compute.ts'
import { MembraneError } from '../core/errors.ts'
import { LIMITS } from '../core/limits.ts'

/** Names of backends that take keys. */
export type ProviderName = Extract<BackendName, 'openai' | 'anthropic' | 'ollama'>

/** Where a key may come from, the first that is there: the file, MEMBRANE_LLM_API_KEY, the provider's own variable. */
export interface ApiKeySources {
  readonly environment: Readonly<Record<string, string | undefined>>
  /** Whose own variable is read: OPENAI_API_KEY, ANTHROPIC_API_KEY; Ollama has none. */
  readonly provider: ProviderName
  /** A file of one line; null for none. */
  readonly file?: string | null
}

const OWN_VARIABLES: Readonly<Record<ProviderName, string | null>> = {
  openai: 'OPENAI_API_KEY',
  anthropic: 'ANTHROPIC_API_KEY',
  ollama: null,
}
const SHARED_VARIABLE = 'MEMBRANE_LLM_API_KEY'

/** Parts of a key that are at least so long are taken out of texts too: some servers repeat its beginning or its end. */
const TELLING_CHARACTERS = 8

/** A secret that does not print: `util.inspect`, `JSON.stringify` and `String` show none of it. */
export class ApiKey {
  readonly #text: string

  private constructor(text: string) {
    this.#text = text
  }

  /**
   * White space around it is dropped. Throws INVALID_CONFIG, without the text, for one that is empty, longer than
   * LIMITS.apiKeyCharactersMax, or not printable ASCII in one line. `source` says where it came from, for the message.
   */
  static parse(text: string, source: string): ApiKey {
    const key = text.trim()
    if (key.length <= LIMITS.apiKeyCharactersMax && /^[\x21-\x7e]+$/.test(key)) return new ApiKey(key)
    throw new MembraneError(
      'INVALID_CONFIG',
      `The key in ${source} is not one line of 1 to ${LIMITS.apiKeyCharactersMax} printable characters.`,
      { details: { source } },
    )
  }

  /** The key itself, to be sent. */
  reveal(): string {
    return this.#text
  }

  /** The text without the key, and without any part of it of 8 characters or more. */
  redact(text: string): string {
    const shortest = Math.min(TELLING_CHARACTERS, this.#text.length)
    let clean = ''
    for (let at = 0; at < text.length; ) {
      let end = at + shortest
      if (end > text.length || !this.#text.includes(text.slice(at, end))) {
        clean += text[at++]
        continue
      }
      while (end < text.length && this.#text.includes(text.slice(at, end + 1))) end++
      clean += '[key]'
      at = end
    }
    return clean
  }

  toString(): string {
    return '[key]'
  }

  toJSON(): string {
    return '[key]'
  }
}

/**
 * Null when no source has a key; a variable that is empty counts as none. A key goes to whatever base URL it is used with:
 * give one of its own to a server that is not the provider's. Throws INVALID_CONFIG, FILE_UNREADABLE.
 */
export async function apiKeyFrom({ environment, provider, file = null }: ApiKeySources): Promise<ApiKey | null> {
  if (file !== null) return ApiKey.parse(await readKeyFile(file), `the file ${file}`)
  for (const name of [SHARED_VARIABLE, OWN_VARIABLES[provider]]) {
    const text = name === null ? '' : (environment[name] ?? '')
    if (text.trim() !== '') return ApiKey.parse(text, `${name}`)
  }
  return null
}

async function readKeyFile(path: string): Promise<string> {
  const bytes = new Uint8Array(LIMITS.apiKeyCharactersMax + 1)
  let length = 0
  try {
    const file = await open(path, 'r')
    try {
      for (let read = 1; read > 0 && length < bytes.length; length += read) {
        read = (await file.read(bytes, length, bytes.length - length, null)).bytesRead
      }
    } finally {
      await file.close()
    }
  } catch (cause) {
    throw new MembraneError('FILE_UNREADABLE', `The file ${path} that should hold a key cannot be read.`, {
      cause,
      details: { path },
    })
  }
  // One byte a character: whatever is not ASCII is refused, and never decoded.
  return Buffer.from(bytes.subarray(0, length)).toString('latin1')
}
