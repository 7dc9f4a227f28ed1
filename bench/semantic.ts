import { DEFAULT_TENANT, parseModelFingerprint } from '../src/core/ids.ts'
import type { VectorIndexFactory } from '../src/core/ports.ts'
import { quantileOfSorted, sortedAscending } from '../src/core/quantile.ts'
import { type Random, seededRandom, standardNormal } from '../src/core/random.ts'
import { FragmentGraph } from '../src/indices/graph.ts'
import { SemanticIndex } from '../src/indices/semantic.ts'
import { DEFAULT_SIM_HASH_OPTIONS, simHashVectors } from '../src/indices/sim-hash.ts'
import { bruteForceVectors } from '../src/vectors/brute-force.ts'
import { loadUsearch } from '../src/vectors/usearch.ts'
import type { Bench, Findings } from './bench.ts'
import { measureWarm, ratioOf, RUNS } from './harness.ts'

const VECTORS = 100_000
const DIMENSIONS = 384
const QUERIES = 100
/** Fewer in a run of brute force: it takes longer than all the others together. */
const EXACT_QUERIES = 10
const TARGET_MS = 2
const RECALL_TARGET = 0.95
const SCOPE = { tenant: DEFAULT_TENANT, model: parseModelFingerprint('0'.repeat(64)) }

/**
 * Embeddings as those of chunks of documents: 200 topics, a document for each ten chunks around a topic, chunks around
 * their document; each step is a random direction as long as what it starts from, of the last 0.8. Directions are not
 * alike: the k-th number has a standard deviation of k^-1/4. The nearest five of a new chunk have cosines of about
 * 0.63, two chunks of different topics 0.
 */
function clusteredChunks(random: Random, count: number): () => Float32Array {
  const topics = Array.from({ length: 200 }, () => direction(random, 1 / 4))
  const documents = Array.from({ length: count / 10 }, () => near(random, topics, 1))
  return () => near(random, documents, 0.8)
}

function near(random: Random, centres: readonly Float32Array[], distance: number): Float32Array {
  const centre = centres[Math.floor(random() * centres.length)] ?? new Float32Array(DIMENSIONS)
  const step = direction(random, 1 / 4)
  return toLengthOne(centre.map((value, k) => value + distance * (step[k] ?? 0)))
}

function direction(random: Random, decay: number): Float32Array {
  return toLengthOne(new Float32Array(DIMENSIONS).map((_, k) => standardNormal(random) * (k + 1) ** -decay))
}

function toLengthOne(vector: Float32Array): Float32Array {
  const norm = Math.sqrt(vector.reduce((sum, value) => sum + value ** 2, 0))
  return vector.map((value) => value / norm)
}

interface Loaded {
  readonly index: SemanticIndex
  readonly insertMs: number
}

function load(vectors: VectorIndexFactory, data: readonly Float32Array[]): Loaded {
  const index = new SemanticIndex({ vectors })
  const start = performance.now()
  for (const [number, vector] of data.entries()) index.insert({ ...SCOPE, key: `chunk ${number}`, vector })
  return { index, insertMs: (performance.now() - start) / data.length }
}

function topFive(index: SemanticIndex, vector: Float32Array): readonly string[] {
  return index.nearest({ ...SCOPE, vector, limit: 5, similarityMin: -1 }).map(({ key }) => key)
}

function recallOf(
  index: SemanticIndex,
  queries: readonly Float32Array[],
  truth: readonly (readonly string[])[],
): number {
  let found = 0
  for (const [number, query] of queries.entries()) {
    const five = new Set(truth[number])
    found += topFive(index, query).filter((key) => five.has(key)).length
  }
  return found / (5 * queries.length)
}

/** Times of single searches, as their median and 99th percentile of each run. */
function timeSearches(
  index: SemanticIndex,
  queries: readonly Float32Array[],
): { readonly p50: number; readonly p99: number } {
  const times = queries.map((query) => {
    const start = performance.now()
    topFive(index, query)
    return performance.now() - start
  })
  const sorted = sortedAscending(times)
  return { p50: quantileOfSorted(sorted, 0.5), p99: quantileOfSorted(sorted, 0.99) }
}

async function semanticFindings(): Promise<Findings> {
  const make = clusteredChunks(seededRandom(1), VECTORS)
  const data = Array.from({ length: VECTORS }, make)
  const queries = Array.from({ length: QUERIES }, make)
  const exact = load(bruteForceVectors, data)
  const truth = queries.map((query) => topFive(exact.index, query))
  const usearch = load(await loadUsearch(), data)
  const simHash = load(simHashVectors(), data)
  const [ours, filtered, peer] = [usearch, simHash, exact].map(({ index }, which) => {
    const few = which === 2 ? queries.slice(0, EXACT_QUERIES) : queries
    return () => timeSearches(index, few)
  })
  const runs = Array.from({ length: RUNS }, () => ({ ours: ours?.(), filtered: filtered?.(), peer: peer?.() }))
  const of = (who: 'ours' | 'filtered' | 'peer', what: 'p50' | 'p99') =>
    runs.map((run) => run[who]?.[what] ?? Number.NaN)
  const recall = recallOf(usearch.index, queries, truth)
  return {
    rows: [
      { what: 'USearch: top 5, median search', runsMs: of('ours', 'p50'), targetMs: TARGET_MS },
      { what: 'USearch: top 5, 99th percentile', runsMs: of('ours', 'p99') },
      { what: 'SimHash filter: top 5, median search', runsMs: of('filtered', 'p50') },
      { what: 'SimHash filter: top 5, 99th percentile', runsMs: of('filtered', 'p99') },
      { what: 'brute force (peer): top 5, median search', runsMs: of('peer', 'p50') },
      { what: 'USearch: one insert', runsMs: [usearch.insertMs] },
      { what: 'SimHash filter: one insert', runsMs: [simHash.insertMs] },
      { what: 'brute force: one insert', runsMs: [exact.insertMs] },
    ],
    ratios: [
      ratioOf('USearch against brute force', of('peer', 'p50'), of('ours', 'p50')),
      ratioOf('SimHash filter against brute force', of('peer', 'p50'), of('filtered', 'p50')),
    ],
    notes: [
      `USearch: recall of the top 5 ${recall.toFixed(3)}, target ${RECALL_TARGET}: ${recall >= RECALL_TARGET ? 'met' : 'NOT MET'}.`,
      ...simHashNotes(data, queries, truth),
      ...(await noiseNotes()),
    ],
  }
}

/** Candidates that the filter keeps, against what it finds. */
function simHashNotes(
  data: readonly Float32Array[],
  queries: readonly Float32Array[],
  truth: readonly (readonly string[])[],
): string[] {
  const settings = [
    { bits: 64, keptRatio: DEFAULT_SIM_HASH_OPTIONS.keptRatio },
    { bits: 128, keptRatio: 0.005 },
    DEFAULT_SIM_HASH_OPTIONS,
    { bits: 128, keptRatio: 0.05 },
  ] as const
  return settings.map(({ bits, keptRatio }) => {
    const { index } = load(simHashVectors({ bits, keptRatio }), data)
    const best = Math.min(...Array.from({ length: 3 }, () => timeSearches(index, queries).p50))
    const recall = recallOf(index, queries, truth)
    return `SimHash of ${bits} bits, ${100 * keptRatio} % kept: recall of the top 5 ${recall.toFixed(3)}, ${best.toFixed(2)} ms.`
  })
}

/** Without any structure all distances are nearly equal, and no index does well: no embeddings are like that. */
async function noiseNotes(): Promise<string[]> {
  const random = seededRandom(2)
  const data = Array.from({ length: 20_000 }, () => direction(random, 0))
  const queries = Array.from({ length: 50 }, () => direction(random, 0))
  const exact = load(bruteForceVectors, data)
  const truth = queries.map((query) => topFive(exact.index, query))
  const recalls = [await loadUsearch(), simHashVectors()].map((vectors) =>
    recallOf(load(vectors, data).index, queries, truth).toFixed(3),
  )
  return [`Among 20000 directions without structure: recall ${recalls[0]} by USearch, ${recalls[1]} by SimHash.`]
}

const KEYS = Array.from({ length: 100_000 }, (_, number) => `fragment ${number}`)
const ACCESSED = 32

/** Accesses of runs of keys, those with small numbers more often. */
function accesses(count: number): string[][] {
  const random = seededRandom(3)
  return Array.from({ length: count }, () => {
    const start = Math.floor((KEYS.length - ACCESSED) * random() ** 3)
    return KEYS.slice(start, start + ACCESSED)
  })
}

function filledGraph(): FragmentGraph {
  const graph = new FragmentGraph()
  for (const key of KEYS) graph.insert(key)
  for (const [number, keys] of accesses(20_000).entries()) graph.coAccessed(keys, number * 100)
  return graph
}

const BATCHES = accesses(1024)

/** The same links in maps of maps, without bounds, and decayed when they are touched. */
function naiveLinks(): () => unknown {
  const links = new Map<string, Map<string, { weight: number; atMs: number }>>()
  let atMs = 2_000_000
  const link = (from: string, to: string, weight: number) => {
    const of = links.get(from) ?? new Map<string, { weight: number; atMs: number }>()
    const edge = of.get(to) ?? { weight: 0, atMs }
    of.set(to, { weight: edge.weight * 2 ** ((edge.atMs - atMs) / 600_000) + weight, atMs })
    links.set(from, of)
  }
  return () => {
    for (const keys of BATCHES) {
      atMs += 100
      for (const [index, from] of keys.entries()) {
        for (let distance = 1; distance <= 4; distance++) {
          const to = keys[index + distance]
          if (to === undefined) break
          link(from, to, 1 / distance)
          link(to, from, 1 / distance)
        }
      }
    }
    return links.size
  }
}

const probes = {
  coAccess: {
    prepare: () => {
      const graph = filledGraph()
      let atMs = 2_000_000
      return () => {
        for (const keys of BATCHES) graph.coAccessed(keys, (atMs += 100))
        return graph.edgeCount('co-accessed')
      }
    },
  },
  naiveCoAccess: { prepare: naiveLinks },
  value: {
    prepare: () => {
      const graph = filledGraph()
      return () => BATCHES.reduce((sum, keys) => sum + graph.coAccessValue(keys[0] ?? '', 2_000_000), 0)
    },
  },
  prefetch: {
    prepare: () => {
      const graph = filledGraph()
      return () => BATCHES.map((keys) => graph.prefetchCandidates(keys.slice(0, 4), { limit: 8, atMs: 2_000_000 }))
    },
  },
} as const

function graphFindings(): Findings {
  const perBatch = (runsMs: readonly number[]) => runsMs.map((ms) => ms / BATCHES.length)
  const warm = measureWarm(probes, ['coAccess', 'naiveCoAccess', 'value', 'prefetch'])
  return {
    rows: [
      { what: `graph: one access of ${ACCESSED} keys, 118 links`, runsMs: perBatch(warm.coAccess) },
      { what: 'graph: the value of one key', runsMs: perBatch(warm.value) },
      { what: 'graph: prefetch for 4 keys', runsMs: perBatch(warm.prefetch) },
    ],
    ratios: [ratioOf('links against maps of maps without bounds', warm.naiveCoAccess, warm.coAccess)],
  }
}

export const bench: Bench = {
  summary: `top 5 among ${VECTORS} x ${DIMENSIONS}, and the graph of fragments`,
  probes,
  run: async (): Promise<Findings> => {
    const graph = graphFindings()
    const semantic = await semanticFindings()
    return {
      rows: [...semantic.rows, ...graph.rows],
      ratios: [...(semantic.ratios ?? []), ...(graph.ratios ?? [])],
      notes: semantic.notes ?? [],
    }
  },
}
