/** Model files as llama.cpp writes them: metadata, then tensors. Versions 2 and 3, little-endian. */
import { type FileHandle, open, stat } from 'node:fs/promises'
import { MembraneError } from '../core/errors.ts'
import { LIMITS } from '../core/limits.ts'
import { invalidModel, NeedsMoreBytes } from './gguf-cursor.ts'
import { type GgufHeader, type GgufTensorInfo, parseHeader } from './gguf-header.ts'
import { isTensorType, TENSOR_TYPES, type TensorType } from './gguf-types.ts'

/** A tensor with its bytes, in memory of its own: `data.byteOffset` suits every typed array. */
export interface GgufTensor {
  readonly name: string
  /** Outermost axis first: the reverse of ggml's `ne`. The last axis is contiguous. */
  readonly shape: readonly number[]
  readonly type: TensorType
  /** Little-endian, rows without gaps. */
  readonly data: Uint8Array<ArrayBuffer>
}

/** A model file in memory. */
export interface Gguf extends Omit<GgufHeader, 'tensors'> {
  readonly tensors: ReadonlyMap<string, GgufTensor>
}

/** Most headers are shorter than the first; a small file is read whole. */
const FIRST_READ_BYTES = 1024 * 1024
/** One call of the operating system reads at most 2 GiB. */
const READ_BYTES_MAX = 1024 ** 3

/**
 * Reads a file with all its tensors, each byte once. Throws FILE_UNREADABLE; LIMIT_REACHED for a file above
 * `modelFileBytesMax`; INVALID_MODEL for a file that is malformed, cut short, big-endian, one of several parts, or has a
 * tensor of another type than F32, F16 and Q8_0.
 */
export async function readGguf(path: string): Promise<Gguf> {
  return await withFile(path, async (file, fileBytes) => {
    const header = await readHeader(file, fileBytes)
    const tensors = new Map<string, GgufTensor>()
    for (const { offset, bytes, ...tensor } of readableTensors(header)) {
      const data = new Uint8Array(bytes)
      await fill(file, data, offset)
      tensors.set(tensor.name, { ...tensor, data })
    }
    return { ...header, tensors }
  })
}

/** Reads what stands before the tensors, and nothing of them. Tensors may be of any type. Throws as `readGguf`. */
export async function readGgufHeader(path: string): Promise<GgufHeader> {
  return await withFile(path, readHeader)
}

interface ReadableTensor extends GgufTensorInfo {
  readonly type: TensorType
  readonly bytes: number
}

/** All tensors, of types that are read. Throws INVALID_MODEL for another one, and for a part of a model. */
export function readableTensors({ metadata, tensors }: GgufHeader): readonly ReadableTensor[] {
  const parts = metadata.get('split.count') ?? 1
  if (parts !== 1 && parts !== 0)
    throw invalidModel(`The file is one of ${String(parts)} parts of a model; models in one file are read.`)
  return [...tensors.values()].map(({ type, bytes, ...info }) => {
    if (isTensorType(type) && bytes !== null) return { ...info, type, bytes }
    const found = { name: info.name, type }
    throw invalidModel(`The tensor ${info.name} is of the type ${type}; ${TENSOR_TYPES.join(', ')} are read.`, found)
  })
}

async function withFile<T>(path: string, use: (file: FileHandle, fileBytes: number) => Promise<T>): Promise<T> {
  let file: FileHandle | undefined
  try {
    // Opening a pipe would wait for somebody to write to it.
    if (!(await stat(path)).isFile()) throw new MembraneError('FILE_UNREADABLE', `The model ${path} is no file.`)
    file = await open(path)
    const { size } = await file.stat()
    if (size > LIMITS.modelFileBytesMax)
      throw new MembraneError(
        'LIMIT_REACHED',
        `The model ${path} has ${size} bytes, at most ${LIMITS.modelFileBytesMax} are read.`,
      )
    return await use(file, size)
  } catch (error) {
    throw named(error, path)
  } finally {
    await file?.close()
  }
}

/** The same error with the file's name, which who parses does not know. */
function named(error: unknown, path: string): unknown {
  if (error instanceof MembraneError) {
    if (error.code !== 'INVALID_MODEL') return error
    const details = { ...error.details, path }
    return new MembraneError('INVALID_MODEL', `The model ${path} is not usable. ${error.message}`, { details })
  }
  if (error instanceof Error && 'syscall' in error)
    return new MembraneError('FILE_UNREADABLE', `The model ${path} cannot be read.`, {
      cause: error,
      details: { path },
    })
  return error
}

/** Parses more and more of the file's beginning until the header is whole: parsing never waits for bytes. */
async function readHeader(file: FileHandle, fileBytes: number): Promise<GgufHeader> {
  let bytes = new Uint8Array(0)
  let wantedBytes = FIRST_READ_BYTES
  for (;;) {
    const longer = new Uint8Array(Math.min(wantedBytes, fileBytes))
    longer.set(bytes)
    await fill(file, longer.subarray(bytes.byteLength), bytes.byteLength)
    bytes = longer
    try {
      return parseHeader(bytes, fileBytes)
    } catch (error) {
      if (!(error instanceof NeedsMoreBytes)) throw error
      wantedBytes = Math.max(error.bytes, 4 * bytes.byteLength)
    }
  }
}

async function fill(file: FileHandle, into: Uint8Array, position: number): Promise<void> {
  let filled = 0
  while (filled < into.byteLength) {
    const length = Math.min(READ_BYTES_MAX, into.byteLength - filled)
    const { bytesRead } = await file.read(into, filled, length, position + filled)
    if (bytesRead === 0)
      throw invalidModel(`The file was cut short while it was read: it ended at byte ${position + filled}.`)
    filled += bytesRead
  }
}
