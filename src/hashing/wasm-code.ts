/** Writes WebAssembly: as little of it as a hash over 32-bit words takes. A stack machine: operands come first. */

export const ADD = 0x6a
export const SUBTRACT = 0x6b
export const OR = 0x72
export const XOR = 0x73
export const ROTATE_RIGHT = 0x78
/** Signed. */
export const GREATER = 0x4a
export const LESS_OR_EQUAL = 0x4c
/** Takes a, b and a condition: a if it holds, else b. */
export const SELECT = 0x1b

const I32 = 0x7f
const VOID = 0x40
const LOOP = 0x03
const END = 0x0b
const BRANCH_IF = 0x0d
const LOCAL_GET = 0x20
const LOCAL_SET = 0x21
const LOAD = 0x28
const STORE = 0x36
const CONSTANT = 0x41
const MAGIC_AND_VERSION = [0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0] as const
/** Words are aligned: two to the power of 2. */
const ALIGNMENT = 2

/** The body of a function. Locals, the parameter first, are 32-bit words by number. */
export class WasmCode {
  readonly bytes: number[] = []

  get(local: number): this {
    this.bytes.push(LOCAL_GET)
    return this.#unsigned(local)
  }

  /** Takes the value. */
  set(local: number): this {
    this.bytes.push(LOCAL_SET)
    return this.#unsigned(local)
  }

  constant(value: number): this {
    this.bytes.push(CONSTANT)
    // Seven bits a byte, lowest first, until the sign is said.
    let rest = value | 0
    while (rest < -64 || rest > 63) {
      this.bytes.push((rest & 0x7f) | 0x80)
      rest >>= 7
    }
    this.bytes.push(rest & 0x7f)
    return this
  }

  /** One of the operations above. */
  op(operation: number): this {
    this.bytes.push(operation)
    return this
  }

  /** Takes an address; the word is `offset` bytes further. */
  load(offset: number): this {
    this.bytes.push(LOAD, ALIGNMENT)
    return this.#unsigned(offset)
  }

  /** Takes an address and the value. */
  store(): this {
    this.bytes.push(STORE, ALIGNMENT, 0)
    return this
  }

  /** Runs `body`, which leaves a condition, until it does not hold. */
  loopWhile(body: (code: this) => void): this {
    this.bytes.push(LOOP, VOID)
    body(this)
    this.bytes.push(BRANCH_IF, 0, END)
    return this
  }

  #unsigned(value: number): this {
    if (value < 0x80) this.bytes.push(value)
    else this.bytes.push(...unsigned(value))
    return this
  }
}

/**
 * A module with one page of memory, 64 KiB, and one function that takes a word and gives nothing, exported as `memory`
 * and `run`. `locals` are those beside the parameter.
 */
export function wasmModule(code: WasmCode, locals: number): Uint8Array<ArrayBuffer> {
  const body = [1, ...unsigned(locals), I32, ...code.bytes, END]
  return Uint8Array.from([
    ...MAGIC_AND_VERSION,
    ...section(1, [1, 0x60, 1, I32, 0]), // one type: (i32) -> ()
    ...section(3, [1, 0]), // one function, of this type
    ...section(5, [1, 0, 1]), // one memory, of one page
    ...section(7, [2, ...name('memory'), 2, 0, ...name('run'), 0, 0]),
    ...section(10, [1, ...unsigned(body.length), ...body]),
  ])
}

function section(id: number, content: readonly number[]): readonly number[] {
  return [id, ...unsigned(content.length), ...content]
}

function name(text: string): readonly number[] {
  return [text.length, ...new TextEncoder().encode(text)]
}

/** Seven bits a byte, lowest first. */
function unsigned(value: number): readonly number[] {
  return value < 0x80 ? [value] : [(value & 0x7f) | 0x80, ...unsigned(value >>> 7)]
}
