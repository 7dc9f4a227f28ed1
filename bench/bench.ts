/** What a bench is made of, and what it says. Times are milliseconds. */

/** One thing to time. `prepare` runs first and is not timed. */
export interface Probe {
  readonly prepare: () => Work
}

/** Its result is kept, so that no engine can leave the work out. */
export type Work = () => unknown

export interface Row {
  readonly what: string
  /** Time of one call, one entry a run. */
  readonly runsMs: readonly number[]
  /** The best of the runs is held against it. */
  readonly targetMs?: number
  readonly note?: string
}

/** Our time against a peer's in the same run: the peer's time divided by ours, so above 1 we are faster. */
export interface Ratio {
  readonly what: string
  readonly values: readonly number[]
}

export interface Findings {
  readonly rows: readonly Row[]
  readonly ratios?: readonly Ratio[]
  readonly notes?: readonly string[]
}

/** Flags that some benches know. */
export interface BenchOptions {
  /** On a real node and in real time, where the bench is of a model of it otherwise. */
  readonly isReal: boolean
  /** Where to write a picture; null for none. */
  readonly svgPath: string | null
  /** How many, where a bench sends many; each has a number of its own. */
  readonly messages?: number
}

export interface Bench {
  readonly summary: string
  /** By name: what `cold.ts` may be asked to run in a fresh process. */
  readonly probes: Readonly<Record<string, Probe>>
  readonly run: (options: BenchOptions) => Promise<Findings>
}

/** In the order in which they are run. */
export const BENCH_NAMES = [
  'grid',
  'closed-form',
  'slo',
  'optimize',
  'trace',
  'cache',
  'evict',
  'simulate',
  'simulate-trace',
  'hash',
  'store-disk',
  'store-memory',
  'store-hot',
  'store-bounded',
  'memory',
  'semantic',
  'cli',
  'micro',
  'index',
  'fabric',
  'prefill',
  'plan-rebuild',
  'rebuild',
  'grpc',
  'load-or-recompute',
  'resp',
  'http',
  'transfer',
  'transfer-http',
  'fuzz',
  'directory',
  'cluster',
  'remote-prefill',
] as const
export type BenchName = (typeof BENCH_NAMES)[number]

export function isBenchName(name: string): name is BenchName {
  return BENCH_NAMES.some((known) => known === name)
}

/** Loads one bench only, so that a fresh process compiles nothing of the others. */
export async function loadBench(name: BenchName): Promise<Bench> {
  const { bench }: { readonly bench: Bench } = await import(`./${name}.ts`)
  return bench
}

export function probeNamed(probes: Bench['probes'], name: string): Probe {
  const probe = probes[name]
  if (probe === undefined) throw new Error(`There is no probe "${name}"; there are ${Object.keys(probes).join(', ')}.`)
  return probe
}
