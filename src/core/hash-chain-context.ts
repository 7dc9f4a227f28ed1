/** Checks what a hash chain is given, once for each prompt, and brings texts and media into the form that chains hash. */
import { MembraneError } from './errors.ts'
import { CHAIN_EXTRAS, type ChainContext, type ChainExtra, type ChainId, type MediaSpan } from './hash-chain.ts'
import type { ModelFingerprint } from './ids.ts'
import { LIMITS } from './limits.ts'

/** Absent texts are empty. */
export interface CheckedContext {
  readonly model: ModelFingerprint
  readonly modelName: Uint8Array
  readonly tenantSalt: Uint8Array
  readonly adapter: Uint8Array
  readonly cacheSalt: Uint8Array
  readonly media: readonly CheckedMedia[]
}

export interface CheckedMedia {
  readonly identifier: Uint8Array
  /** Tokens of the prompt, `[start, end)`. */
  readonly start: number
  readonly end: number
}

/** Throws INVALID_REQUEST. */
export function checkContext(id: ChainId, binds: readonly ChainExtra[], context: ChainContext): CheckedContext {
  for (const extra of CHAIN_EXTRAS) {
    const given = context[extra]
    if (given !== undefined && given.length > 0 && !binds.includes(extra)) throw inexpressible(id, binds, extra)
  }
  return {
    model: context.model,
    modelName: encodeText('The model name', context.modelName),
    tenantSalt: encodeText('The tenant salt', context.tenantSalt),
    adapter: encodeText('The adapter', context.adapter),
    cacheSalt: encodeText('The cache salt', context.cacheSalt),
    media: checkMedia(context.media ?? []),
  }
}

/** UTF-8. Throws INVALID_REQUEST when it is too long, or holds half a surrogate pair, which has no encoding. */
export function encodeText(what: string, text: string | undefined): Uint8Array {
  if (text === undefined || text === '') return EMPTY
  const bytes = encoder.encode(text)
  if (text.isWellFormed() && bytes.length <= LIMITS.chainTextBytesMax) return bytes
  throw new MembraneError(
    'INVALID_REQUEST',
    text.isWellFormed()
      ? `${what} is at most ${LIMITS.chainTextBytesMax} bytes, found ${bytes.length}.`
      : `${what} is well-formed text, found half a surrogate pair.`,
    { details: { bytes: bytes.length, bytesMax: LIMITS.chainTextBytesMax } },
  )
}

const EMPTY = new Uint8Array(0)
const encoder = new TextEncoder()

function checkMedia(media: readonly MediaSpan[]): readonly CheckedMedia[] {
  if (media.length > LIMITS.chainMediaMax) {
    throw new MembraneError(
      'INVALID_REQUEST',
      `A prompt has at most ${LIMITS.chainMediaMax} media, found ${media.length}.`,
      { details: { media: media.length, mediaMax: LIMITS.chainMediaMax } },
    )
  }
  let free = 0
  return media.map(({ identifier, tokens: { start, end } }, index) => {
    const isSpan = Number.isInteger(start) && Number.isInteger(end) && start < end && end <= LIMITS.requestTokensMax
    if (!isSpan || start < free || identifier === '') {
      throw new MembraneError(
        'INVALID_REQUEST',
        `Media have an identifier and tokens [start, end) in order and without overlap; ` +
          `number ${index} is ${JSON.stringify(identifier)} at [${start}, ${end}), the one before ends at ${free}.`,
        { details: { index, start, end } },
      )
    }
    free = end
    return { identifier: encodeText(`The identifier of medium ${index}`, identifier), start, end }
  })
}

function inexpressible(id: ChainId, binds: readonly ChainExtra[], extra: ChainExtra): MembraneError {
  const expressible = binds.length === 0 ? 'none' : binds.map((name) => WORDS[name]).join(', ')
  return new MembraneError(
    'INVALID_REQUEST',
    `Chain ${id} cannot express ${WORDS[extra]}: its hashes would be those of another context. It expresses ${expressible}.`,
    {
      details: { chain: id, extra },
      remedy:
        extra === 'tenantSalt' && binds.includes('cacheSalt')
          ? 'Give the salt as the cache salt, to the engines as well, or use chain blake3.'
          : 'Use chain blake3, or leave such requests out of what is shared.',
    },
  )
}

const WORDS: Readonly<Record<ChainExtra, string>> = {
  tenantSalt: 'a tenant salt',
  adapter: 'an adapter',
  cacheSalt: 'a cache salt',
  media: 'media',
}
