import { readFile } from 'node:fs/promises'
import { promisify } from 'node:util'
import { gunzip } from 'node:zlib'
import { readTraceFile } from '../src/cli/read-trace.ts'
import { analyzeTrace } from '../src/planner/trace-analysis.ts'
import type { Bench, Findings } from './bench.ts'
import { measureCold, ratioOf } from './harness.ts'
import { MOONCAKE, syntheticPath, writeSynthetic } from './mooncake.ts'
import { BLOCK_REFERENCES, REQUESTS } from './synthetic-trace.ts'

const TARGET_MS = 150
const SYNTHETIC = syntheticPath('trace')

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
    ...(MOONCAKE === null ? {} : { mooncake: analysis(MOONCAKE), 'mooncake-control': control(MOONCAKE) }),
  },
  run: async (): Promise<Findings> => {
    await writeChecked()
    const synthetic = measureCold('trace', ['synthetic', 'synthetic-control'])
    const mooncake = MOONCAKE !== null ? measureCold('trace', ['mooncake', 'mooncake-control']) : null
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
      notes:
        MOONCAKE !== null
          ? []
          : ["Set MEMBRANE_MOONCAKE_TRACE to Mooncake's conversation_trace.jsonl(.gz) to time it too."],
    }
  },
}

/** Holds it against what it should be. */
async function writeChecked(): Promise<void> {
  await writeSynthetic(SYNTHETIC)
  const read = await readTraceFile(SYNTHETIC)
  const references = read.kind === 'requests' ? read.trace.blocks?.ids.length : undefined
  if (references === BLOCK_REFERENCES) return
  throw new Error(`The synthetic trace has ${references} block references, expected ${BLOCK_REFERENCES}.`)
}
