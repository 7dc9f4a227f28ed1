/**
 * BLAKE3 of messages up to 1,024 bytes, one chunk, as a WebAssembly function that is written here at start-up. Block
 * hashes are short messages, one after the other, and nothing else is fast for them from the first call on: a native
 * call costs more than the hash, and JavaScript of this size runs ten times slower until it is compiled.
 */
import {
  ADD,
  GREATER,
  LESS_OR_EQUAL,
  OR,
  ROTATE_RIGHT,
  SELECT,
  SUBTRACT,
  WasmCode,
  wasmModule,
  XOR,
} from './wasm-code.ts'

export const CHUNK_BYTES = 1024
const BLOCK_BYTES = 64

/** Writes the 32-byte digest of `message`, at most CHUNK_BYTES, to `target` from `offset` on. */
export type HashChunk = (message: Uint8Array, target: Uint8Array, offset: number) => void

export async function compileChunkHash(): Promise<HashChunk> {
  const { instance } = await engine.instantiate(wasmModule(chunkCode(), LOCALS))
  const { memory, run } = instance.exports
  const input = new Uint8Array(memory.buffer, 0, CHUNK_BYTES)
  const digest = new Uint8Array(memory.buffer, DIGEST_AT, 32)
  return (message, target, offset) => {
    const bytes = message.length
    input.set(message)
    // The last block is filled up with zeros, and the block of an empty message is all zeros.
    const blocks = Math.max(1, Math.ceil(bytes / BLOCK_BYTES))
    if (bytes < blocks * BLOCK_BYTES) input.fill(0, bytes, blocks * BLOCK_BYTES)
    run(bytes)
    target.set(digest, offset)
  }
}

/** What is used of WebAssembly. It is part of the engine, but of none of the type libraries in use. */
interface Engine {
  instantiate(module: Uint8Array): Promise<{ readonly instance: { readonly exports: ModuleExports } }>
}

/** What `wasmModule` exports. */
interface ModuleExports {
  readonly memory: { readonly buffer: ArrayBuffer }
  readonly run: (bytes: number) => void
}

const { WebAssembly: engine } = globalThis as unknown as { readonly WebAssembly: Engine }

/** The message is at 0. */
const DIGEST_AT = CHUNK_BYTES

const IV = [0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19] as const
const ROUNDS = 7
/** Word i of a round's message is word PERMUTATION[i] of the message of the round before. */
const PERMUTATION = [2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8] as const
/** The words of the state that a quarter of a round mixes: columns, then diagonals. */
const QUARTERS = [
  [0, 4, 8, 12],
  [1, 5, 9, 13],
  [2, 6, 10, 14],
  [3, 7, 11, 15],
  [0, 5, 10, 15],
  [1, 6, 11, 12],
  [2, 7, 8, 13],
  [3, 4, 9, 14],
] as const
type Quarter = (typeof QUARTERS)[number]

/** Flags: first and last block of a chunk; the chunk is the root. */
const START = 1
const END_AND_ROOT = 2 | 8

// Locals: bytes that are left (the parameter); where the next block is; chaining value, state and message words.
const LEFT = 0
const AT = 1
const chaining = (index: number): number => 2 + index
const state = (index: number): number => 10 + index
const word = (index: number): number => 26 + index
const LOCALS = 1 + 8 + 16 + 16

function chunkCode(): WasmCode {
  const code = new WasmCode()
  for (const [index, value] of IV.entries()) code.constant(value).set(chaining(index))
  code.loopWhile(() => {
    writeBlock(code)
    code.get(AT).constant(BLOCK_BYTES).op(ADD).set(AT)
    code.get(LEFT).constant(BLOCK_BYTES).op(SUBTRACT).set(LEFT)
    code.get(LEFT).constant(0).op(GREATER)
  })
  for (const index of IV.keys())
    code
      .constant(DIGEST_AT + 4 * index)
      .get(chaining(index))
      .store()
  return code
}

function writeBlock(code: WasmCode): void {
  for (let index = 0; index < 16; index++)
    code
      .get(AT)
      .load(4 * index)
      .set(word(index))
  for (let index = 0; index < 8; index++) code.get(chaining(index)).set(state(index))
  for (let index = 0; index < 4; index++) code.constant(IV[index] ?? 0).set(state(8 + index))
  // The number of the chunk, in two words, is 0.
  code.constant(0).set(state(12)).constant(0).set(state(13))
  code.get(LEFT).constant(BLOCK_BYTES)
  writeIsLast(code).op(SELECT).set(state(14))
  code.constant(END_AND_ROOT).constant(0)
  writeIsLast(code).op(SELECT)
  code.constant(0).constant(START).get(AT).op(SELECT).op(OR).set(state(15))
  writeRounds(code)
  for (let index = 0; index < 8; index++) {
    code
      .get(state(index))
      .get(state(8 + index))
      .op(XOR)
      .set(chaining(index))
  }
}

function writeIsLast(code: WasmCode): WasmCode {
  return code.get(LEFT).constant(BLOCK_BYTES).op(LESS_OR_EQUAL)
}

function writeRounds(code: WasmCode): void {
  let order: readonly number[] = PERMUTATION.map((_, index) => index)
  for (let round = 0; round < ROUNDS; round++) {
    const words = order
    for (const [index, quarter] of QUARTERS.entries()) {
      writeHalf(code, quarter, words[2 * index] ?? 0, 16, 12)
      writeHalf(code, quarter, words[2 * index + 1] ?? 0, 8, 7)
    }
    order = PERMUTATION.map((from) => words[from] ?? 0)
  }
}

/** Half of a quarter: one word of the message goes in, and two words of the state are turned by so many bits. */
function writeHalf(code: WasmCode, quarter: Quarter, message: number, bitsOfD: number, bitsOfB: number): void {
  const [a, b, c, d] = [state(quarter[0]), state(quarter[1]), state(quarter[2]), state(quarter[3])]
  code.get(a).get(b).op(ADD).get(word(message)).op(ADD).set(a)
  code.get(d).get(a).op(XOR).constant(bitsOfD).op(ROTATE_RIGHT).set(d)
  code.get(c).get(d).op(ADD).set(c)
  code.get(b).get(c).op(XOR).constant(bitsOfB).op(ROTATE_RIGHT).set(b)
}
