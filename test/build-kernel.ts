/** Runs before all tests: the engine's kernel is built, and of these sources. */
import { buildKernel, isKernelStale } from '../scripts/kernel.ts'

export async function setup(): Promise<void> {
  if (isKernelStale()) await buildKernel()
}
