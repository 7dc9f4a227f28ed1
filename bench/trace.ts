import { existsSync } from 'node:fs'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { gunzip, gzip } from 'node:zlib'
import { readTraceFile } from '../src/cli/read-trace.ts'
import { analyzeTrace } from '../src/planner/trace-analysis.ts'
import type { Bench, Findings } from './bench.ts'
import { measureCold, ratioOf } from './harness.ts'
import { BLOCK_REFERENCES, REQUESTS, syntheticTrace } from './synthetic-trace.ts'

const TARGET_MS = 150
const FOLDER = fileURLToPath(new URL('../.cache/bench/', import.meta.url))
const SYNTHETIC = `${FOLDER}trace.jsonl.gz`
/** Mooncake's own file is not part of this project; whoever has it names it here. */
const MOONCAKE = process.env['MEMBRANE_MOONCAKE_TRACE']

/** Open, unpack, parse, check and analyse. */
function analysis(path: string) {
  return { prepare: () => async () => analyzeTrace(await readTraceFile(path)) }
}

/** The least that any reader in this language does: unpack, and JSON.parse of every line. */
function control(path: string) {
  return {
    prepare: () => async () => {
      const text = (await promisify(gunzip)(await readFile(path))).toString('utf8')
      let requests = 0
      for (const line of text.split('\n')) if (line !== '') requests += typeof JSON.parse(line) === 'object' ? 1 : 0
      return requests
    },
  }
}

export const bench: Bench = {
  summary: `analysis of ${REQUESTS} requests with block ids: gunzip, parse, check, analyse`,
  probes: {
    synthetic: analysis(SYNTHETIC),
    'synthetic-control': control(SYNTHETIC),
    ...(MOONCAKE === undefined ? {} : { mooncake: analysis(MOONCAKE), 'mooncake-control': control(MOONCAKE) }),
  },
  run: async (): Promise<Findings> => {
    await writeSynthetic()
    const synthetic = measureCold('trace', ['synthetic', 'synthetic-control'])
    const hasMooncake = MOONCAKE !== undefined && existsSync(MOONCAKE)
    const mooncake = hasMooncake ? measureCold('trace', ['mooncake', 'mooncake-control']) : null
    return {
      rows: [
        { what: 'cold: synthetic trace', runsMs: synthetic.synthetic, targetMs: TARGET_MS },
        { what: 'cold: control, gunzip and JSON.parse', runsMs: synthetic['synthetic-control'] },
        ...(mooncake === null
          ? []
          : [
              { what: 'cold: Mooncake conversation trace', runsMs: mooncake.mooncake, targetMs: TARGET_MS },
              { what: 'cold: control on it', runsMs: mooncake['mooncake-control'] },
            ]),
      ],
      ratios: [
        ratioOf('control / analysis, synthetic', synthetic['synthetic-control'], synthetic.synthetic),
        ...(mooncake === null
          ? []
          : [ratioOf('control / analysis, Mooncake', mooncake['mooncake-control'], mooncake.mooncake)]),
      ],
      notes: hasMooncake
        ? []
        : ["Set MEMBRANE_MOONCAKE_TRACE to Mooncake's conversation_trace.jsonl(.gz) to time it too."],
    }
  },
}

/** Written anew each time: it costs a second and cannot be out of date. */
async function writeSynthetic(): Promise<void> {
  await mkdir(FOLDER, { recursive: true })
  await writeFile(SYNTHETIC, await promisify(gzip)(syntheticTrace()))
  const read = await readTraceFile(SYNTHETIC)
  const references = read.kind === 'requests' ? read.trace.blocks?.ids.length : undefined
  if (references === BLOCK_REFERENCES) return
  throw new Error(`The synthetic trace has ${references} block references, expected ${BLOCK_REFERENCES}.`)
}
