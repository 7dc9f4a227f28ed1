/**
 * The file in which llama.cpp keeps the KV of one sequence, into rows and back, bit for bit. Little-endian:
 *
 *   "ggsq" | version 3 | tokens, ids | streams 1 | cells, each: position, sequences 1, sequence 0
 *   V transposed 0 | layers | of each layer, first all keys: type, bytes of a row (8 bytes), one row for each cell
 *
 * Only files of one plain attention cache with flash attention, whose V are rows as well; cells in order of positions.
 * Whatever else a file may hold is refused: one wrong number in it lets llama.cpp end the process.
 */
import { assert, MembraneError } from '../core/errors.ts'
import { LIMITS } from '../core/limits.ts'

/** Element types of rows, as ggml numbers them, and bytes of the smallest group of numbers. */
export const GGML_TYPES = {
  F32: { id: 0, groupBytes: 4 },
  F16: { id: 1, groupBytes: 2 },
  Q8_0: { id: 8, groupBytes: 34 },
} as const
/** An element type of keys and values. */
export type LlamaKvType = keyof typeof GGML_TYPES

/** The keys or the values of one layer. */
export interface LlamaRows {
  readonly type: LlamaKvType
  /** Bytes of one token's row. */
  readonly rowBytes: number
  /** Rows end to end, one for each token. */
  readonly data: Uint8Array
}

/** What a state file says, for tokens at positions 0 on. Keys are rotated already. */
export interface LlamaState {
  /** As noted beside the KV; llama.cpp computes nothing from them. */
  readonly tokenIds: Uint32Array
  /** One for each layer. */
  readonly keys: readonly LlamaRows[]
  readonly values: readonly LlamaRows[]
}

const MAGIC = 0x67677371
const VERSION = 3
/** Of numbers besides tokens, cells and layers: magic, version, tokens, streams, cells, transposed, layers. */
const FIXED_BYTES = 4 * 7
const CELL_BYTES = 4 * 3
const ROWS_HEAD_BYTES = 4 + 8

/** Rows are views of the file. Throws INVALID_FRAGMENT that says what was expected and what was found. */
export function parseLlamaState(file: Uint8Array): LlamaState {
  const reader = new Reader(file)
  reader.require(MAGIC, 'the mark "ggsq"')
  reader.require(VERSION, 'version 3')
  const tokens = reader.count('tokens', 4)
  const tokenIds = Uint32Array.from({ length: tokens }, () => reader.u32())
  reader.require(1, '1 stream')
  reader.require(tokens, `${tokens} cells, as many as tokens`)
  for (let position = 0; position < tokens; position++) {
    reader.require(position, `position ${position} in the cell of that number`)
    reader.require(1, `1 sequence in cell ${position}`)
    reader.require(0, `sequence 0 in cell ${position}`)
  }
  reader.require(0, 'V by rows, as with flash attention')
  const layers = reader.count('layers', ROWS_HEAD_BYTES)
  if (layers > LIMITS.fragmentLayersMax) throw invalid(`at most ${LIMITS.fragmentLayersMax} layers`, String(layers))
  const keys = Array.from({ length: layers }, () => reader.rows(tokens))
  const values = Array.from({ length: layers }, () => reader.rows(tokens))
  reader.end()
  return { tokenIds, keys, values }
}

/** The file that llama.cpp itself would write. Copies every row once. */
export function buildLlamaState({ tokenIds, keys, values }: LlamaState): Uint8Array {
  assert(keys.length === values.length, 'every layer has keys and values')
  const rows = [...keys, ...values]
  const bytes = rows.reduce(
    (sum, { data }) => sum + ROWS_HEAD_BYTES + data.length,
    FIXED_BYTES + (4 + CELL_BYTES) * tokenIds.length,
  )
  const file = new Uint8Array(bytes)
  const view = new DataView(file.buffer)
  let offset = 0
  const put = (...numbers: readonly number[]): void => {
    for (const number of numbers) {
      view.setUint32(offset, number, true)
      offset += 4
    }
  }
  put(MAGIC, VERSION, tokenIds.length)
  for (const id of tokenIds) put(id)
  put(1, tokenIds.length)
  for (const position of tokenIds.keys()) put(position, 1, 0)
  put(0, keys.length)
  for (const { type, rowBytes, data } of rows) {
    assert(data.length === rowBytes * tokenIds.length, 'there is a row for each token')
    put(GGML_TYPES[type].id, rowBytes, 0)
    file.set(data, offset)
    offset += data.length
  }
  assert(offset === bytes, 'the file is as long as its parts')
  return file
}

/** Walks over the file; every length is compared with what is left before anything is made of it. */
class Reader {
  readonly #file: Uint8Array
  readonly #view: DataView
  #offset = 0

  constructor(file: Uint8Array) {
    this.#file = file
    this.#view = new DataView(file.buffer, file.byteOffset, file.byteLength)
  }

  u32(): number {
    return this.#view.getUint32(this.#take(4), true)
  }

  require(expected: number, what: string): void {
    const offset = this.#offset
    const found = this.u32()
    if (found !== expected) throw invalid(what, `${found} at byte ${offset}`)
  }

  count(what: string, bytesOfEach: number): number {
    const count = this.u32()
    const left = this.#file.length - this.#offset
    if (count === 0 || count > left / bytesOfEach)
      throw invalid(`1 to ${Math.floor(left / bytesOfEach)} ${what} in ${left} bytes`, String(count))
    return count
  }

  rows(cells: number): LlamaRows {
    const id = this.u32()
    const type = KV_TYPES.find((name) => GGML_TYPES[name].id === id)
    if (type === undefined) throw invalid(`rows of ${KV_TYPES.join(', ')}`, `type ${id}`)
    const rowBytes = this.u32()
    this.require(0, 'rows of less than 4 GiB')
    const { groupBytes } = GGML_TYPES[type]
    if (rowBytes === 0 || rowBytes % groupBytes !== 0)
      throw invalid(`rows of a multiple of ${groupBytes} bytes`, String(rowBytes))
    const start = this.#take(rowBytes * cells)
    return { type, rowBytes, data: this.#file.subarray(start, this.#offset) }
  }

  end(): void {
    const left = this.#file.length - this.#offset
    if (left > 0) throw invalid('an end after the last row', `${left} more bytes`)
  }

  #take(bytes: number): number {
    const start = this.#offset
    const left = this.#file.length - start
    if (bytes > left) throw invalid(`${bytes} more bytes at byte ${start}`, String(left))
    this.#offset = start + bytes
    return start
  }
}

const KV_TYPES = Object.keys(GGML_TYPES) as readonly LlamaKvType[]

function invalid(expected: string, found: string): MembraneError {
  return new MembraneError('INVALID_FRAGMENT', `A state of llama.cpp must have ${expected}; found ${found}.`)
}
