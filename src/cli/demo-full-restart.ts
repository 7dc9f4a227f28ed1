/** The main phase: one process computes a long prompt and ends; another one finds its KV on disk and continues. */
import { spawn } from 'node:child_process'
import { rmSync } from 'node:fs'
import { mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { assert, MembraneError } from '../core/errors.ts'
import type { ContentHash } from '../core/ids.ts'
import type { ExplainedSpan } from '../reconstruct/rebuild-plan.ts'
import { isMostlyReused } from './demo-full-world.ts'
import { isEqualKv, type PhaseOutcome } from './demo-full-phase.ts'
import { figure, table } from './print.ts'
import { secondsText } from './print-generation.ts'
import { bytesText } from './units.ts'

/** What `membrane generate --json` prints, as far as it is shown here. */
export interface PrintedGeneration {
  readonly text: string
  readonly promptTokens: number
  readonly reusedTokens: number
  readonly prefilledTokens: number
  readonly ttftSeconds: number
  readonly loadSeconds: number
  readonly kvHash: ContentHash
  readonly explain: readonly ExplainedSpan[]
}

/** Runs `membrane generate` on a data directory, in a process of its own. */
export type GenerateProcess = (dataDir: string) => Promise<PrintedGeneration>

export const RESTART = {
  name: 'restart',
  title: 'Restart: a second process continues what the first computed',
} as const

export async function runRestart(generate: GenerateProcess): Promise<PhaseOutcome> {
  return withTemporaryFolder(async (folder) => {
    const first = await generate(folder)
    return outcomeOf(first, await generate(folder))
  })
}

function outcomeOf(first: PrintedGeneration, second: PrintedGeneration): PhaseOutcome {
  const ratio = first.ttftSeconds / second.ttftSeconds
  const readBytes = second.explain.reduce((sum, { bytes }) => sum + bytes, 0)
  return {
    says: [
      `Process 1 computes ${first.prefilledTokens} tokens: TTFT ${secondsText(first.ttftSeconds)}. It ends. Process 2 reads ${second.reusedTokens} of them from disk (${bytesText(readBytes)}, verified) and computes ${second.prefilledTokens}: TTFT ${secondsText(second.ttftSeconds)}, ${figure(ratio)} times as fast. Loading the model is not in these: ${secondsText(second.loadSeconds)}.`,
      table(
        ['tokens', 'from', 'read', 'time'],
        second.explain.map(({ start, end, source, bytes, seconds }) => [
          `${start}-${end}`,
          source,
          bytes === 0 ? '-' : bytesText(bytes),
          secondsText(seconds),
        ]),
      ),
      `Why: ${second.explain[0]?.reason ?? 'nothing was explained.'}`,
      `Both answer: "${second.text.trim().replaceAll(/\s+/g, ' ')}"`,
    ],
    figures: { first, second, ttftRatio: ratio, readBytes },
    checks: [
      { claim: 'the first process computes the whole prompt', holds: first.reusedTokens === 0 },
      { claim: 'the second one reads most of it', holds: isMostlyReused(second, second.promptTokens) },
      { claim: 'the KV of both is equal to the byte', holds: isEqualKv(first, second) },
      { claim: 'both give the same answer', holds: first.text === second.text },
      { claim: 'the second one is ready sooner', holds: ratio > 1 },
      { claim: 'the explanation covers the prompt, end to end', holds: isWhole(second) },
    ],
  }
}

function isWhole({ explain, promptTokens }: PrintedGeneration): boolean {
  return (
    explain.every(({ start }, index) => start === (explain[index - 1]?.end ?? 0)) &&
    explain.at(-1)?.end === promptTokens
  )
}

/** Runs this program again. Throws COMPUTE_FAILED, with what it said, when it fails. */
export function generateBy({ documentPath, maxTokens }: { documentPath: string; maxTokens: number }): GenerateProcess {
  return async (dataDir) => {
    const [program] = process.argv.slice(1)
    assert(program !== undefined, 'a command runs from a file')
    const words = ['generate', '--prompt-file', documentPath, '--max-tokens', `${maxTokens}`, '--data-dir', dataDir]
    return JSON.parse(await outputOf([program, ...words, '--json'])) as PrintedGeneration
  }
}

function outputOf(words: readonly string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [...process.execArgv, ...words], { stdio: ['ignore', 'pipe', 'pipe'] })
    const end = (): void => void child.kill()
    process.once('exit', end)
    let [out, err] = ['', '']
    child.stdout.setEncoding('utf8').on('data', (text: string) => (out += text))
    child.stderr.setEncoding('utf8').on('data', (text: string) => (err += text))
    child.on('error', reject).on('close', (code, signal) => {
      process.off('exit', end)
      if (code === 0) resolve(out)
      else reject(new MembraneError('COMPUTE_FAILED', `membrane generate ended with ${code ?? signal}: ${err.trim()}`))
    })
  })
}

/** Removed whatever happens, an interrupt included. */
export async function withTemporaryFolder<T>(use: (folder: string) => Promise<T>): Promise<T> {
  const folder = await mkdtemp(join(tmpdir(), 'membrane-demo-'))
  const remove = (): void => rmSync(folder, { recursive: true, force: true })
  const interrupted = (): void => process.exit(1)
  process.once('exit', remove).once('SIGINT', interrupted).once('SIGTERM', interrupted)
  try {
    return await use(folder)
  } finally {
    process.off('exit', remove).off('SIGINT', interrupted).off('SIGTERM', interrupted)
    remove()
  }
}
