import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { runs } from '../../test/effort.ts'
import { bruteForceVectors } from './brute-force.ts'
import { centredOn, parseWordVectors, wordEmbedder, type WordVectors } from './words.ts'
import { DEFAULT_WORD_VECTORS_PATH, loadWordEmbedder } from './words-file.ts'

const FILE = readFileSync(DEFAULT_WORD_VECTORS_PATH)

interface Parts {
  readonly header?: unknown
  readonly words?: string
  readonly scales?: readonly number[]
  readonly frequencies?: readonly number[]
  readonly values?: readonly number[]
}

/** Two words of three numbers, unless told otherwise. */
function fileOf(parts: Parts = {}): Uint8Array {
  const header = Buffer.from(JSON.stringify(parts.header ?? { dim: 3, count: 2, total: 100 }))
  const words = Buffer.from(parts.words ?? 'the\nkernel')
  const size = (bytes: Buffer) => Buffer.from(Uint32Array.of(bytes.length).buffer)
  const floats = (values: readonly number[]) => Buffer.from(Float32Array.from(values).buffer)
  return Buffer.concat([
    Buffer.from('I8V1'),
    size(header),
    header,
    size(words),
    words,
    floats(parts.scales ?? [0.5, 0.25]),
    floats(parts.frequencies ?? [0.5, 3e-4]),
    Buffer.from(Int8Array.from(parts.values ?? [127, 0, 0, 0, -128, 4]).buffer),
  ])
}

describe('the format I8V1', () => {
  test('is read as it was written', () => {
    expect(parseWordVectors(fileOf())).toEqual({
      dimensions: 3,
      words: ['the', 'kernel'],
      scales: Float32Array.of(0.5, 0.25),
      frequencies: Float32Array.of(0.5, 3e-4),
      values: Int8Array.of(127, 0, 0, 0, -128, 4),
      centre: null,
    })
  })

  test.each<[string, Parts]>([
    ['has 3 different words', { header: { dim: 2, count: 3 } }],
    ['has 2 different words', { words: 'the\nthe' }],
    ['ends after the last vector', { values: [1, 2, 3, 4, 5, 6, 7] }],
    ['goes on for 6 bytes more', { values: [1, 2, 3, 4, 5] }],
    ['scales are finite', { scales: [Number.NaN, 1] }],
    ['frequencies are 0 to 1', { frequencies: [1.5, 0] }],
    ['"dim" is a whole number', { header: { dim: 0, count: 2 } }],
    ['"count" is a whole number', { header: { dim: 3 } }],
    ['"centre" is a list of 3 numbers', { header: { dim: 3, count: 2, centre: [1, 2] } }],
    ['its header is an object', { header: 7 }],
  ])('says that %s', (message, parts) => {
    expect(() => parseWordVectors(fileOf(parts))).toThrow(message)
  })

  test('is refused with a code, never a crash, when bytes are cut off or changed', () => {
    const whole = fileOf()
    const spoilt = fc.oneof(
      fc.nat({ max: whole.length - 1 }).map((end) => whole.slice(0, end)),
      fc.tuple(fc.nat({ max: whole.length - 1 }), fc.nat({ max: 255 })).map(([at, byte]) => whole.with(at, byte)),
      fc.uint8Array({ maxLength: 200 }),
    )
    fc.assert(
      fc.property(spoilt, (file) => {
        try {
          expect(parseWordVectors(file).words).toHaveLength(2)
        } catch (error) {
          expect(error).toMatchObject({ code: 'STORE_FORMAT' })
        }
      }),
      { numRuns: runs(300) },
    )
  })
})

describe('the embedding of a text', () => {
  const embedder = wordEmbedder('test', parseWordVectors(fileOf()))

  test('is the mean of its known words, the common ones weighing less, of length 1', () => {
    const [the, kernel] = [(127 * 0.5 * 3e-4) / 0.5003, (0.25 * 3e-4) / 6e-4]
    const expected = [the, -128 * kernel, 4 * kernel]
    const norm = Math.hypot(...expected)
    const found = embedder.embed('The KERNEL, (unheard-of)')
    for (const [k, value] of expected.entries()) expect(found?.[k]).toBeCloseTo(value / norm, 5)
  })

  test.each(['', '  ', 'unheard of', '核心'])('is null when no word of "%s" is known', (text) => {
    expect(embedder.embed(text)).toBeNull()
  })

  test('is centred when the file says so', () => {
    const centred = wordEmbedder('test', parseWordVectors(fileOf({ header: { dim: 3, count: 2, centre: [1, 1, 0] } })))
    const found = centred.embed('the')
    for (const [k, value] of [0, -1, 0].entries()) expect(found?.[k]).toBeCloseTo(value, 5)
  })
})

describe('the vectors that come along', () => {
  test('are those of the read-me, with an id made from their bytes', async () => {
    const embedder = await loadWordEmbedder()
    expect(embedder).toMatchObject({ id: 'words:d9772da66f31faf5', dimensions: 128 })
    await expect(loadWordEmbedder('/nowhere')).rejects.toMatchObject({ code: 'FILE_UNREADABLE' })
  })

  test('know that a network card is nearer to a driver than to a poem', async () => {
    const embedder = await loadWordEmbedder()
    const embed = (text: string) => embedder.embed(text) ?? new Float32Array(0)
    const cosine = (a: string, b: string) => {
      const other = embed(b)
      return embed(a).reduce((sum, value, k) => sum + value * (other[k] ?? 0), 0)
    }
    expect(cosine('ethernet network card', 'driver for wireless adapters')).toBeGreaterThan(
      cosine('ethernet network card', 'a collection of poems and stories') + 0.1,
    )
  })
})

const VALIDATION = join(import.meta.dirname, '../../../shared/data/models/debian-desc-5M/val.jsonl')

const hasData = existsSync(VALIDATION)
const WHY = hasData ? '' : ` (SKIPPED: no data folder ${VALIDATION})`

describe.skipIf(!hasData)(`finding the description that belongs to a summary, among 600${WHY}`, () => {
  // The body of a suite runs even when its tests do not.
  const lines = existsSync(VALIDATION) ? readFileSync(VALIDATION, 'utf8').trim().split('\n') : []
  const pairs = lines
    .map((line) => /\nSummary: ([^\n]*)\n\n(.*)$/s.exec((JSON.parse(line) as { text: string }).text))
    .map((match) => ({ summary: match?.[1] ?? '', description: match?.[2] ?? '' }))
  const vectors = parseWordVectors(FILE)

  /** Shares of summaries whose description is the first, and among the first ten. */
  const recalls = (forSummaries: WordVectors | null, forDescriptions: WordVectors | null) => {
    if (forSummaries === null || forDescriptions === null) return null
    const [asking, asked] = [wordEmbedder('s', forSummaries), wordEmbedder('d', forDescriptions)]
    const index = bruteForceVectors(vectors.dimensions)
    for (const [id, { description }] of pairs.entries()) {
      const vector = asked.embed(description)
      if (vector !== null) index.add(id, vector)
    }
    const ranks = pairs.map(({ summary }, id) => {
      const vector = asking.embed(summary)
      return vector === null ? -1 : index.search(vector, 10).findIndex((found) => found.id === id)
    })
    return [ranks.filter((rank) => rank === 0).length, ranks.filter((rank) => rank >= 0).length].map(
      (count) => count / pairs.length,
    )
  }

  test('succeeds as often as the read-me says', () => {
    expect(pairs).toHaveLength(600)
    expect(recalls(vectors, vectors)).toEqual([expect.closeTo(0.71, 2), expect.closeTo(0.86, 2)])
    const centred = recalls(
      centredOn(
        vectors,
        pairs.map(({ summary }) => summary),
      ),
      centredOn(
        vectors,
        pairs.map(({ description }) => description),
      ),
    )
    expect(centred).toEqual([expect.closeTo(0.71, 2), expect.closeTo(0.88, 2)])
  })
})
