import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect, test } from 'vitest'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))

/** A project of someone else's, with what would be published installed from its tarball. */
const consumer = mkdtempSync(join(tmpdir(), 'membrane-consumer-'))
let packedPaths: readonly string[] = []

beforeAll(() => {
  const packed = run(ROOT, 'npm', ['pack', '--json', '--ignore-scripts', '--pack-destination', consumer])
  const [tarball] = JSON.parse(packed) as readonly { filename: string; files: readonly { path: string }[] }[]
  if (tarball === undefined) throw new Error(`npm pack packed nothing: ${packed}`)
  packedPaths = tarball.files.map((file) => file.path)

  writeFileSync(join(consumer, 'package.json'), '{ "name": "consumer", "private": true, "type": "module" }\n')
  run(consumer, 'npm', ['install', '--ignore-scripts', '--prefer-offline', '--no-audit', `./${tarball.filename}`])
})

afterAll(() => rmSync(consumer, { recursive: true, force: true }))

test('the package holds what runs, its kernel, models, scenarios, schemas, papers and what the demo reads, and nothing else', () => {
  const foreign = packedPaths.filter(
    (path) =>
      !/^(dist|models|scenarios|schemas)\/|^kernel\/build\/llama(-portable)?\.wasm$|^examples\/packages\.txt$|^(package\.json|[A-Z]+(\.md)?)$/.test(
        path,
      ),
  )
  expect(foreign).toEqual([])
  const unneeded = packedPaths.filter((path) => /\.(test|bench)\.|(?<!\.d)\.ts$|\/\.|\.map$/.test(path))
  expect(unneeded).toEqual([])
  expect(packedPaths).toEqual(
    expect.arrayContaining([
      'dist/index.js',
      'dist/index.d.ts',
      'dist/cli/main.js',
      'dist/api/membrane.proto',
      'dist/engine/kernel-worker.js',
      'kernel/build/llama.wasm',
      'kernel/build/llama-portable.wasm',
      'LICENSE',
    ]),
  )
})

test('the installed command says its version', () => {
  const { version } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { version: string }
  expect(run(consumer, 'npx', ['membrane', '--version']).trim()).toBe(version)
})

test('the installed command optimizes the case study', () => {
  const answer = JSON.parse(run(consumer, 'npx', ['membrane', 'optimize', '--preset', 'case-study', '--json']))
  expect(answer.deployments).toHaveLength(3)
})

test('a strict TypeScript program compiles against the installed package and runs', () => {
  const source = [
    `import { optimize, preset } from 'membrane'`,
    `const { deployments } = optimize(preset('case-study'))`,
    `const count: number = deployments.length`,
    `console.log(String(count))`,
  ]
  writeFileSync(join(consumer, 'program.ts'), source.join('\n'))
  const compilerOptions = {
    target: 'es2024',
    lib: ['es2024', 'dom'],
    module: 'nodenext',
    strict: true,
    exactOptionalPropertyTypes: true,
    noEmit: true,
    // The declarations must hold by themselves, without the types of Node or of anything else that we use.
    types: [],
    skipLibCheck: false,
  }
  writeFileSync(join(consumer, 'tsconfig.json'), JSON.stringify({ compilerOptions, files: ['program.ts'] }))
  run(consumer, join(ROOT, 'node_modules/.bin/tsc'), ['-p', '.'])
  expect(run(consumer, process.execPath, ['program.ts']).trim()).toBe('3')
})

test('the fabric of the installed package keeps and finds a fragment', () => {
  const source = [
    `import { DEFAULT_FABRIC_OPTIONS, loadContentHashers, openDiskStore, openFabric } from 'membrane/fabric'`,
    `import { byteDescription } from 'membrane'`,
    `const { hashers } = await loadContentHashers()`,
    `const store = await openDiskStore({ directory: 'data', hashers })`,
    `const fabric = await openFabric({ ...DEFAULT_FABRIC_OPTIONS, store, hashers, clock: { nowMs: Date.now }, seed: 1 })`,
    `const description = byteDescription('artifact', 'text/plain')`,
    `const { key } = await fabric.of().put({ description, payload: new TextEncoder().encode('kept') })`,
    `console.log(new TextDecoder().decode((await fabric.of().get(key)).payload))`,
    `await fabric.close()`,
  ]
  writeFileSync(join(consumer, 'fabric.mjs'), source.join('\n'))
  expect(run(consumer, process.execPath, ['fabric.mjs']).trim()).toBe('kept')
})

function run(folder: string, command: string, commandArguments: readonly string[]): string {
  try {
    return execFileSync(command, commandArguments, { cwd: folder, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] })
  } catch (error) {
    const { stdout, stderr } = error as { stdout: string; stderr: string }
    throw new Error(`${command} ${commandArguments.join(' ')} failed:\n${stdout}${stderr}`, { cause: error })
  }
}
