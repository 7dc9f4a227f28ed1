/**
 * What the host writes into memory before it calls: the same fields, in the same order, as `src/engine/layout.ts`.
 * Each is 4 bytes. Widths are numbers of a row, rounded up to 8, the rest being zeros.
 */
// @ts-ignore: decorators on classes are AssemblyScript's.
@unmanaged
export class Model {
  /** Numbers of the residual stream that count, and their width. */
  dim: i32
  dimWidth: i32
  ffnWidth: i32
  heads: i32
  kvHeads: i32
  /** A multiple of 8. */
  headDim: i32
  layers: i32
  vocabularyWidth: i32
  epsilon: f32
  /** What queries are multiplied by. */
  queryScale: f32
  /** Panels over the vocabulary: a token's embedding is one column. */
  embedding: usize
  output: usize
  outputNorm: usize
  /** `Layer` after `Layer`. */
  layerTable: usize
  /** 64-bit floats: the angle per position of each pair of a head. */
  ropeFrequencies: usize
}

// @ts-ignore: decorators on classes are AssemblyScript's.
@unmanaged
export class Layer {
  attentionNorm: usize
  /** Panels: queries, then keys, then values. */
  qkv: usize
  attentionOutput: usize
  ffnNorm: usize
  /** Panels of gate and up in turns. */
  gateUp: usize
  down: usize
}

/** One call: rows of one context. Numbers of 32 bits except where said. */
// @ts-ignore: decorators on classes are AssemblyScript's.
@unmanaged
export class Job {
  model: Model
  tokens: usize
  rows: i32
  /** Position of the first row. */
  start: i32
  /** [layer][k, v][capacity][kvHeads * headDim] */
  kv: usize
  capacity: i32
  /** Whether the last row's scores of the vocabulary are asked for. */
  wantsLogits: i32
  logits: usize
  /** 1 when some number of the KV of these rows is not finite. */
  isNotFinite: i32
  scratch: Scratch
  sync: usize
  threads: i32
  /** How many layers have their KV of these rows; the host may wait for it to change. */
  layersDone: i32
}

/** Room for the rows of one call, shared by the threads. */
// @ts-ignore: decorators on classes are AssemblyScript's.
@unmanaged
export class Scratch {
  /** [row][dimWidth] */
  residual: usize
  /** [row][dimWidth] */
  normed: usize
  /** [row][(heads + 2 kvHeads) * headDim] */
  qkv: usize
  /** [row][heads * headDim] */
  attended: usize
  /** [row][2 * ffnWidth] */
  gateUp: usize
  /** [row][ffnWidth] */
  hidden: usize
  /** [row][2 * headDim]: cosines, and sines with signs. */
  rotations: usize
  /** [kvHead][key panel][headDim][8] */
  keyPanels: usize
  /** [kvHead][8 numbers of a head][key][8] */
  valuePanels: usize
  /** For each thread ATTENTION_ROWS rows of scores. */
  scores: usize
  scoresBytes: i32
}
