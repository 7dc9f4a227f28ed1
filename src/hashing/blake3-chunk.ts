/**
 * BLAKE3 of messages up to 1,024 bytes, one chunk, as a WebAssembly function that is written here at start-up. Block
 * hashes are short messages, one after the other, and nothing else is fast for them from the first call on: a native
 * call costs more than the hash, and JavaScript of this size runs some hundred times slower until it is compiled.
 */
export const CHUNK_BYTES = 1024

/** Writes the 32-byte digest of `message`, at most CHUNK_BYTES, to `target` from `offset` on. */
export type HashChunk = (message: Uint8Array, target: Uint8Array, offset: number) => void

export async function compileChunkHash(): Promise<HashChunk> {
  const { instance } = await engine.instantiate(moduleBytes())
  const { memory, hash: run } = instance.exports
  const input = new Uint8Array(memory.buffer, 0, CHUNK_BYTES)
  const digest = new Uint8Array(memory.buffer, DIGEST_AT, 32)
  return (message, target, offset) => {
    const bytes = message.length
    input.set(message)
    // The last block of 64 bytes is filled up with zeros.
    if ((bytes & 63) !== 0 || bytes === 0) input.fill(0, bytes, (bytes | 63) + 1)
    run(bytes)
    target.set(digest, offset)
  }
}

/** What is used of WebAssembly, which is part of the engine, and of no library of types that is in use here. */
interface Engine {
  instantiate(module: Uint8Array): Promise<{ readonly instance: { readonly exports: ModuleExports } }>
}

/** What `moduleBytes` exports. */
interface ModuleExports {
  readonly memory: { readonly buffer: ArrayBuffer }
  readonly hash: (bytes: number) => void
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

/** Flags: first and last block of a chunk; the chunk is the root. */
const START = 1
const END_AND_ROOT = 2 | 8

// Locals: the parameter, bytes that are left; where the next block is; chaining value, state and message words.
const LEFT = 0
const AT = 1
const chaining = (index: number): number => 2 + index
const state = (index: number): number => 10 + index
const word = (index: number): number => 26 + index
const LOCALS = 1 + 8 + 16 + 16

function moduleBytes(): Uint8Array<ArrayBuffer> {
  const locals = [1, ...leb(LOCALS), I32]
  const body = [...locals, ...functionCode(), END]
  return Uint8Array.from([
    ...[0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
    ...section(1, [1, 0x60, 1, I32, 0]), // one type: (i32) -> ()
    ...section(3, [1, 0]), // one function of it
    ...section(5, [1, 0, 1]), // one memory of one page
    ...section(7, [2, ...name('memory'), 2, 0, ...name('hash'), 0, 0]),
    ...section(10, [1, ...leb(body.length), ...body]),
  ])
}

/** Code of a stack machine: operands first. */
function functionCode(): readonly number[] {
  const code: number[] = []
  for (let index = 0; index < 8; index++) code.push(...constant(IV[index] ?? 0), ...set(chaining(index)))
  code.push(LOOP, VOID, ...blockCode(), ...get(LEFT), ...constant(0), GREATER, BR_IF, 0, END)
  for (let index = 0; index < 8; index++) {
    code.push(...constant(DIGEST_AT + 4 * index), ...get(chaining(index)), STORE, 2, 0)
  }
  return code
}

function blockCode(): readonly number[] {
  const code: number[] = []
  for (let index = 0; index < 16; index++) code.push(...get(AT), LOAD, 2, ...leb(4 * index), ...set(word(index)))
  for (let index = 0; index < 8; index++) code.push(...get(chaining(index)), ...set(state(index)))
  for (let index = 0; index < 4; index++) code.push(...constant(IV[index] ?? 0), ...set(state(8 + index)))
  // The number of the chunk, 64 bits, is 0.
  code.push(...constant(0), ...set(state(12)), ...constant(0), ...set(state(13)))
  const isLast = [...get(LEFT), ...constant(64), LESS_OR_EQUAL]
  code.push(...get(LEFT), ...constant(64), ...isLast, SELECT, ...set(state(14)))
  code.push(...constant(END_AND_ROOT), ...constant(0), ...isLast, SELECT)
  code.push(...constant(0), ...constant(START), ...get(AT), SELECT, OR, ...set(state(15)))
  let order: readonly number[] = Array.from({ length: 16 }, (_, index) => index)
  for (let round = 0; round < ROUNDS; round++) {
    const words = order
    for (const [index, quarter] of QUARTERS.entries()) {
      code.push(...quarterCode(quarter, words[2 * index] ?? 0, words[2 * index + 1] ?? 0))
    }
    order = PERMUTATION.map((from) => words[from] ?? 0)
  }
  for (let index = 0; index < 8; index++) {
    code.push(...get(state(index)), ...get(state(8 + index)), XOR, ...set(chaining(index)))
  }
  code.push(...get(AT), ...constant(64), ADD, ...set(AT), ...get(LEFT), ...constant(64), SUBTRACT, ...set(LEFT))
  return code
}

type Quarter = (typeof QUARTERS)[number]

function quarterCode(quarter: Quarter, first: number, second: number): readonly number[] {
  return [...halfCode(quarter, first, 16, 12), ...halfCode(quarter, second, 8, 7)]
}

function halfCode(quarter: Quarter, message: number, bitsOfD: number, bitsOfB: number): readonly number[] {
  const [a, b, c, d] = quarter.map(state) as [number, number, number, number]
  return [
    ...[...get(a), ...get(b), ADD, ...get(word(message)), ADD, ...set(a)],
    ...[...get(d), ...get(a), XOR, ...constant(bitsOfD), ROTATE_RIGHT, ...set(d)],
    ...[...get(c), ...get(d), ADD, ...set(c)],
    ...[...get(b), ...get(c), XOR, ...constant(bitsOfB), ROTATE_RIGHT, ...set(b)],
  ]
}

const I32 = 0x7f
const VOID = 0x40
const LOOP = 0x03
const END = 0x0b
const BR_IF = 0x0d
const SELECT = 0x1b
const LOAD = 0x28
const STORE = 0x36
const GREATER = 0x4a
const LESS_OR_EQUAL = 0x4c
const ADD = 0x6a
const SUBTRACT = 0x6b
const OR = 0x72
const XOR = 0x73
const ROTATE_RIGHT = 0x78

function get(local: number): readonly number[] {
  return [0x20, ...leb(local)]
}

function set(local: number): readonly number[] {
  return [0x21, ...leb(local)]
}

/** Signed: seven bits a byte, lowest first, until the sign is said. */
function constant(value: number): readonly number[] {
  const bytes = [0x41]
  let rest = value | 0
  for (;;) {
    const low = rest & 0x7f
    rest >>= 7
    if ((rest === 0 && (low & 0x40) === 0) || (rest === -1 && (low & 0x40) !== 0)) return [...bytes, low]
    bytes.push(low | 0x80)
  }
}

/** Unsigned: seven bits a byte, lowest first. */
function leb(value: number): readonly number[] {
  return value < 0x80 ? [value] : [(value & 0x7f) | 0x80, ...leb(value >>> 7)]
}

function section(id: number, content: readonly number[]): readonly number[] {
  return [id, ...leb(content.length), ...content]
}

function name(text: string): readonly number[] {
  return [text.length, ...new TextEncoder().encode(text)]
}
