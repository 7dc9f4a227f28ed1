/** Times the first call of one probe in this fresh process and prints the milliseconds: node bench/cold.ts grid sampled */
import { setTimeout } from 'node:timers/promises'
import { isBenchName, loadBench, probeNamed } from './bench.ts'
import { kept } from './harness.ts'

const [name = '', probe = ''] = process.argv.slice(2)
if (!isBenchName(name)) throw new Error(`There is no bench "${name}".`)
const work = probeNamed((await loadBench(name)).probes, probe).prepare()
// The engine finishes compiling what `prepare` used, or that would be counted too.
await setTimeout(50)
const start = performance.now()
kept.value = await work()
console.log(performance.now() - start)
