import { spawn } from 'node:child_process'
import {
  chmodSync,
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { commandsBelow, programsOf, runnableExamples } from '../documents.ts'
import { freePort, type MembraneServer, startMembraneServer } from '../membrane-server.ts'
import { missingPrograms } from '../redis-server.ts'
import { PROGRAM, ROOT } from './command.ts'

const CONNECT = readFileSync(join(ROOT, 'docs/connect.md'), 'utf8')
/** As the document says them, by the flag that opens the door. */
const PORTS = { '--port': 8080, '--resp-port': 6380, '--lm-port': 65_432, '--grpc-port': 50_051 } as const

const folder = mkdtempSync(join(tmpdir(), 'membrane-documents-'))
const real = new Map<number, number>()
let server: MembraneServer

beforeAll(async () => {
  const args = ['--compute', 'cpu']
  for (const [flag, port] of Object.entries(PORTS)) {
    if (flag === '--port') continue
    real.set(port, await freePort())
    args.push(flag, String(real.get(port)))
  }
  server = await startMembraneServer({ args })
  real.set(PORTS['--port'], server.port)
  // What a user has who installed the package.
  mkdirSync(join(folder, 'bin'))
  const command = join(folder, 'bin/membrane')
  writeFileSync(command, `#!/bin/sh\nexec '${process.execPath}' '${PROGRAM}' "$@"\n`)
  chmodSync(command, 0o755)
  mkdirSync(join(folder, 'node_modules'))
  symlinkSync(ROOT, join(folder, 'node_modules/membrane'))
  for (const name of ['ioredis', 'openai'])
    symlinkSync(join(ROOT, 'node_modules', name), join(folder, 'node_modules', name))
})

afterAll(async () => {
  await server.stop()
  rmSync(folder, { recursive: true, force: true })
})

const examples = runnableExamples(CONNECT).map((example) => ({
  ...example,
  what: `${example.language}, line ${example.line}`,
}))

test('the document has examples', () => {
  expect(examples.length).toBeGreaterThan(5)
})

test.each(examples)('docs/connect.md runs: $what', async ({ language, code }) => {
  const isShell = language === 'sh'
  if (isShell && /^redis-cli/m.test(code) && missingPrograms('redis-cli').length > 0) return
  const text = code.replaceAll(/\b(8080|6380|65432|50051)\b/g, (port) => String(real.get(Number(port))))
  const file = join(folder, isShell ? 'example.sh' : 'example.mjs')
  writeFileSync(file, text)
  const { code: exitCode, said } = isShell
    ? await run(folder, 'bash', '-e', '-o', 'pipefail', file)
    : await run(folder, process.execPath, file)
  expect(exitCode, `${said}\n${server.log()}`).toBe(0)
})

/** Those of the memory and of the rebuild, in order, in one folder: each goes on with what those before it made. */
test('README.md runs: the memory and the rebuild', async () => {
  const place = join(folder, 'readme')
  mkdirSync(join(place, 'examples'), { recursive: true })
  copyFileSync(join(ROOT, 'examples/packages.txt'), join(place, 'examples/packages.txt'))
  symlinkSync(join(folder, 'bin/membrane'), join(place, 'membrane'))
  writeFileSync(join(place, 'notes.md'), 'Otters sleep holding hands.')
  writeFileSync(join(place, 'large.bin'), Buffer.alloc(1_000_000, 7))
  const readme = readFileSync(join(ROOT, 'README.md'), 'utf8')
  const commands = ['## Keep KV: the memory', '## Compute only what is missing: rebuild'].flatMap((heading) =>
    commandsBelow(readme, heading),
  )
  expect(commands.length).toBeGreaterThan(10)
  for (const command of commands) {
    const { code, said } = await run(place, 'bash', '-c', command)
    // One key of `has` is not there, as the document says.
    expect(code, `${command}\n${said}`).toBe(command.startsWith('./membrane has') ? 1 : 0)
  }
})

test('README.md runs: the first commands, and the question about your own traffic', async () => {
  const place = join(folder, 'plan')
  mkdirSync(place)
  for (const name of ['examples', 'schemas']) symlinkSync(join(ROOT, name), join(place, name))
  symlinkSync(join(folder, 'bin/membrane'), join(place, 'membrane'))
  const readme = readFileSync(join(ROOT, 'README.md'), 'utf8')
  const commands = ['## Two commands', '## Answer it for your own model and traffic'].flatMap((heading) =>
    commandsBelow(readme, heading),
  )
  expect(commands.length).toBeGreaterThan(6)
  for (const command of commands) {
    const { code, said } = await run(place, 'bash', '-c', command)
    expect(code, `${command}\n${said}`).toBe(0)
  }
})

const programs = programsOf(readFileSync(join(ROOT, 'README.md'), 'utf8'))
/** What an example leaves to its reader. */
const GIVEN =
  "const prompt = [1, 2, 3]\nconst model = 'ab'.repeat(32) as import('membrane').ModelFingerprint\nconst tenantSalt = 'salt'\n"

test('README.md has programs', () => {
  expect(programs.length).toBeGreaterThan(2)
})

test.each(programs)('README.md runs: ts, line $line', async ({ code, line }) => {
  const place = join(folder, `ts-${line}`)
  mkdirSync(place)
  const given = code.includes('tenantSalt') && !code.includes('const tenantSalt') ? GIVEN : ''
  const text = `${given}${code}`.replaceAll('http://127.0.0.1:8080', server.url)
  writeFileSync(join(place, 'example.mts'), text)
  const { code: exitCode, said } = await run(place, process.execPath, 'example.mts')
  expect(exitCode, said).toBe(0)
})

async function run(cwd: string, program: string, ...words: readonly string[]) {
  const child = spawn(program, words, {
    cwd,
    env: { ...process.env, PATH: `${join(folder, 'bin')}${delimiter}${process.env['PATH'] ?? ''}` },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let said = ''
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (piece: string) => {
      said += piece
    })
  return { code: await new Promise((resolve) => child.once('close', resolve)), said }
}
