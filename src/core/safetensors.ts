/**
 * Reads safetensors files, the field's container of tensors, strictly: whatever is accepted here, every other reader
 * sees alike, every byte of it belongs to one tensor, and every tensor can be viewed as numbers without a copy.
 *
 *   8 bytes: length of the header, little-endian | header: JSON, padded with spaces | data of the tensors, end to end
 */
import { MembraneError } from './errors.ts'
import { LIMITS } from './limits.ts'
import type { Span } from './fragment.ts'
import { DTYPE_BYTES, type Dtype, DTYPES, isDtype, tensorBytes } from './safetensors-dtypes.ts'
import { type HeaderTensor, parseHeaderText } from './safetensors-header.ts'

/** What a tensor is, without its bytes. `shape` is empty for a single number; axes in C order, numbers little-endian. */
export interface TensorInfo {
  readonly name: string
  readonly dtype: Dtype
  readonly shape: readonly number[]
}

/** `data` may be a view of a larger buffer. */
export interface Tensor extends TensorInfo {
  readonly data: Uint8Array
}

/** Where a tensor lies: `span` counts from the start of the payload. */
export interface TensorPlace extends TensorInfo {
  readonly span: Span
}

/** A file without its data, enough to read single tensors of it. */
export interface SafetensorsLayout {
  readonly metadata: ReadonlyMap<string, string>
  /** In the order of their bytes. */
  readonly tensors: readonly TensorPlace[]
  readonly payloadBytes: number
}

/** A file that was read. */
export interface Safetensors {
  readonly metadata: ReadonlyMap<string, string>
  /** In the order of their bytes, each a view of the payload. */
  readonly tensors: readonly Tensor[]
}

/** Bytes of the number that stands before the header. */
const LENGTH_BYTES = 8

/** Throws INVALID_FRAGMENT that says where the payload breaks the format and what was expected. Copies no data. */
export function readSafetensors(payload: Uint8Array): Safetensors {
  const { metadata, tensors } = readSafetensorsLayout(payload, payload.length)
  return {
    metadata,
    tensors: tensors.map(({ name, dtype, shape, span }) => ({
      name,
      dtype,
      shape,
      data: payload.subarray(span.start, span.end),
    })),
  }
}

/**
 * How many bytes of a payload, from its first on, `readSafetensorsLayout` needs: 8 to LIMITS.safetensorsHeaderBytesMax + 8.
 * Takes the first 8 bytes or more. Throws INVALID_FRAGMENT.
 */
export function safetensorsHeaderEnd(start: Uint8Array, payloadBytes: number): number {
  if (start.length < LENGTH_BYTES || payloadBytes < LENGTH_BYTES)
    throw invalid(`A safetensors file begins with ${LENGTH_BYTES} bytes of length; found ${start.length} bytes.`)
  const view = new DataView(start.buffer, start.byteOffset, LENGTH_BYTES)
  const headerBytes = view.getUint32(0, true) + view.getUint32(4, true) * 2 ** 32
  if (headerBytes > LIMITS.safetensorsHeaderBytesMax)
    throw invalid(`A safetensors header takes at most ${LIMITS.safetensorsHeaderBytesMax} bytes; found ${headerBytes}.`)
  if (headerBytes > payloadBytes - LENGTH_BYTES)
    throw invalid(`The header should take ${headerBytes} bytes, but only ${payloadBytes - LENGTH_BYTES} follow.`)
  if (headerBytes % LENGTH_BYTES !== 0)
    throw invalid(
      `A header takes a multiple of ${LENGTH_BYTES} bytes, so that tensors are aligned; found ${headerBytes}.`,
      {
        remedy: 'Pad the header with spaces, as the reference implementation does.',
      },
    )
  return LENGTH_BYTES + headerBytes
}

/**
 * Reads the header alone. `start` holds the payload's first bytes, `safetensorsHeaderEnd` of them or more;
 * `payloadBytes` is the length of all. Throws INVALID_FRAGMENT.
 */
export function readSafetensorsLayout(start: Uint8Array, payloadBytes: number): SafetensorsLayout {
  const headerEnd = safetensorsHeaderEnd(start, payloadBytes)
  if (start.length < headerEnd)
    throw invalid(`${headerEnd} bytes are needed to read the header; found ${start.length}.`)
  const { metadata, tensors } = parseHeaderText(decodeHeader(start.subarray(LENGTH_BYTES, headerEnd)))
  const dataBytes = payloadBytes - headerEnd
  const places = tensors
    .toSorted((a, b) => a.start - b.start || a.end - b.end)
    .map((tensor) => ({ ...infoOf(tensor), span: { start: headerEnd + tensor.start, end: headerEnd + tensor.end } }))
  checkCover(places, headerEnd, payloadBytes, dataBytes)
  return { metadata, tensors: places, payloadBytes }
}

function decodeHeader(header: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(header)
  } catch (cause) {
    throw invalid('A safetensors header must be UTF-8; found bytes that are not.', { cause })
  }
}

function infoOf({ name, dtype, shape, start, end }: HeaderTensor): TensorInfo {
  if (!isDtype(dtype)) throw wrong(name, `a dtype of ${DTYPES.join(', ')}`, JSON.stringify(dtype))
  const bytes = tensorBytes(dtype, shape)
  if (bytes === null) throw wrong(name, 'a shape of less than 2^53 bytes', `[${shape.join()}] of ${dtype}`)
  if (end - start !== bytes)
    throw wrong(name, `data_offsets ${bytes} bytes apart for [${shape.join()}] of ${dtype}`, `[${start}, ${end}]`)
  if (start % DTYPE_BYTES[dtype] !== 0)
    throw wrong(name, `a start that is a multiple of ${DTYPE_BYTES[dtype]}, the size of ${dtype}`, String(start))
  return { name, dtype, shape }
}

/** The tensors must lie end to end and fill the data: a hole could hide bytes, an overlap make one byte two numbers. */
function checkCover(places: readonly TensorPlace[], headerEnd: number, payloadBytes: number, dataBytes: number): void {
  let end = headerEnd
  for (const { name, span } of places) {
    const expected = end - headerEnd
    if (span.start !== end)
      throw wrong(name, `data that begins at ${expected}, where what is before it ends`, String(span.start - headerEnd))
    end = span.end
  }
  if (end !== payloadBytes)
    throw invalid(`The tensors take ${end - headerEnd} bytes, but ${dataBytes} bytes follow the header.`)
}

function wrong(name: string, expected: string, found: string): MembraneError {
  const shown = JSON.stringify(name.length > 100 ? `${name.slice(0, 100)}…` : name)
  return invalid(`Tensor ${shown} must have ${expected}; found ${found}.`, { details: { tensor: name } })
}

function invalid(message: string, options: ConstructorParameters<typeof MembraneError>[2] = {}): MembraneError {
  return new MembraneError('INVALID_FRAGMENT', message, options)
}
