/**
 * The long runs: npm run soak
 * Properties with many more cases, the theory gate at full effort, and every scenario at full length; a simulation
 * checks its laws when it ends. Prints one line for each part, and what a part said only if it failed.
 */
import { spawnSync } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

type Command = readonly [string, ...string[]]

process.chdir(fileURLToPath(new URL('..', import.meta.url)))
const MEMBRANE = [process.execPath, 'dist/cli/main.js'] as const

const PARTS: Readonly<Record<string, Command>> = {
  'unit tests, many cases': ['node_modules/.bin/vitest', 'run', '--project', 'unit', '--testTimeout', '3600000'],
  'theory gate': [...MEMBRANE, 'validate'],
  ...Object.fromEntries(
    readdirSync('scenarios').map((file): [string, Command] => [
      `scenarios/${file}`,
      [...MEMBRANE, 'simulate', '--scenario', `scenarios/${file}`, '--json'],
    ]),
  ),
}

// One after the other: each part uses all processors.
const results = Object.entries(PARTS).map(([name, command]) => runPart(name, command))
if (results.includes('failed')) process.exitCode = 1

function runPart(name: string, [file, ...args]: Command): 'passed' | 'failed' {
  const startMs = performance.now()
  const { status, stdout, stderr, error } = spawnSync(file, args, {
    encoding: 'utf8',
    maxBuffer: 256 * 1024 * 1024,
    env: { ...process.env, MEMBRANE_SOAK: '1' },
  })
  const seconds = ((performance.now() - startMs) / 1000).toFixed(1)
  console.log(`${status === 0 ? 'ok    ' : 'FAILED'} ${name} (${seconds} s)`)
  if (status === 0) return 'passed'
  console.log(error?.message ?? `${stdout}${stderr}`)
  return 'failed'
}
