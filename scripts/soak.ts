/**
 * The long runs: npm run soak
 * Properties with many more cases, the theory gate at full effort, and every scenario at full length; a simulation
 * checks its laws when it ends. Engines that are not ours run where they are installed. Prints one line for each part,
 * and what a part said only if it failed.
 */
import { spawnSync } from 'node:child_process'
import { existsSync, readdirSync } from 'node:fs'
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

/** In processes, since native code may end the one that it runs in. */
const OPTIONAL_ENGINES: Command = [
  ...(['node_modules/.bin/vitest', 'run', '--project', 'unit', '--pool', 'forks', '--testTimeout', '3600000'] as const),
  'src/compute/llama.test.ts',
  'src/compute/transformers.test.ts',
]
const OPTIONAL_PACKAGES = ['node-llama-cpp', '@huggingface/transformers']

// One after the other: each part uses all processors.
const results = Object.entries(PARTS).map(([name, command]) => runPart(name, command))
if (OPTIONAL_PACKAGES.every((name) => existsSync(`.optional/node_modules/${name}`)))
  results.push(runPart('optional engines', OPTIONAL_ENGINES, { MEMBRANE_OPTIONAL: '1' }))
else console.log('NOT RUN optional engines: they are not installed (npm install --prefix .optional)')
if (results.includes('failed')) process.exitCode = 1

function runPart(
  name: string,
  [file, ...args]: Command,
  environment: Readonly<Record<string, string>> = {},
): 'passed' | 'failed' {
  const startMs = performance.now()
  const { status, stdout, stderr, error } = spawnSync(file, args, {
    encoding: 'utf8',
    maxBuffer: 256 * 1024 * 1024,
    env: { ...process.env, MEMBRANE_SOAK: '1', ...environment },
  })
  const seconds = ((performance.now() - startMs) / 1000).toFixed(1)
  console.log(`${status === 0 ? 'ok    ' : 'FAILED'} ${name} (${seconds} s)`)
  if (status === 0) return 'passed'
  console.log(error?.message ?? `${stdout}${stderr}`)
  return 'failed'
}
