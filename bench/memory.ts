/** Peak memory of whole processes. The harness knows times only, so megabytes are notes. */
import { spawnSync } from 'node:child_process'
import type { Bench, Findings } from './bench.ts'
import { buildCommandLine, MAIN, ROOT } from './command-line.ts'

const REQUESTS = 10_000_000
const TARGET_MB = 100
/**
 * Said on standard error by the process itself, when it ends, in KiB. Linux counts what a process was before it became
 * Node to `maxRSS`, a copy of this one; VmHWM begins anew.
 */
const REPORTER = `data:text/javascript,${encodeURIComponent(`
  import { readFileSync } from 'node:fs'
  process.on('exit', () => {
    let peakKib = process.resourceUsage().maxRSS
    try {
      peakKib = Number(/VmHWM:\\s*(\\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))[1])
    } catch {}
    process.stderr.write('\\npeakKib=' + peakKib)
  })
`)}`

export const bench: Bench = {
  summary: 'peak resident memory of whole processes',
  probes: {},
  run: async (): Promise<Findings> => {
    buildCommandLine()
    const simulate = (requests: number) =>
      measure([MAIN, 'simulate', '--rate', '2.4', '--requests', String(requests), '--workers', '1', '--json'])
    const bare = measure(['-e', '0'])
    const small = simulate(10_000)
    const large = simulate(REQUESTS)
    return {
      rows: [{ what: `simulate --requests ${REQUESTS} --workers 1, process`, runsMs: [large.ms] }],
      notes: [
        `${REQUESTS} requests: ${large.peakMb.toFixed(1)} MB, target ${TARGET_MB} MB: ${large.peakMb <= TARGET_MB ? 'met' : 'NOT MET'}.`,
        `10000 requests: ${small.peakMb.toFixed(1)} MB; node -e 0: ${bare.peakMb.toFixed(1)} MB.`,
      ],
    }
  },
}

function measure(args: readonly string[]): { readonly ms: number; readonly peakMb: number } {
  const start = performance.now()
  const { status, stderr } = spawnSync(process.execPath, ['--import', REPORTER, ...args], {
    cwd: ROOT,
    encoding: 'utf8',
    maxBuffer: 64 * 1024 * 1024,
  })
  const peakKib = /peakKib=(\d+)/.exec(stderr)?.[1]
  if (status !== 0 || peakKib === undefined) throw new Error(`${args.join(' ')} failed: ${stderr}`)
  return { ms: performance.now() - start, peakMb: (Number(peakKib) * 1024) / 1e6 }
}
