/** What stands in a GGUF file before the tensors: metadata, and where each tensor lies. Pure; the bytes are handed in. */
import { LIMITS } from '../core/limits.ts'
import { GgufCursor, invalidModel } from './gguf-cursor.ts'
import { ggmlTypeOf } from './gguf-types.ts'
import { type GgufValue, readValue } from './gguf-value.ts'

/** A tensor in a file. */
export interface GgufTensorInfo {
  readonly name: string
  /** Outermost axis first: the reverse of ggml's `ne`. The last axis is contiguous. */
  readonly shape: readonly number[]
  /** ggml's name, such as `F16` or `Q4_K`; `type 99` for a number that this version does not know. */
  readonly type: string
  /** From the file's first byte on. */
  readonly offset: number
  /** Null for a type that this version does not know. */
  readonly bytes: number | null
}

/** A GGUF file without its data. */
export interface GgufHeader {
  readonly version: number
  /** Keys in the order of the file. */
  readonly metadata: ReadonlyMap<string, GgufValue>
  /** Names in the order of the file. */
  readonly tensors: ReadonlyMap<string, GgufTensorInfo>
  readonly fileBytes: number
}

const MAGIC = 0x46554747
const ALIGNMENT_BYTES = 32
/** Key of one byte, type and value of one byte; name of one byte, one axis, type and offset. */
const METADATA_BYTES_MIN = 8 + 1 + 4 + 1
const TENSOR_BYTES_MIN = 8 + 1 + 4 + 8 + 4 + 8

/**
 * Parses the header from the first bytes of a file of `fileBytes`. Throws INVALID_MODEL, and NeedsMoreBytes when the
 * header is longer than `bytes`.
 */
export function parseHeader(bytes: Uint8Array, fileBytes: number): GgufHeader {
  const cursor = new GgufCursor(bytes, fileBytes)
  const version = readVersion(cursor)
  const tensorCount = cursor.size('The number of tensors')
  const metadataCount = cursor.size('The number of metadata')
  if (metadataCount > LIMITS.ggufMetadataMax)
    throw invalidModel(`The file has ${metadataCount} metadata, at most ${LIMITS.ggufMetadataMax} are allowed.`)
  if (tensorCount > LIMITS.ggufTensorsMax)
    throw invalidModel(`The file has ${tensorCount} tensors, at most ${LIMITS.ggufTensorsMax} are allowed.`)
  cursor.expect(metadataCount * METADATA_BYTES_MIN + tensorCount * TENSOR_BYTES_MIN, 'The list of metadata and tensors')
  const metadata = readMetadata(cursor, metadataCount)
  const alignmentBytes = alignmentOf(metadata)
  const placed = Array.from({ length: tensorCount }, () => readTensorInfo(cursor))
  const start = Math.ceil(cursor.offset / alignmentBytes) * alignmentBytes
  const tensors = new Map<string, GgufTensorInfo>()
  for (const info of placed) {
    if (tensors.has(info.name)) throw invalidModel(`The file has two tensors ${info.name}.`)
    if (info.offset % alignmentBytes !== 0)
      throw invalidModel(`The tensor ${info.name} lies at ${info.offset}, which is no multiple of ${alignmentBytes}.`)
    tensors.set(info.name, { ...info, offset: start + info.offset })
  }
  checkPlaces([...tensors.values()], fileBytes)
  return { version, metadata, tensors, fileBytes }
}

function readVersion(cursor: GgufCursor): number {
  if (cursor.u32('The magic number') !== MAGIC) throw invalidModel('The file does not begin with GGUF.')
  const version = cursor.u32('The version')
  if (version === 2 || version === 3) return version
  if (version !== 0 && version % 2 ** 16 === 0)
    throw invalidModel('The file is a big-endian GGUF; only little-endian ones are read.')
  throw invalidModel(`The file is GGUF version ${version}; versions 2 and 3 are read.`)
}

function readMetadata(cursor: GgufCursor, count: number): ReadonlyMap<string, GgufValue> {
  const metadata = new Map<string, GgufValue>()
  const budget = { texts: LIMITS.ggufTextsMax }
  for (let index = 0; index < count; index++) {
    const key = cursor.text(`Metadata key ${index}`, LIMITS.ggufKeyBytesMax)
    if (metadata.has(key)) throw invalidModel(`The file has two metadata ${key}.`)
    metadata.set(key, readValue(cursor, key, budget))
  }
  return metadata
}

function alignmentOf(metadata: ReadonlyMap<string, GgufValue>): number {
  const bytes = metadata.get('general.alignment') ?? ALIGNMENT_BYTES
  if (
    typeof bytes === 'number' &&
    bytes >= 8 &&
    bytes <= LIMITS.ggufAlignmentBytesMax &&
    Number.isInteger(Math.log2(bytes))
  )
    return bytes
  throw invalidModel(
    `general.alignment must be a power of two from 8 to ${LIMITS.ggufAlignmentBytesMax}, and is ${String(bytes)}.`,
  )
}

function readTensorInfo(cursor: GgufCursor): GgufTensorInfo {
  const name = cursor.text('A tensor name', LIMITS.ggufTensorNameBytesMax)
  const what = `The tensor ${name}`
  const axes = cursor.u32(what)
  if (axes < 1 || axes > LIMITS.ggufTensorAxesMax)
    throw invalidModel(`${what} has ${axes} axes, 1 to ${LIMITS.ggufTensorAxesMax} are allowed.`)
  const shape = Array.from({ length: axes }, () => cursor.size(what)).reverse()
  const id = cursor.u32(what)
  const type = ggmlTypeOf(id)
  const offset = cursor.size(what)
  const elements = shape.reduce((product, length) => product * length, 1)
  if (elements < 1 || elements > Number.MAX_SAFE_INTEGER)
    throw invalidModel(
      `${what} has the shape ${shape.join(' x ')}: every axis must be at least 1, and the product exact.`,
    )
  if (type === null) return { name, shape, type: `type ${id}`, offset, bytes: null }
  const row = shape.at(-1) ?? 0
  if (row % type.blockElements !== 0)
    throw invalidModel(
      `${what} has rows of ${row} numbers, which ${type.name} cannot hold: it takes ${type.blockElements} at a time.`,
    )
  return { name, shape, type: type.name, offset, bytes: (elements / type.blockElements) * type.blockBytes }
}

/** Every tensor lies in the file, and no two share a byte. */
function checkPlaces(tensors: readonly GgufTensorInfo[], fileBytes: number): void {
  let before: GgufTensorInfo | null = null
  for (const tensor of tensors.toSorted((a, b) => a.offset - b.offset)) {
    const end = tensor.offset + (tensor.bytes ?? 1)
    if (end > fileBytes)
      throw invalidModel(
        `The file ends too early. The tensor ${tensor.name} ends at byte ${end}, and the file has ${fileBytes} in all.`,
        { fileBytes, neededBytes: end },
      )
    if (before !== null && before.offset + (before.bytes ?? 1) > tensor.offset)
      throw invalidModel(`The tensors ${before.name} and ${tensor.name} overlap at byte ${tensor.offset}.`)
    before = tensor
  }
}
