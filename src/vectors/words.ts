/**
 * Word vectors, and the embedder that is made of them: the mean of a text's word vectors, common words weighing less
 * (Arora, Liang and Ma, "A simple but tough-to-beat baseline for sentence embeddings", ICLR 2017). It knows no order of
 * words and no word that was not trained, and needs no network, no package and some microseconds.
 */
import { assert, MembraneError } from '../core/errors.ts'
import { LIMITS } from '../core/limits.ts'
import type { Embedder } from '../core/ports.ts'

/** What a file of word vectors holds. */
export interface WordVectors {
  readonly dimensions: number
  readonly words: readonly string[]
  /** Share of each word in the text that it was trained on, 0 to 1. */
  readonly frequencies: Float32Array
  /** A number of word `w` at `k` is `values[w * dimensions + k] * scales[w]`. */
  readonly scales: Float32Array
  readonly values: Int8Array
  /** What is taken from the mean of a text, scaled to length 1, before it is used; null for nothing. */
  readonly centre: Float32Array | null
}

/** A word of this frequency counts half. The one that the vectors in `models/` were made for. */
const HALF_WEIGHT_FREQUENCY = 3e-4

/**
 * `id` names the vectors. Words are runs of letters and digits, in lower case, whatever the script. Texts are cut at
 * LIMITS.embeddedCharactersMax.
 */
export function wordEmbedder(id: string, vectors: WordVectors): Embedder {
  const { dimensions, words, frequencies, scales, values, centre } = vectors
  const indexOf = new Map(words.map((word, index) => [word, index]))
  const weights = scales.map(
    (scale, index) => (scale * HALF_WEIGHT_FREQUENCY) / (HALF_WEIGHT_FREQUENCY + (frequencies[index] ?? 0)),
  )
  return {
    id,
    dimensions,
    embed: (text) => {
      const sum = new Float64Array(dimensions)
      for (const [word] of text
        .slice(0, LIMITS.embeddedCharactersMax)
        .toLowerCase()
        .matchAll(/[\p{L}\p{N}]+/gu)) {
        const index = indexOf.get(word)
        if (index === undefined) continue
        const weight = weights[index] ?? 0
        const start = index * dimensions
        for (let k = 0; k < dimensions; k++) sum[k] = (sum[k] ?? 0) + weight * (values[start + k] ?? 0)
      }
      const unit = toLengthOne(sum)
      if (unit === null || centre === null) return unit
      return toLengthOne(unit.map((value, k) => value - (centre[k] ?? 0)))
    },
  }
}

/**
 * The same vectors, with texts of this kind centred: what all of them have in common no longer makes them alike. `texts`
 * are some hundred samples. Null when no word of theirs is known.
 */
export function centredOn(vectors: WordVectors, texts: readonly string[]): WordVectors | null {
  const embedder = wordEmbedder('', { ...vectors, centre: null })
  const centre = new Float32Array(vectors.dimensions)
  const embeddings = texts.map((text) => embedder.embed(text)).filter((embedding) => embedding !== null)
  if (embeddings.length === 0) return null
  for (const embedding of embeddings) {
    for (const [k, value] of embedding.entries()) centre[k] = (centre[k] ?? 0) + value / embeddings.length
  }
  return { ...vectors, centre }
}

/**
 * Reads the format `I8V1`: these four letters; a header of JSON with `dim`, `count` and `total` (words of training
 * text), and `centre`, a list of numbers, if texts are to be centred; the words, joined by newlines, both after their
 * length in bytes (32 bits, little-endian like all that follows); then for each word its scale and its frequency
 * (float32), and its vector (int8). Throws STORE_FORMAT and LIMIT_REACHED.
 */
export function parseWordVectors(file: Uint8Array): WordVectors {
  if (file.length > LIMITS.wordVectorsFileBytesMax) {
    throw new MembraneError(
      'LIMIT_REACHED',
      `Word vectors take up to ${LIMITS.wordVectorsFileBytesMax} bytes, found ${file.length}.`,
    )
  }
  const reader = new ByteReader(file)
  if (reader.text(4) !== 'I8V1') throw malformed('it begins with I8V1')
  const { dimensions, count, centre } = parseHeader(reader.text(reader.uint32()))
  const words = reader.text(reader.uint32()).split('\n')
  if (words.length !== count || new Set(words).size !== count) throw malformed(`it has ${count} different words`)
  const scales = reader.float32s(count)
  const frequencies = reader.float32s(count)
  const values = reader.int8s(count * dimensions)
  if (reader.left !== 0) throw malformed(`it ends after the last vector, ${reader.left} bytes earlier`)
  if (!scales.every((scale) => Number.isFinite(scale) && scale >= 0))
    throw malformed('scales are finite and not negative')
  if (!frequencies.every((frequency) => frequency >= 0 && frequency <= 1)) throw malformed('frequencies are 0 to 1')
  return { dimensions, words, frequencies, scales, values, centre }
}

function parseHeader(text: string): { dimensions: number; count: number; centre: Float32Array | null } {
  let header: unknown
  try {
    header = JSON.parse(text)
  } catch (cause) {
    throw malformed('its header is JSON', cause)
  }
  if (typeof header !== 'object' || header === null) throw malformed('its header is an object')
  const { dim, count, centre = null } = header as Readonly<Record<string, unknown>>
  if (!isWhole(dim, 1, LIMITS.embeddingDimensionsMax)) {
    throw malformed(`"dim" is a whole number from 1 to ${LIMITS.embeddingDimensionsMax}`)
  }
  if (!isWhole(count, 1, LIMITS.wordVectorsFileBytesMax)) throw malformed('"count" is a whole number from 1')
  if (centre === null) return { dimensions: dim, count, centre }
  if (!Array.isArray(centre) || centre.length !== dim || !centre.every((value) => Number.isFinite(value))) {
    throw malformed(`"centre" is a list of ${dim} numbers`)
  }
  return { dimensions: dim, count, centre: Float32Array.from(centre) }
}

function isWhole(value: unknown, min: number, max: number): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value >= min && value <= max
}

class ByteReader {
  readonly #bytes: Uint8Array
  readonly #view: DataView
  #at = 0

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  }

  get left(): number {
    return this.#bytes.length - this.#at
  }

  text(bytes: number): string {
    const start = this.#take(bytes)
    try {
      return new TextDecoder('utf-8', { fatal: true }).decode(this.#bytes.subarray(start, this.#at))
    } catch (cause) {
      throw malformed('its texts are UTF-8', cause)
    }
  }

  uint32(): number {
    return this.#view.getUint32(this.#take(4), true)
  }

  float32s(count: number): Float32Array {
    const start = this.#take(4 * count)
    return Float32Array.from({ length: count }, (_, index) => this.#view.getFloat32(start + 4 * index, true))
  }

  /** A copy, so that the file's memory can go. */
  int8s(count: number): Int8Array {
    const start = this.#take(count)
    return new Int8Array(this.#bytes.buffer, this.#bytes.byteOffset + start, count).slice()
  }

  /** Where the next bytes begin. */
  #take(bytes: number): number {
    if (bytes > this.left) throw malformed(`it goes on for ${bytes} bytes more at byte ${this.#at}, not ${this.left}`)
    const start = this.#at
    this.#at += bytes
    assert(this.#at <= this.#bytes.length, 'nothing is read beyond the end')
    return start
  }
}

function malformed(expected: string, cause?: unknown): MembraneError {
  return new MembraneError('STORE_FORMAT', `A file of word vectors is of the format I8V1: ${expected}.`, { cause })
}

function toLengthOne(vector: Float64Array | Float32Array): Float32Array | null {
  const norm = Math.hypot(...vector)
  return norm > 0 ? Float32Array.from(vector, (value) => value / norm) : null
}
