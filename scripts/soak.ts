/**
 * The long runs, an hour or so: npm run soak
 * Properties with many more cases, the theory gate at full effort, every scenario at full length; each simulation checks
 * its laws when it ends. Prints one line for each part, and what a part said only if it failed; exit 1 if one did.
 */
import { spawnSync } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

interface Part {
  readonly name: string
  readonly command: readonly [string, ...string[]]
}

process.chdir(fileURLToPath(new URL('..', import.meta.url)))
const { execPath: node } = process
const MEMBRANE = [node, 'dist/cli/main.js'] as const

const parts: readonly Part[] = [
  { name: 'build', command: [node, 'scripts/build.ts', '--if-stale'] },
  { name: 'tests, many cases', command: ['node_modules/.bin/vitest', 'run'] },
  { name: 'theory gate', command: [...MEMBRANE, 'validate'] },
  ...readdirSync('scenarios').map((file) => ({
    name: `scenario ${file}`,
    command: [...MEMBRANE, 'simulate', '--scenario', `scenarios/${file}`, '--json'] as const,
  })),
]
// One after the other: each uses all processors.
if (parts.map((part) => passes(part)).includes(false)) process.exitCode = 1

function passes({ name, command: [file, ...args] }: Part): boolean {
  const startMs = performance.now()
  const { status, stdout, stderr, error } = spawnSync(file, args, {
    encoding: 'utf8',
    maxBuffer: 256 * 1024 * 1024,
    env: { ...process.env, MEMBRANE_SOAK: '1' },
  })
  const isPassed = status === 0
  const seconds = ((performance.now() - startMs) / 1000).toFixed(1)
  console.log(`${isPassed ? 'ok    ' : 'FAILED'} ${name} (${seconds} s)`)
  if (!isPassed) console.log(error?.message ?? `${stdout}${stderr}`)
  return isPassed
}
