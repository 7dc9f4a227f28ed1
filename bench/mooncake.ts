import { existsSync, readFileSync } from 'node:fs'
import { mkdir, writeFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { gunzipSync, gzip } from 'node:zlib'
import { createTraceReader } from '../src/planner/trace-reader.ts'
import type { Trace, TraceFile } from '../src/planner/trace.ts'
import { syntheticTrace } from './synthetic-trace.ts'

/** Mooncake's own file is not part of this project; whoever has it names it here. */
const NAMED = process.env['MEMBRANE_MOONCAKE_TRACE']
/** Where Mooncake's trace is; null without it. */
export const MOONCAKE = NAMED !== undefined && existsSync(NAMED) ? NAMED : null
const FOLDER = fileURLToPath(new URL('../.cache/bench/', import.meta.url))

/** The trace of a bench: Mooncake's own where there is one, else one of its shape. */
export interface MooncakeTrace {
  readonly hasMooncake: boolean
  readonly path: string
  /** Writes the synthetic one if it is needed. */
  readonly prepare: () => Promise<void>
  readonly textNow: () => string
  readonly readNow: () => Trace
}

/** Benches with different names write different files, so that they can run at the same time. */
export function mooncakeTrace(bench: string): MooncakeTrace {
  const path = MOONCAKE ?? syntheticPath(bench)
  const textNow = (): string => {
    const bytes = readFileSync(path)
    return (bytes[0] === 0x1f ? gunzipSync(bytes) : bytes).toString('utf8')
  }
  return {
    hasMooncake: MOONCAKE !== null,
    path,
    prepare: async () => {
      if (MOONCAKE === null) await writeSynthetic(path)
    },
    textNow,
    readNow: () => {
      const reader = createTraceReader(path)
      reader.push(textNow())
      return requestsOf(reader.end())
    },
  }
}

export function syntheticPath(bench: string): string {
  return `${FOLDER}${bench}.jsonl.gz`
}

/** Written anew each time: it costs a second and cannot be out of date. */
export async function writeSynthetic(path: string): Promise<void> {
  await mkdir(FOLDER, { recursive: true })
  await writeFile(path, await promisify(gzip)(syntheticTrace()))
}

export function requestsOf(file: TraceFile): Trace {
  if (file.kind === 'requests') return file.trace
  throw new Error('The trace of the bench has no requests.')
}
