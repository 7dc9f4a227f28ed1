/**
 * Builds dist/: the library as plain modules with declarations, and the CLI as a bundle. Builds kernel/build/ too.
 *
 *   node scripts/build.ts [--if-stale]
 *   node scripts/build.ts --kernel      only what the engine computes with
 *
 * The CLI is bundled with its packages because that halves what they cost at start-up (a command that draws with
 * vega: 337 ms to 177 ms; one that checks input with zod: 105 ms to 77 ms). Splitting keeps each `import()` in its
 * own file, so that `--version` reads none of it. Names are kept, so that stack traces stay readable.
 */
import { spawn } from 'node:child_process'
import { chmod, copyFile, mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { globSync, readdirSync, statSync } from 'node:fs'
import { basename, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { buildKernel, isKernelStale } from './kernel.ts'

/** What dist/ is made from. The launcher reads this list from the stamp. */
const INPUTS = [
  'src',
  'package.json',
  'package-lock.json',
  'tsconfig.json',
  'tsconfig.build.json',
  'scripts/build.ts',
  // Nothing of these is in dist/, but the launcher builds when something of this list is newer.
  'kernel/assembly',
  'scripts/kernel.ts',
]
const STAMP = 'dist/.built'

process.chdir(fileURLToPath(new URL('..', import.meta.url)))
const isForced = !process.argv.includes('--if-stale')
const isOnlyKernel = process.argv.includes('--kernel')
try {
  if (isForced || isKernelStale()) await buildKernel()
  if (!isOnlyKernel && (isForced || isStale())) await build()
} catch (error) {
  console.error(`The build failed. ${error instanceof Error ? error.message : String(error)}`)
  process.exitCode = 1
}

function isStale(): boolean {
  const builtMs = statSync(STAMP, { throwIfNoEntry: false })?.mtimeMs
  if (builtMs === undefined) return true
  // A folder's own time tells of files that were deleted from it.
  const inside = INPUTS.flatMap((input) =>
    statSync(input).isDirectory()
      ? readdirSync(input, { recursive: true, encoding: 'utf8' }).map((name) => join(input, name))
      : [],
  )
  return [...INPUTS, ...inside].some((path) => statSync(path).mtimeMs > builtMs)
}

/** Builds beside dist/ and puts the result in its place at the end, so that a failed build changes nothing. */
async function build(): Promise<void> {
  const staging = `.cache/build-${process.pid}`
  await mkdir(staging, { recursive: true })
  try {
    // First, so that a source which changes during the build counts as newer.
    await writeFile(join(staging, basename(STAMP)), `${INPUTS.join(' ')}\n`)
    await compileLibrary(staging)
    // Read when it runs: for reflection, and because others generate their clients from it.
    for (const path of globSync('src/**/*.proto')) await copyFile(path, join(staging, relative('src', path)))
    await bundleCli(join(staging, 'cli'))
    await replaceDist(staging)
  } finally {
    await rm(staging, { recursive: true, force: true })
  }
}

async function compileLibrary(folder: string): Promise<void> {
  const compiler = spawn('node_modules/.bin/tsc', ['-p', 'tsconfig.build.json', '--outDir', folder], {
    stdio: ['ignore', 'inherit', 'inherit'],
  })
  const exitCode = await new Promise((resolve, reject) => compiler.on('close', resolve).on('error', reject))
  if (exitCode !== 0) throw new Error('The TypeScript compiler found the errors above.')
}

async function bundleCli(folder: string): Promise<void> {
  // What the compiler made of src/cli: no other module imports it.
  await rm(folder, { recursive: true, force: true })
  const { build: bundle } = await import('esbuild')
  // Workers start from a file of their own, beside main.js as in src/cli.
  const workers = (await readdir('src/cli')).filter((name) => name.endsWith('worker.ts'))
  const { metafile } = await bundle({
    entryPoints: ['main.ts', ...workers].map((name) => join('src/cli', name)),
    outdir: folder,
    bundle: true,
    splitting: true,
    format: 'esm',
    platform: 'node',
    // Of a CommonJS package that is loaded on demand, a bundle in parts shows the default export alone.
    mainFields: ['module', 'main'],
    // They find their binaries or proto files beside themselves, or are CommonJS that nothing here sees through, so they
    // stay packages of their own.
    external: ['@napi-rs/blake-hash', 'usearch', '@grpc/*', 'grpc-health-check', 'ioredis'],
    target: 'node22.18',
    minifyWhitespace: true,
    metafile: true,
    logLevel: 'warning',
    // CommonJS packages inside the bundle ask for built-in modules this way.
    // Under a name that no source of ours has.
    banner: { js: 'import{createRequire as requireOf}from"node:module";const require=requireOf(import.meta.url);' },
  })
  await writeFile(join(folder, 'THIRD-PARTY-LICENSES.txt'), await licences(Object.keys(metafile.inputs)))

  const main = join(folder, 'main.js')
  const code = await readFile(main, 'utf8')
  if (!code.startsWith('#!')) await writeFile(main, `#!/usr/bin/env node\n${code}`)
  await chmod(main, 0o755)
}

/** The licence texts of the packages that the bundle holds copies of. */
async function licences(bundledFiles: readonly string[]): Promise<string> {
  const folders = bundledFiles.flatMap((path) => /^(?:.*\/)?node_modules\/(?:@[^/]+\/)?[^/]+/.exec(path)?.[0] ?? [])
  const texts: string[] = []
  for (const folder of new Set(folders.toSorted())) {
    const names = (await readdir(folder)).filter((name) => /^(licen[cs]e|copying)/i.test(name))
    const { name, version, license } = JSON.parse(await readFile(join(folder, 'package.json'), 'utf8'))
    const body = await Promise.all(names.map((file) => readFile(join(folder, file), 'utf8')))
    texts.push([`${name} ${version} (${license})`, ...body.map((text) => text.trim())].join('\n\n'))
  }
  return `${texts.join(`\n\n${'-'.repeat(80)}\n\n`)}\n`
}

async function replaceDist(staging: string): Promise<void> {
  const previous = `${staging}-previous`
  // Another build may finish between the two renames; ours is as good, so it is put in place once more.
  for (let attempt = 1; ; attempt += 1) {
    await rename('dist', previous).catch(ignore('ENOENT'))
    const isDone = await rename(staging, 'dist').then(() => true, ignore('ENOTEMPTY', 'EEXIST'))
    await rm(previous, { recursive: true, force: true })
    if (isDone === true) return
    if (attempt === 5) throw new Error('dist/ is being written by something else.')
  }
}

function ignore(...codes: readonly string[]): (error: NodeJS.ErrnoException) => void {
  return (error) => {
    if (!codes.includes(error.code ?? '')) throw error
  }
}
