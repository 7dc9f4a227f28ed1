/** Element types of safetensors files. */

/** Bytes of an element, in the order of the reference implementation: a writer puts what stands last first. */
export const DTYPE_BYTES = {
  BOOL: 1,
  U8: 1,
  I8: 1,
  F8_E5M2: 1,
  F8_E4M3: 1,
  I16: 2,
  U16: 2,
  F16: 2,
  BF16: 2,
  I32: 4,
  U32: 4,
  F32: 4,
  F64: 8,
  I64: 8,
  U64: 8,
} as const satisfies Readonly<Record<string, number>>

/** Key of `DTYPE_BYTES`: a safetensors element type of whole bytes. */
export type Dtype = keyof typeof DTYPE_BYTES

/** In the order of `DTYPE_BYTES`. */
export const DTYPES = Object.keys(DTYPE_BYTES) as readonly Dtype[]

export function isDtype(text: string): text is Dtype {
  return Object.hasOwn(DTYPE_BYTES, text)
}

/** Null when the size, or a part of it, is beyond what numbers count exactly. */
export function tensorBytes(dtype: Dtype, shape: readonly number[]): number | null {
  let bytes: number = DTYPE_BYTES[dtype]
  let isEmpty = false
  // An axis of no elements does not excuse the others: readers multiply in order, and would overflow.
  for (const length of shape) {
    if (length === 0) isEmpty = true
    else bytes *= length
    if (!Number.isSafeInteger(bytes)) return null
  }
  return isEmpty ? 0 : bytes
}
