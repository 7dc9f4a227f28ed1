/** How a model file says that conversations are to be written. */
import type { ChatForm } from '../core/compute.ts'
import { type Metadata, TOKEN_KINDS, textsOf } from './tokenizer-vocabulary.ts'

/** Null when the file has no template: the model continues texts. Throws INVALID_MODEL for a vocabulary that is malformed. */
export function chatFormOf({ metadata }: { readonly metadata: Metadata }): ChatForm | null {
  const template = metadata.get('tokenizer.chat_template')
  if (typeof template !== 'string' || template.trim() === '') return null
  const tokens = textsOf(metadata, 'tokenizer.ggml.tokens')
  const kinds = metadata.get('tokenizer.ggml.token_type')
  const specialTokens = new Map<string, number>()
  if (kinds instanceof Int32Array || kinds instanceof Uint32Array) {
    for (const [id, token] of tokens.entries()) {
      // User-defined tokens are found in any text.
      if (token !== '' && kinds[id] === TOKEN_KINDS.control) specialTokens.set(token, id)
    }
  }
  const textOf = (name: string): string => {
    const id = metadata.get(`tokenizer.ggml.${name}_token_id`)
    return (typeof id === 'number' ? tokens[id] : undefined) ?? ''
  }
  return { template, specialTokens, startText: textOf('bos'), endText: textOf('eos') }
}
