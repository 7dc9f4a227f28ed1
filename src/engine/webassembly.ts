/** What is used of WebAssembly. It is part of Node, but of none of the type libraries in use. */
export interface SharedMemory {
  readonly buffer: SharedArrayBuffer
  grow(pages: number): number
}

declare const moduleBrand: unique symbol
/** Compiled code, which threads may share. */
export interface WasmModule {
  readonly [moduleBrand]: true
}

/** What `kernel/assembly/index.ts` exports. Addresses are bytes from the memory's start. */
export interface Kernel {
  multiplyAdd(a: number, b: number, c: number): number
  forward(job: number, thread: number): void
  /** 96 operations a step, on a factor below 1. */
  peak(steps: number, factor: number): number
}

interface WebAssemblyApi {
  readonly Memory: new (options: { initial: number; maximum: number; shared: true }) => SharedMemory
  compile(bytes: Uint8Array): Promise<WasmModule>
  instantiate(module: WasmModule, imports: unknown): Promise<{ readonly exports: Kernel }>
  validate(bytes: Uint8Array): boolean
}

export const { WebAssembly: wasm } = globalThis as unknown as { readonly WebAssembly: WebAssemblyApi }

/** Bytes of a page, in which memories grow. */
export const PAGE_BYTES = 65_536

export async function instantiateKernel(module: WasmModule, memory: SharedMemory): Promise<Kernel> {
  const { exports } = await wasm.instantiate(module, { env: { memory } })
  return exports
}
