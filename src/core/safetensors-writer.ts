/**
 * Writes safetensors files as the reference implementation does: tensors of wide elements first, then by name, the
 * header padded to 8 bytes. The same tensors and metadata give the same bytes in whatever order they are handed in,
 * so that equal content has one content hash.
 */
import { MembraneError } from './errors.ts'
import { LIMITS } from './limits.ts'
import { DTYPES, tensorBytes } from './safetensors-dtypes.ts'
import { METADATA_NAME } from './safetensors-header.ts'
import type { SafetensorsLayout, Tensor, TensorInfo, TensorPlace } from './safetensors.ts'

/** A payload to be streamed: the header, then the tensors' own bytes, not copied. */
export interface PayloadPieces {
  readonly payloadBytes: number
  readonly pieces: readonly Uint8Array[]
}

/** A file whose tensors are still to be filled in. */
export interface WritableLayout extends SafetensorsLayout {
  /** The first bytes of the payload; the first tensor follows at once. */
  readonly header: Uint8Array
}

/** Free text by name, for a file's `__metadata__`; without lone surrogates. */
export type Metadata = Readonly<Record<string, string>>

const NO_METADATA: Metadata = {}

/**
 * Where each tensor goes, so that somebody can compute its bytes in place. Throws INVALID_FRAGMENT for names that are
 * doubled or no text, shapes that are no sizes, and files beyond LIMITS.payloadBytesMax or safetensorsHeaderBytesMax.
 */
export function layOutSafetensors(tensors: readonly TensorInfo[], metadata = NO_METADATA): WritableLayout {
  const entries = sortedMetadata(metadata)
  const relative = placeEndToEnd(tensors.toSorted(compareTensors))
  const header = headerOf(relative, entries)
  const dataBytes = relative.at(-1)?.span.end ?? 0
  const payloadBytes = header.length + dataBytes
  if (payloadBytes > LIMITS.payloadBytesMax)
    throw invalid(`The payload takes ${payloadBytes} bytes, but ${LIMITS.payloadBytesMax} are the most.`)
  const places = relative.map((place) => ({
    ...place,
    span: { start: place.span.start + header.length, end: place.span.end + header.length },
  }))
  return { metadata: new Map(entries), tensors: places, payloadBytes, header }
}

/** The file in pieces, for a store that takes them one after the other. Throws INVALID_FRAGMENT as `layOutSafetensors`. */
export function safetensorsPieces(tensors: readonly Tensor[], metadata = NO_METADATA): PayloadPieces {
  const layout = layOutSafetensors(tensors, metadata)
  const dataOf = new Map(tensors.map(({ name, data }) => [name, data]))
  const pieces = layout.tensors.map(({ name, span }) => {
    const data = dataOf.get(name)
    const bytes = span.end - span.start
    if (data?.length !== bytes)
      throw invalid(`Tensor ${JSON.stringify(name)} must have ${bytes} bytes, by its shape; found ${data?.length}.`)
    return data
  })
  return { payloadBytes: layout.payloadBytes, pieces: [layout.header, ...pieces] }
}

/** The file in one array; each byte is copied once. Throws INVALID_FRAGMENT as `layOutSafetensors`. */
export function writeSafetensors(tensors: readonly Tensor[], metadata = NO_METADATA): Uint8Array {
  const { payloadBytes, pieces } = safetensorsPieces(tensors, metadata)
  const payload = new Uint8Array(payloadBytes)
  let offset = 0
  for (const piece of pieces) {
    payload.set(piece, offset)
    offset += piece.length
  }
  return payload
}

function placeEndToEnd(tensors: readonly TensorInfo[]): readonly TensorPlace[] {
  const names = new Set<string>()
  let offset = 0
  return tensors.map(({ name, dtype, shape }) => {
    const shown = JSON.stringify(name)
    if (name === METADATA_NAME || !name.isWellFormed()) throw invalid(`${shown} cannot be the name of a tensor.`)
    if (names.has(name)) throw invalid(`Two tensors have the name ${shown}.`)
    names.add(name)
    if (!shape.every((length) => Number.isSafeInteger(length) && length >= 0))
      throw invalid(`The shape of tensor ${shown} must be whole numbers; found [${shape.join()}].`)
    const bytes = tensorBytes(dtype, shape)
    if (bytes === null) throw invalid(`The shape [${shape.join()}] of tensor ${shown} is beyond 2^53 bytes.`)
    const span = { start: offset, end: offset + bytes }
    offset = span.end
    return { name, dtype, shape, span }
  })
}

function headerOf(places: readonly TensorPlace[], metadata: readonly (readonly [string, string])[]): Uint8Array {
  const entries = places.map(({ name, dtype, shape, span }) => {
    const info = JSON.stringify({ dtype, shape, data_offsets: [span.start, span.end] })
    return `${JSON.stringify(name)}:${info}`
  })
  if (metadata.length > 0) entries.unshift(`"${METADATA_NAME}":${jsonObject(metadata)}`)
  const text = new TextEncoder().encode(`{${entries.join()}}`)
  const headerBytes = Math.ceil(text.length / 8) * 8
  if (headerBytes > LIMITS.safetensorsHeaderBytesMax)
    throw invalid(`The header takes ${headerBytes} bytes, but ${LIMITS.safetensorsHeaderBytesMax} are the most.`)
  const header = new Uint8Array(8 + headerBytes).fill(0x20)
  new DataView(header.buffer).setBigUint64(0, BigInt(headerBytes), true)
  header.set(text, 8)
  return header
}

function sortedMetadata(metadata: Metadata): readonly (readonly [string, string])[] {
  const entries = Object.entries(metadata)
  for (const [name, text] of entries)
    if (!name.isWellFormed() || !text.isWellFormed())
      throw invalid(`Metadata ${JSON.stringify(name)} must be text without lone surrogates.`)
  return entries.toSorted(([a], [b]) => compareText(a, b))
}

/** Wide elements first, which aligns all of them. */
function compareTensors(a: TensorInfo, b: TensorInfo): number {
  return DTYPES.indexOf(b.dtype) - DTYPES.indexOf(a.dtype) || compareText(a.name, b.name)
}

/** In the order of UTF-8 bytes, as the reference implementation sorts; JavaScript's own puts surrogates too early. */
function compareText(a: string, b: string): number {
  let index = 0
  while (index < a.length && a[index] === b[index]) index += 1
  return rankOfUnit(a.charCodeAt(index)) - rankOfUnit(b.charCodeAt(index))
}

/** Past the end comes first; a surrogate, which stands for a character beyond U+FFFF, last. */
function rankOfUnit(unit: number): number {
  if (Number.isNaN(unit)) return -1
  return unit >= 0xd800 && unit < 0xe000 ? unit + 0x10000 : unit
}

/** Not through an object: one would sort names that look like numbers, and has no own `__proto__`. */
function jsonObject(entries: readonly (readonly [string, string])[]): string {
  return `{${entries.map(([name, text]) => `${JSON.stringify(name)}:${JSON.stringify(text)}`).join()}}`
}

function invalid(message: string): MembraneError {
  return new MembraneError('INVALID_FRAGMENT', message)
}
