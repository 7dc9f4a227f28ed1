/**
 * Resident memory that the memory store takes for each byte that it holds, in a fresh process: payloads of 1 to 4 MB,
 * as they are put, and after a third of them was replaced by others. Alone: node bench/store-memory.ts [gigabytes]
 */
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { parseContentHash } from '../src/core/ids.ts'
import { seededRandom } from '../src/core/random.ts'
import { MemoryStore } from '../src/store/memory.ts'
import type { Bench, Findings } from './bench.ts'

const SCRIPT = fileURLToPath(import.meta.url)
const GIGABYTES = 4
const TARGET_RATIO = 1.05
/**
 * Makes glibc map each payload by itself and give it back when it is freed. Left alone, it raises its bound for that to
 * 32 MB as soon as payloads are freed, and what follows lies in a heap with gaps.
 */
const MAPPED = { MALLOC_MMAP_THRESHOLD_: '262144' }
const MB = 1_000_000

interface Measured {
  readonly storedBytes: number
  readonly grownBytes: number
}

interface Measurements {
  readonly ms: number
  readonly filled: Measured
  readonly replaced: Measured
}

export const bench: Bench = {
  summary: 'resident memory of the memory store for each stored byte',
  probes: {},
  run: async (): Promise<Findings> => {
    const { ms, notes } = measureBoth(GIGABYTES)
    return { rows: [{ what: `put ${GIGABYTES} GB in payloads of 1 to 4 MB`, runsMs: [ms] }], notes }
  },
}

function measureBoth(gigabytes: number): { readonly ms: number; readonly notes: readonly string[] } {
  const plain = measureInFreshProcess(gigabytes, {})
  const mapped = measureInFreshProcess(gigabytes, MAPPED)
  const setting = `MALLOC_MMAP_THRESHOLD_=${MAPPED.MALLOC_MMAP_THRESHOLD_}`
  return {
    ms: plain.ms,
    notes: [
      textOf('as put', plain.filled),
      textOf('after a third was replaced', plain.replaced),
      textOf(`with ${setting}, as put`, mapped.filled),
      textOf(`with ${setting}, after a third was replaced`, mapped.replaced),
    ],
  }
}

function measureInFreshProcess(gigabytes: number, environment: NodeJS.ProcessEnv): Measurements {
  const { status, stdout, stderr } = spawnSync(process.execPath, [SCRIPT, '--measure', String(gigabytes)], {
    encoding: 'utf8',
    env: { ...process.env, ...environment },
  })
  if (status !== 0) throw new Error(`Measuring failed: ${stderr}`)
  return JSON.parse(stdout) as Measurements
}

async function measure(gigabytes: number): Promise<Measurements> {
  const random = seededRandom(1)
  const store = new MemoryStore({ nowMs: () => 0 })
  const source = new Uint8Array(4 * MB).fill(1)
  const contentHash = parseContentHash(`s256:${'0'.repeat(64)}`)
  const put = async (index: number, version: number): Promise<void> => {
    const payloadBytes = MB + Math.floor(random() * 3 * MB)
    const head = new Uint8Array([version])
    const payload = source.subarray(0, payloadBytes)
    await store.put({ key: `fragment/${index}`, head, payloadBytes, contentHash, payload })
  }
  // Once before, so that code and first garbage are not counted.
  await put(0, 0)
  const before = residentBytes()
  const beforeBytes = store.stats().payloadBytes
  const measured = (): Measured => ({
    storedBytes: store.stats().payloadBytes - beforeBytes,
    grownBytes: residentBytes() - before,
  })
  const startMs = performance.now()
  let index = 1
  while (store.stats().payloadBytes < gigabytes * 1e9) await put(index++, 0)
  const ms = performance.now() - startMs
  const filled = measured()
  for (let next = 1; next < index; next += 3) await put(next, 1)
  return { ms, filled, replaced: measured() }
}

/** Of this process, as Linux counts them. */
function residentBytes(): number {
  try {
    return Number(/VmRSS:\s*(\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))?.[1]) * 1024
  } catch {
    return process.memoryUsage.rss()
  }
}

function textOf(when: string, { storedBytes, grownBytes }: Measured): string {
  const ratio = grownBytes / storedBytes
  const verdict = ratio <= TARGET_RATIO ? 'met' : 'NOT MET'
  return `${when}: ${(storedBytes / 1e9).toFixed(2)} GB stored, ${ratio.toFixed(4)} resident bytes for each, target ${TARGET_RATIO}: ${verdict}.`
}

if (process.argv[1] === SCRIPT) {
  if (process.argv[2] === '--measure') console.log(JSON.stringify(await measure(Number(process.argv[3]))))
  else {
    const { ms, notes } = measureBoth(Number(process.argv[2] ?? GIGABYTES))
    console.log(`${notes.join('\n')}\nFilled in ${(ms / 1000).toFixed(1)} s.`)
  }
}
