/**
 * A fragment as one body, for what needs more than bytes under a key: the length of its description, four bytes little
 * endian; the description, as a store entry's head has it; then the payload. Media type FRAGMENT_TYPE.
 */
import { MembraneError } from '../core/errors.ts'
import { decodeDescription, encodeDescription } from '../core/fragment-codec.ts'
import type { FragmentDescription } from '../core/fragment.ts'
import { LIMITS } from '../core/limits.ts'

/** Media type of a description and a payload in one body. */
export const FRAGMENT_TYPE = 'application/vnd.membrane.fragment'

/** Bytes before the description. */
const FRAME_PREFIX_BYTES = 4

/** What comes before the payload. Throws INVALID_FRAGMENT. */
export function encodeFrameStart(description: FragmentDescription): Uint8Array {
  const encoded = encodeDescription(description)
  const start = new Uint8Array(FRAME_PREFIX_BYTES + encoded.length)
  new DataView(start.buffer).setUint32(0, encoded.length, true)
  start.set(encoded, FRAME_PREFIX_BYTES)
  return start
}

/** The description and where the payload begins. Throws INVALID_FRAGMENT. */
export function decodeFrameStart(body: Uint8Array): {
  readonly description: FragmentDescription
  readonly payloadStart: number
} {
  const length = body.length < FRAME_PREFIX_BYTES ? -1 : new DataView(body.buffer, body.byteOffset).getUint32(0, true)
  const payloadStart = FRAME_PREFIX_BYTES + length
  if (length < 0 || length > LIMITS.storeHeadBytesMax || payloadStart > body.length)
    throw new MembraneError(
      'INVALID_FRAGMENT',
      `A body of type ${FRAGMENT_TYPE} begins with the length of its description, at most ${LIMITS.storeHeadBytesMax} bytes; found ${length} in ${body.length} bytes.`,
    )
  return { description: decodeDescription(body.subarray(FRAME_PREFIX_BYTES, payloadStart)), payloadStart }
}
