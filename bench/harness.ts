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

/** Times of warm calls of probes that do not wait, in turns. */
export function measureWarm<Name extends string>(probes: Bench['probes'], names: readonly Name[]): Runs<Name> {
  const runOf = new Map(names.map((name) => [name, warmRun(probeNamed(probes, name).prepare())]))
  return inTurns(names, (name) => runOf.get(name)?.() ?? Number.NaN)
}

/** Times of the first ever call of probes, each in a process of its own, in turns. Loading the code is not timed. */
export function measureCold<Name extends string>(bench: BenchName, probes: readonly Name[]): Runs<Name> {
  const script = fileURLToPath(new URL('cold.ts', import.meta.url))
  return inTurns(probes, (probe) => Number(run(process.execPath, [script, bench, probe])))
}

/** Wall times of whole commands, from start to exit, in turns. */
export function measureCommands<Name extends string>(
  commands: Readonly<Record<Name, readonly [string, ...string[]]>>,
): Runs<Name> {
  return inTurns(Object.keys(commands) as Name[], (name) => {
    const [file, ...args] = commands[name]
    const start = performance.now()
    run(file, args)
    return performance.now() - start
  })
}

/** How many times the peer's time ours fits into, run by run. */
export function ratioOf(what: string, peerMs: readonly number[], oursMs: readonly number[]): Ratio {
  return { what, values: peerMs.map((peer, index) => peer / (oursMs[index] ?? Number.NaN)) }
}

/** What the last call returned, for the engine to believe that somebody looks at it. */
export const kept: { value: unknown } = { value: null }

/** Warms a work up, and gives a function that times one call of it, as a mean over a run. */
function warmRun(work: Work): () => number {
  const start = performance.now()
  let warmUpCalls = 0
  while (warmUpCalls < 3 || performance.now() - start < WARM_UP_MS) {
    kept.value = work()
    warmUpCalls += 1
  }
  const calls = Math.max(1, Math.round((RUN_MS * warmUpCalls) / (performance.now() - start)))
  return () => {
    const start = performance.now()
    for (let call = 0; call < calls; call++) kept.value = work()
    return (performance.now() - start) / calls
  }
}

function inTurns<Name extends string>(names: readonly Name[], measure: (name: Name) => number): Runs<Name> {
  const times = Object.fromEntries(names.map((name): [Name, number[]] => [name, []])) as Record<Name, number[]>
  for (let turn = 0; turn < RUNS; turn++) {
    for (const name of names) times[name].push(measure(name))
  }
  return times
}

function run(file: string, args: readonly string[]): string {
  const { status, stdout, stderr, error } = spawnSync(file, args, { encoding: 'utf8', maxBuffer: 64 * 1024 * 1024 })
  if (status === 0) return stdout
  throw new Error(`${[file, ...args].join(' ')} failed: ${error?.message ?? stderr}`)
}
