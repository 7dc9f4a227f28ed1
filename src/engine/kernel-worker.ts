/** A thread of the kernel. It computes what the job says with the others, then the first one answers. */
import { parentPort, workerData } from 'node:worker_threads'
import { instantiateKernel, type SharedMemory, type WasmModule } from './webassembly.ts'

/** What a thread is started with. */
export interface KernelWorkerData {
  readonly module: WasmModule
  readonly memory: SharedMemory
  readonly thread: number
}

const { module, memory, thread }: KernelWorkerData = workerData
const kernel = await instantiateKernel(module, memory)
parentPort?.on('message', (job: number) => {
  kernel.forward(job, thread)
  // All threads have ended the last phase, or write nothing more.
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- threads have no origin; windows do.
  parentPort?.postMessage('done')
})
// oxlint-disable-next-line unicorn/require-post-message-target-origin -- threads have no origin; windows do.
parentPort?.postMessage('ready')
