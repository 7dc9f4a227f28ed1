/**
 * LMCache's `lm://` protocol, byte for byte: fixed headers of 32-bit integers, little-endian, then bytes. Format, dtype,
 * shape and location are its clients' own; they go back as they came.
 */
import { MembraneError } from '../core/errors.ts'

/** Header of a request: nine integers, then the key, padded with spaces. */
export const LM_REQUEST_BYTES = 186
/** Header of an answer: nine integers. */
export const LM_ANSWER_BYTES = 36
const KEY_START = 36
const KEY_BYTES = LM_REQUEST_BYTES - KEY_START

/** What is asked. `list` is in the protocol and was never answered by its first server. */
export const LM_COMMANDS = { put: 1, get: 2, exist: 3, list: 4, health: 5 } as const
export type LmCommand = keyof typeof LM_COMMANDS

/** How an answer begins: what was asked for is there, or not. */
export const LM_CODES = { found: 200, missing: 400 } as const

/** What clients say about their bytes, and want back. */
export interface LmShape {
  readonly format: number
  readonly dtype: number
  /** Four numbers; clients pad shapes of fewer dimensions each in their way. */
  readonly shape: readonly [number, number, number, number]
  readonly location: number
}

/** Bytes that came by another door: a flat row of bytes (format BINARY, dtype uint8) on the CPU. */
export function lmShapeOfBytes(bytes: number): LmShape {
  return { format: 4, dtype: 6, shape: [bytes, 0, 0, 0], location: 1 }
}

/** What the first server says with a miss. */
export const LM_MISSING: LmShape = { format: 1, dtype: 2, shape: [0, 0, 0, 0], location: 0 }

/** A header that was read. */
export interface LmRequest extends LmShape {
  readonly command: LmCommand
  /** Of a put: bytes that follow. */
  readonly length: number
  /** UTF-8, without the padding. Empty for `health`. */
  readonly key: Uint8Array
}

const COMMAND_NAMES = new Map<number, LmCommand>(
  Object.entries(LM_COMMANDS).map(([name, code]) => [code, name as LmCommand]),
)

/** Throws INVALID_REQUEST for a header that no client sends. `header` has LM_REQUEST_BYTES bytes. */
export function parseLmRequest(header: Uint8Array): LmRequest {
  const view = new DataView(header.buffer, header.byteOffset)
  const at = (index: number): number => view.getInt32(4 * index, true)
  const command = COMMAND_NAMES.get(at(0))
  if (command === undefined) throw invalid(`A command is 1 to 5, found ${at(0)}.`)
  const length = at(1)
  if (length < 0 || (command !== 'put' && length !== 0))
    throw invalid(`The length is that of what is put, and 0 for ${command}; found ${length}.`)
  const key = keyOf(header.subarray(KEY_START, LM_REQUEST_BYTES))
  if (key.length === 0 && command !== 'health' && command !== 'list') throw invalid('A key is needed.')
  return { command, length, format: at(2), dtype: at(3), location: at(4), shape: [at(5), at(6), at(7), at(8)], key }
}

/** Writes a request's header, for clients. Throws INVALID_REQUEST for a key that is too long. */
export function writeLmRequest({ command, length, format, dtype, location, shape, key }: LmRequest): Uint8Array {
  if (key.length > KEY_BYTES) throw invalid(`A key takes at most ${KEY_BYTES} bytes; this one takes ${key.length}.`)
  const header = new Uint8Array(LM_REQUEST_BYTES).fill(SPACE)
  writeIntegers(header, [LM_COMMANDS[command], length, format, dtype, location, ...shape])
  header.set(key, KEY_START)
  return header
}

/** An answer's header. One forked version of the client reads the location before the shape: `isLocationFirst`. */
export function writeLmAnswer(
  code: number,
  length: number,
  { format, dtype, shape, location }: LmShape,
  isLocationFirst: boolean,
): Uint8Array {
  const answer = new Uint8Array(LM_ANSWER_BYTES)
  const order = isLocationFirst ? [location, ...shape] : [...shape, location]
  writeIntegers(answer, [code, length, format, dtype, ...order])
  return answer
}

/** What an answer's header says. Throws INVALID_REQUEST for one that is none. */
export function parseLmAnswer(answer: Uint8Array): { readonly code: number; readonly length: number } & LmShape {
  const view = new DataView(answer.buffer, answer.byteOffset)
  const at = (index: number): number => view.getInt32(4 * index, true)
  const [code, length] = [at(0), at(1)]
  if ((code !== LM_CODES.found && code !== LM_CODES.missing) || length < 0)
    throw invalid(`An answer begins with 200 or 400 and a length, found ${code} and ${length}.`)
  return { code, length, format: at(2), dtype: at(3), shape: [at(4), at(5), at(6), at(7)], location: at(8) }
}

const SPACE = 0x20

function keyOf(padded: Uint8Array): Uint8Array {
  let end = padded.length
  while (end > 0 && padded[end - 1] === SPACE) end -= 1
  const key = padded.slice(0, end)
  try {
    new TextDecoder('utf-8', { fatal: true }).decode(key)
  } catch {
    throw invalid('A key is UTF-8, padded with spaces.')
  }
  return key
}

function writeIntegers(target: Uint8Array, values: readonly number[]): void {
  const view = new DataView(target.buffer, target.byteOffset)
  for (const [index, value] of values.entries()) view.setInt32(4 * index, value, true)
}

function invalid(message: string): MembraneError {
  return new MembraneError('INVALID_REQUEST', message)
}
