/** Numbers of model files as 32-bit floats, exactly: every value of F16 and Q8_0 is one. */
import { assert } from '../core/errors.ts'
import { fromHalf } from '../core/half-floats.ts'
import type { GgufTensor } from './gguf.ts'

const Q8_BLOCK_ELEMENTS = 32
const Q8_BLOCK_BYTES = 34

/**
 * Writes all numbers of the tensor, in its order; `into` has as many elements. F32 is copied bit by bit; Q8_0 is the
 * block's F16 scale times an 8-bit integer. Runs on little-endian machines, which all that Node supports but s390x are.
 */
export function dequantize({ name, shape, type, data }: GgufTensor, into: Float32Array): void {
  const elements = shape.reduce((product, length) => product * length, 1)
  assert(into.length === elements, `${name} has ${elements} numbers, and room was made for ${into.length}`)
  if (type === 'F32') new Uint8Array(into.buffer, into.byteOffset, into.byteLength).set(data)
  else if (type === 'F16') dequantizeF16(new Uint16Array(data.buffer, data.byteOffset, elements), into)
  else dequantizeQ8(data, into)
}

function dequantizeF16(bits: Uint16Array, into: Float32Array): void {
  for (let index = 0; index < bits.length; index++) into[index] = fromHalf(bits[index] ?? 0)
}

function dequantizeQ8(data: Uint8Array, into: Float32Array): void {
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength)
  for (let block = 0, at = 0; block < data.byteLength; block += Q8_BLOCK_BYTES) {
    const scale = fromHalf(view.getUint16(block, true))
    for (let index = 0; index < Q8_BLOCK_ELEMENTS; index++) into[at++] = scale * view.getInt8(block + 2 + index)
  }
}
