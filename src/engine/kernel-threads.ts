/** The threads that run the kernel. Between calls they sleep; none of them keeps the process alive. */
import { Worker } from 'node:worker_threads'
import { MembraneError } from '../core/errors.ts'
import type { KernelWorkerData } from './kernel-worker.ts'
import type { SharedMemory, WasmModule } from './webassembly.ts'

export class KernelThreads {
  readonly count: number
  readonly #workers: readonly Worker[]
  #failure: MembraneError | null = null
  readonly #waiting = new Set<(error: MembraneError) => void>()

  private constructor(workers: readonly Worker[]) {
    this.count = workers.length
    this.#workers = workers
    for (const worker of workers) {
      worker.on('error', (cause) => this.#fail('A thread of the engine failed.', cause))
      worker.on('exit', (code) => this.#fail(`A thread of the engine ended, with code ${code}.`))
    }
  }

  /** Throws COMPUTE_FAILED when a thread does not start. */
  static async start(count: number, module: WasmModule, memory: SharedMemory): Promise<KernelThreads> {
    const workers = Array.from({ length: count }, (_, thread) => {
      const workerData: KernelWorkerData = { module, memory, thread }
      return new Worker(workerFile(), { workerData })
    })
    const threads = new KernelThreads(workers)
    try {
      await threads.#answers()
    } catch (error) {
      await threads.stop()
      throw error
    }
    return threads
  }

  /** Runs the job at this address; one at a time. Throws COMPUTE_FAILED when a thread ended. */
  async run(job: number): Promise<void> {
    const done = this.#answers()
    for (const worker of this.#workers) {
      // oxlint-disable-next-line unicorn/require-post-message-target-origin -- threads have no origin; windows do.
      worker.postMessage(job)
    }
    await done
  }

  async stop(): Promise<void> {
    this.#failure ??= new MembraneError('COMPUTE_FAILED', 'The engine has been closed.')
    await Promise.all(this.#workers.map((worker) => worker.terminate()))
  }

  /** One message of each thread. While they are awaited, the process stays. */
  async #answers(): Promise<void> {
    if (this.#failure !== null) throw this.#failure
    for (const worker of this.#workers) worker.ref()
    try {
      await new Promise<void>((resolve, reject) => {
        let missing = this.#workers.length
        this.#waiting.add(reject)
        for (const worker of this.#workers) {
          worker.once('message', () => {
            missing -= 1
            if (missing > 0) return
            this.#waiting.delete(reject)
            resolve()
          })
        }
      })
    } finally {
      for (const worker of this.#workers) worker.unref()
    }
  }

  #fail(message: string, cause?: unknown): void {
    this.#failure ??= new MembraneError('COMPUTE_FAILED', message, { cause })
    for (const reject of this.#waiting) reject(this.#failure)
    this.#waiting.clear()
  }
}

/** The source, or what the build made of it when this is the build: from the command's bundle it lies there too. */
function workerFile(): URL {
  const source = new URL('../engine/kernel-worker.ts', import.meta.url)
  return import.meta.url.endsWith('.ts') ? source : new URL(source.href.replace(/\.ts$/, '.js'))
}
