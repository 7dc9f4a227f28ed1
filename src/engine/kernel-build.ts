/** Which build of the kernel runs here. Both give the same bits; one of them is some sixty times faster. */
import { readFile } from 'node:fs/promises'
import { MembraneError } from '../core/errors.ts'
import { instantiateKernel, wasm, type WasmModule } from './webassembly.ts'

/**
 * `fused`: the machine multiplies and adds with one rounding, in one instruction. `portable`: that rounding is made of
 * 64-bit arithmetic, for machines without the instruction.
 */
export type KernelBuild = 'fused' | 'portable'

const FILES: Readonly<Record<KernelBuild, URL>> = {
  fused: new URL('../../kernel/build/llama.wasm', import.meta.url),
  portable: new URL('../../kernel/build/llama-portable.wasm', import.meta.url),
}

/** The fastest build that is right on this machine, or the one asked for. Throws COMPUTE_FAILED when it is not. */
export async function loadKernel(
  wanted?: KernelBuild,
): Promise<{ readonly module: WasmModule; readonly build: KernelBuild }> {
  if (wanted !== 'portable') {
    const bytes = await readBuild('fused')
    // An engine without relaxed SIMD does not even read this build.
    const module = wasm.validate(bytes) ? await wasm.compile(bytes) : null
    if (module !== null && (await roundsOnce(module))) return { module, build: 'fused' }
    if (wanted === 'fused')
      throw new MembraneError('COMPUTE_FAILED', 'This machine has no instruction that multiplies and adds at once.')
  }
  const module = await wasm.compile(await readBuild('portable'))
  if (await roundsOnce(module)) return { module, build: 'portable' }
  throw new MembraneError('COMPUTE_FAILED', 'The kernel does not round as IEEE 754 says.')
}

async function readBuild(build: KernelBuild): Promise<Uint8Array> {
  try {
    return await readFile(FILES[build])
  } catch (cause) {
    throw new MembraneError('COMPUTE_FAILED', `The engine's kernel ${FILES[build].pathname} cannot be read.`, {
      cause,
      remedy: 'Build it: node scripts/build.ts --kernel',
    })
  }
}

/** Relaxed SIMD leaves it to the machine whether the product is rounded too; here the sum would then be 0. */
async function roundsOnce(module: WasmModule): Promise<boolean> {
  const memory = new wasm.Memory({ initial: 1, maximum: 1, shared: true })
  const kernel = await instantiateKernel(module, memory)
  const a = 1 + 2 ** -12
  return kernel.multiplyAdd(a, a, -(1 + 2 ** -11)) === 2 ** -24
}
