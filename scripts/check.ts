/**
 * Everything that can be checked without running the product: node scripts/check.ts
 * Prints one line for each step, and what a step said only if it failed.
 */
import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'

const STEPS = {
  format: ['biome', 'format', '--colors=off', '.'],
  // `--type-aware` finds floating promises and switches that miss a case.
  lint: ['oxlint', '--type-aware', '--deny-warnings'],
  types: ['tsc', '-p', 'tsconfig.json'],
  architecture: ['vitest', 'run', 'test/architecture.test.ts'],
  'dead code': ['knip', '--no-progress'],
} as const

process.chdir(fileURLToPath(new URL('..', import.meta.url)))
const results = await Promise.all(Object.entries(STEPS).map(([name, [tool, ...rest]]) => runStep(name, tool, rest)))
if (results.includes('failed')) process.exitCode = 1

async function runStep(name: string, tool: string, rest: readonly string[]): Promise<'passed' | 'failed'> {
  const startMs = performance.now()
  const failure = await new Promise<string | null>((resolve) => {
    execFile(`node_modules/.bin/${tool}`, rest, { maxBuffer: 64 * 1024 * 1024 }, (error, stdout, stderr) => {
      resolve(error === null ? null : `${stdout}${stderr}` || error.message)
    })
  })
  const seconds = ((performance.now() - startMs) / 1000).toFixed(1)
  console.log(
    `${failure === null ? 'ok    ' : 'FAILED'} ${name} (${seconds} s)${failure === null ? '' : `\n${failure}`}`,
  )
  return failure === null ? 'passed' : 'failed'
}
