/** How ggml stores numbers: in blocks of so many numbers and bytes, by the type's number in a file. */

export interface GgmlType {
  readonly name: string
  readonly blockElements: number
  readonly blockBytes: number
}

/** Which the engine computes with. */
export const TENSOR_TYPES = ['F32', 'F16', 'Q8_0'] as const
/** One of TENSOR_TYPES. */
export type TensorType = (typeof TENSOR_TYPES)[number]

/** All that files of today have, so that their lengths can be checked and their names said. */
const TYPES: Readonly<Record<number, GgmlType>> = {
  0: ggmlType('F32', 1, 4),
  1: ggmlType('F16', 1, 2),
  2: ggmlType('Q4_0', 32, 18),
  3: ggmlType('Q4_1', 32, 20),
  6: ggmlType('Q5_0', 32, 22),
  7: ggmlType('Q5_1', 32, 24),
  8: ggmlType('Q8_0', 32, 34),
  10: ggmlType('Q2_K', 256, 84),
  11: ggmlType('Q3_K', 256, 110),
  12: ggmlType('Q4_K', 256, 144),
  13: ggmlType('Q5_K', 256, 176),
  14: ggmlType('Q6_K', 256, 210),
  15: ggmlType('Q8_K', 256, 292),
  16: ggmlType('IQ2_XXS', 256, 66),
  17: ggmlType('IQ2_XS', 256, 74),
  18: ggmlType('IQ3_XXS', 256, 98),
  19: ggmlType('IQ1_S', 256, 50),
  20: ggmlType('IQ4_NL', 32, 18),
  21: ggmlType('IQ3_S', 256, 110),
  22: ggmlType('IQ2_S', 256, 82),
  23: ggmlType('IQ4_XS', 256, 136),
  24: ggmlType('I8', 1, 1),
  25: ggmlType('I16', 1, 2),
  26: ggmlType('I32', 1, 4),
  27: ggmlType('I64', 1, 8),
  28: ggmlType('F64', 1, 8),
  29: ggmlType('IQ1_M', 256, 56),
  30: ggmlType('BF16', 1, 2),
  34: ggmlType('TQ1_0', 256, 54),
  35: ggmlType('TQ2_0', 256, 66),
  39: ggmlType('MXFP4', 32, 17),
}

function ggmlType(name: string, blockElements: number, blockBytes: number): GgmlType {
  return { name, blockElements, blockBytes }
}

/** Null for a number that this version does not know. */
export function ggmlTypeOf(id: number): GgmlType | null {
  return TYPES[id] ?? null
}

export function isTensorType(name: string): name is TensorType {
  return (TENSOR_TYPES as readonly string[]).includes(name)
}
