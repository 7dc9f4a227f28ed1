import { spawnSync } from 'node:child_process'
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect, test } from 'vitest'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))

/** A checkout with a CLI of a few lines, so that building it again and again takes no time. */
const checkout = mkdtempSync(join(tmpdir(), 'membrane-checkout-'))
const launcher = join(checkout, 'membrane')

beforeAll(() => {
  for (const name of [
    'membrane',
    'scripts',
    'package.json',
    'package-lock.json',
    'tsconfig.json',
    'tsconfig.build.json',
    // After the scripts, so that what was built of it counts as new.
    'kernel',
  ]) {
    cpSync(join(ROOT, name), join(checkout, name), { recursive: true })
  }
  // With the mark of a finished set-up, so that no test installs packages.
  mkdirSync(join(checkout, 'node_modules'))
  for (const name of readdirSync(join(ROOT, 'node_modules')).filter((entry) => entry !== '.installed-from.json')) {
    symlinkSync(join(ROOT, 'node_modules', name), join(checkout, 'node_modules', name))
  }
  cpSync(join(ROOT, 'package-lock.json'), join(checkout, 'node_modules/.installed-from.json'))
  mkdirSync(join(checkout, 'src/cli'), { recursive: true })
  writeSource('index.ts', 'export const name = "membrane"\n')
  writeSource('cli/main.ts', `console.log(process.argv.slice(2).join(' '))\nprocess.exitCode = 7\n`)
})

afterAll(() => rmSync(checkout, { recursive: true, force: true }))

test('the first run sets up, and says so in one line on stderr', () => {
  const { status, stdout, stderr } = launch(['a', 'b  c'])
  expect(stdout).toBe('a b  c\n')
  expect(stderr).toBe('Setting up membrane (once)\n')
  expect(status).toBe(7)
})

test('the next run builds nothing and says nothing', () => {
  const builtMs = statSync(join(checkout, 'dist/.built')).mtimeMs
  expect(launch(['x'])).toMatchObject({ status: 7, stdout: 'x\n', stderr: '' })
  expect(statSync(join(checkout, 'dist/.built')).mtimeMs).toBe(builtMs)
})

test('runs from any folder and through a link', () => {
  const link = join(checkout, 'link')
  symlinkSync(launcher, link)
  expect(launch(['x'], { command: link, cwd: tmpdir() })).toMatchObject({ status: 7, stdout: 'x\n', stderr: '' })
})

test('the process that was started becomes the CLI, so that signals reach it', () => {
  writeSource('cli/main.ts', `process.kill(process.pid, 'SIGTERM')\nsetTimeout(() => {}, 60_000)\n`)
  expect(launch([])).toMatchObject({ status: null, signal: 'SIGTERM', stderr: '' })
})

test('a source that does not compile is reported and keeps what was built', () => {
  writeSource('cli/main.ts', `const count: number = 'one'\nconsole.log(count)\n`)
  const { status, stdout, stderr } = launch([])
  expect(status).toBe(1)
  expect(stdout).toBe('')
  expect(stderr).toMatch(/src\/cli\/main\.ts.*error TS2322[^]*The build failed/)
  expect(existsSync(join(checkout, 'dist/cli/main.js'))).toBe(true)
})

test('a changed source is built before it runs, and what its build no longer makes is gone', () => {
  writeSource('cli/main.ts', `console.log('changed')\n`)
  writeSource('extra.ts', 'export const extra = 1\n')
  expect(launch([])).toMatchObject({ status: 0, stdout: 'changed\n', stderr: '' })
  expect(existsSync(join(checkout, 'dist/extra.js'))).toBe(true)
  rmSync(join(checkout, 'src/extra.ts'))
  expect(launch([])).toMatchObject({ status: 0, stdout: 'changed\n', stderr: '' })
  expect(existsSync(join(checkout, 'dist/extra.js'))).toBe(false)
})

test('runs at the same time do not disturb each other', () => {
  writeSource('cli/main.ts', `console.log('together')\n`)
  const together = Array.from({ length: 4 }, () => `"${launcher}" &`).join(' ')
  const { stdout, stderr } = launch(['-c', `${together} wait`], { command: 'sh' })
  expect(stdout).toBe('together\n'.repeat(4))
  expect(stderr).toBe('')
})

test('a Node that has gone is looked for again', () => {
  writeFileSync(join(checkout, '.cache/node-path'), `${join(checkout, 'gone/node')}\n`)
  expect(launch([])).toMatchObject({ status: 0, stdout: 'together\n', stderr: '' })
})

test('a machine without a Node that is new enough gets to know what is needed', () => {
  const commands = join(checkout, 'commands')
  mkdirSync(commands)
  for (const [name, line] of Object.entries({ node: 'echo v20.0.0', uname: 'echo Elsewhere' })) {
    writeFileSync(join(commands, name), `#!/bin/sh\n${line}\n`)
    chmodSync(join(commands, name), 0o755)
  }
  rmSync(join(checkout, '.cache/node-path'))
  const { status, stdout, stderr } = launch([], { path: `${commands}:/usr/bin:/bin` })
  expect(status).toBe(1)
  expect(stdout).toBe('')
  expect(stderr).toMatch(/Node 22\.18 or newer is needed.*Elsewhere.*\n.*commands\/node, which is v20\.0\.0/)
})

function writeSource(name: string, text: string): void {
  writeFileSync(join(checkout, 'src', name), text)
}

function launch(launchArguments: readonly string[], options: { command?: string; cwd?: string; path?: string } = {}) {
  const { command = launcher, cwd = checkout, path = process.env['PATH'] } = options
  return spawnSync(command, launchArguments, { cwd, encoding: 'utf8', env: { ...process.env, PATH: path } })
}
