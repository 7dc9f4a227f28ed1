/**
 * Measures: in this process once the engine has warmed up, in fresh processes, or whole processes from outside.
 * Whatever is compared takes turns, run by run, so that a neighbour on the machine slows all of them alike.
 */
import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { type Bench, type BenchName, probeNamed, type Ratio, type Work } from './bench.ts'

/** Absolute targets are held against the best of so many runs. */
export const RUNS = 7

const WARM_UP_MS = 250
/** A run repeats its call until it has taken about so long: the clock and one interrupt must not matter. */
const RUN_MS = 5

export type Runs<Name extends string> = Readonly<Record<Name, readonly number[]>>

/** Times of warm calls, in turns. */
export function measureWarm<Name extends string>(works: Readonly<Record<Name, Work>>, runs = RUNS): Runs<Name> {
  const names = namesOf(works)
  const calls = mapNames(names, (name) => callsInARun(works[name]))
  return inTurns(names, runs, (name) => timeOf(works[name], calls[name]) / calls[name])
}

/** Times of the first ever call of probes, each in a process of its own, in turns. Loading the code is not timed. */
export function measureCold<Name extends string>(bench: BenchName, probes: readonly Name[], runs = RUNS): Runs<Name> {
  const script = fileURLToPath(new URL('cold.ts', import.meta.url))
  return inTurns(probes, runs, (probe) => Number(run(process.execPath, [script, bench, probe])))
}

/** Wall times of whole commands, from start to exit, in turns. */
export function measureCommands<Name extends string>(
  commands: Readonly<Record<Name, readonly [string, ...string[]]>>,
  runs = RUNS,
): Runs<Name> {
  return inTurns(namesOf(commands), runs, (name) => {
    const [file, ...args] = commands[name]
    const start = performance.now()
    run(file, args)
    return performance.now() - start
  })
}

/** Work that a probe does, to be measured warm as well. Only for probes that do not wait. */
export async function preparedWorks<Name extends string>(
  bench: Pick<Bench, 'probes'>,
  names: readonly Name[],
): Promise<Readonly<Record<Name, Work>>> {
  const works = await Promise.all(names.map(async (name) => [name, await probeNamed(bench as Bench, name).prepare()]))
  return Object.fromEntries(works)
}

/** How many times the peer's time ours fits into, run by run. */
export function ratioOf(what: string, peerMs: readonly number[], oursMs: readonly number[]): Ratio {
  return { what, values: peerMs.map((peer, index) => peer / (oursMs[index] ?? Number.NaN)) }
}

/** What the last call returned, for the engine to believe that somebody looks at it. */
export const kept: { value: unknown } = { value: null }

function timeOf(work: Work, calls: number): number {
  const start = performance.now()
  for (let call = 0; call < calls; call++) kept.value = work()
  return performance.now() - start
}

/** Warms up, and tells how many calls make up one run. */
function callsInARun(work: Work): number {
  let calls = 0
  const start = performance.now()
  while (calls < 3 || performance.now() - start < WARM_UP_MS) {
    kept.value = work()
    calls += 1
  }
  return Math.max(1, Math.round((RUN_MS * calls) / (performance.now() - start)))
}

function inTurns<Name extends string>(
  names: readonly Name[],
  runs: number,
  measure: (name: Name) => number,
): Runs<Name> {
  const times = mapNames(names, (): number[] => [])
  for (let turn = 0; turn < runs; turn++) {
    for (const name of names) times[name].push(measure(name))
  }
  return times
}

function run(file: string, args: readonly string[]): string {
  const { status, stdout, stderr, error } = spawnSync(file, args, { encoding: 'utf8', maxBuffer: 64 * 1024 * 1024 })
  if (status === 0) return stdout
  throw new Error(`${[file, ...args].join(' ')} failed: ${error?.message ?? stderr}`)
}

function namesOf<Name extends string>(record: Readonly<Record<Name, unknown>>): Name[] {
  return Object.keys(record) as Name[]
}

function mapNames<Name extends string, Value>(
  names: readonly Name[],
  value: (name: Name) => Value,
): Record<Name, Value> {
  return Object.fromEntries(names.map((name) => [name, value(name)])) as Record<Name, Value>
}
