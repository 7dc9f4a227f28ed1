/**
 * The tokenizer of a simulated model: a token for each byte, so that any text can be encoded, and above them words that
 * no text is encoded to, which say of themselves that they are simulated. The model likes those best, so nobody takes
 * its answers for those of a trained one.
 */
import type { TokenDecoder, Tokenizer } from '../core/compute.ts'
import { MembraneError } from '../core/errors.ts'

const START_TOKEN = 256
const END_TOKEN = 257
/** Tokens from here on are words. */
export const FIRST_WORD = 258

export function simulatedTokenizer(vocabularyTokens: number): Tokenizer {
  const bytesOf = (tokenId: number): Uint8Array => {
    if (!Number.isInteger(tokenId) || tokenId < 0 || tokenId >= vocabularyTokens)
      throw new MembraneError(
        'INVALID_REQUEST',
        `A token id is a whole number below ${vocabularyTokens}; found ${tokenId}.`,
      )
    if (tokenId < START_TOKEN) return Uint8Array.of(tokenId)
    if (tokenId < FIRST_WORD) return NOTHING
    return encoder.encode(` simulated-${tokenId - FIRST_WORD}`)
  }
  const decoder = (): TokenDecoder => {
    const characters = new TextDecoder('utf-8', { ignoreBOM: true })
    return {
      push: (tokenId) => characters.decode(bytesOf(tokenId), { stream: true }),
      end: () => characters.decode(),
    }
  }
  return {
    vocabularyTokens,
    startTokens: [START_TOKEN],
    endTokens: [END_TOKEN],
    encode: (text) => Uint32Array.from(encoder.encode(text)),
    decode: (tokenIds) => {
      const characters = decoder()
      const texts = Array.from(tokenIds, (tokenId) => characters.push(tokenId))
      return `${texts.join('')}${characters.end()}`
    },
    decoder,
  }
}

const encoder = new TextEncoder()
const NOTHING = new Uint8Array(0)
