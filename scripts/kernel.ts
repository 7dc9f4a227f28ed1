/**
 * Builds the engine's kernel from AssemblyScript: one build for machines that multiply and add in one instruction, one
 * for the others. The compiler makes equal bytes of equal sources, so the results are not in the repository.
 */
import { execFile } from 'node:child_process'
import { mkdir, rename } from 'node:fs/promises'
import { readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const ROOT = fileURLToPath(new URL('..', import.meta.url))
const SOURCES = join(ROOT, 'kernel/assembly')
const COMPILER = join(ROOT, 'node_modules/assemblyscript/bin/asc.js')
const BUILDS = { 'llama.wasm': ['--enable', 'relaxed-simd'], 'llama-portable.wasm': [] } as const
const FLAGS = ['-O3', '--noAssert', '--runtime', 'stub', '--enable', 'simd', '--enable', 'threads']
/** The host brings the memory, of up to 4 GiB. */
const MEMORY_FLAGS = ['--importMemory', '--sharedMemory', '--initialMemory', '1', '--maximumMemory', '65536']

export async function buildKernel(folder = join(ROOT, 'kernel/build')): Promise<void> {
  await mkdir(folder, { recursive: true })
  for (const [file, features] of Object.entries(BUILDS)) {
    // Others may read the file now, or build it too.
    const staging = join(folder, `${file}.${process.pid}`)
    await compile([...FLAGS, ...features, ...MEMORY_FLAGS, '--outFile', staging])
    await rename(staging, join(folder, file))
  }
}

/** In a process of its own: the compiler's declarations, once imported, would change those of arrays everywhere. */
async function compile(flags: readonly string[]): Promise<void> {
  const said = await new Promise<string>((resolve) => {
    const args = [COMPILER, 'index.ts', '--baseDir', SOURCES, ...flags]
    execFile(process.execPath, args, { cwd: ROOT }, (error, stdout, stderr) => {
      resolve(error === null ? stderr : `${stdout}${stderr}` || error.message)
    })
  })
  // Warnings count: the compiler warns of what 32-bit and 64-bit addresses would do differently.
  if (said !== '') throw new Error(`The kernel does not compile.\n${said}`)
}

/** Whether a source is newer than what was built of it. */
export function isKernelStale(): boolean {
  const built = Object.keys(BUILDS).map((file) => statSync(join(ROOT, 'kernel/build', file), { throwIfNoEntry: false }))
  const sources = [SOURCES, ...readdirSync(SOURCES).map((name) => join(SOURCES, name)), fileURLToPath(import.meta.url)]
  const newestMs = Math.max(...sources.map((path) => statSync(path).mtimeMs))
  return built.some((file) => file === undefined || file.mtimeMs < newestMs)
}
