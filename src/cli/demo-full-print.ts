/** The demo for people: 80 columns, whatever the terminal, so that it can be read, copied and compared. */
import type { KvBackend } from '../core/compute.ts'
import type { PhaseResult } from './demo-full-phase.ts'
import { bad, dim, figure, good, heading } from './print.ts'
import { broken } from './print-generation.ts'
import { SELF } from './run-command.ts'

const COLUMNS = 80
const INDENT = '   '

export function headingText({ model, description }: KvBackend): string {
  return `${heading('Membrane on real KV')}\n${wrapped(`Model ${model.name}, ${description}; KV that is computed, stored, read and compared here.`, '').join('\n')}`
}

/** `1 Cache: ...   ok`, then its paragraphs; of a failed phase, what did not hold. */
export function phaseText({ title, passed, says, checks }: PhaseResult, number: number): string {
  const verdict = passed ? 'ok' : 'FAILED'
  const name = `${number}`.padEnd(INDENT.length) + title
  const paint = passed ? good : bad
  const failed = checks.filter(({ holds }) => !holds)
  return [
    `${heading(name)}${' '.repeat(Math.max(1, COLUMNS - name.length - verdict.length))}${paint(verdict)}`,
    ...says.flatMap((text) => (text.includes('\n') ? indented(text) : wrapped(text, INDENT))),
    ...failed.flatMap(({ claim }) => wrapped(`Does not hold: ${claim}`, INDENT).map((line) => bad(line))),
  ].join('\n')
}

/** `name` is what the demo is called. */
export function verdictText(name: string, results: readonly PhaseResult[], seconds: number): string {
  const passed = results.filter((result) => result.passed).length
  const checks = results.flatMap((result) => result.checks)
  const held = checks.filter(({ holds }) => holds).length
  const isGood = passed === results.length
  const counts = `${passed} of ${results.length} phases, ${held} of ${checks.length} checks, in ${figure(seconds)} s.`
  return [
    `${isGood ? good('All hold') : bad('Not all hold')}: ${counts}`,
    dim(`Every figure: ${SELF} demo ${name} --json`),
  ].join('\n')
}

function indented(text: string): string[] {
  return text.split('\n').map((line) => INDENT + line)
}

/** Lines of 80 columns at most. */
export function wrapped(text: string, indent: string): string[] {
  return broken(text, COLUMNS - indent.length).map((line) => indent + line)
}
