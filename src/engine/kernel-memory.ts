/** The memory that the kernel's threads share: pieces of it are handed out and taken back. */
import { assert } from '../core/errors.ts'
import { PAGE_BYTES, type SharedMemory, wasm } from './webassembly.ts'

interface Piece {
  readonly start: number
  readonly end: number
}

/** A cache line: threads that write to neighbouring pieces do not slow each other. */
const ALIGNMENT_BYTES = 64
/** Nothing lies at address 0, so that a forgotten pointer hits nothing that counts. */
const FIRST_BYTE = 1024
/** What 32 bits address. */
const MEMORY_BYTES_MAX = 4 * 1024 ** 3

/** Grows up to a bound and never shrinks; pieces that are given back are used again, first fit. */
export class KernelMemory {
  readonly memory: SharedMemory
  readonly #bytesMax: number
  /** Ascending, none touching the next. */
  #free: readonly Piece[] = []
  /** By start. */
  readonly #used = new Map<number, Piece>()
  #end = FIRST_BYTE

  constructor(bytesMax: number) {
    const pages = Math.max(1, Math.floor(Math.min(bytesMax, MEMORY_BYTES_MAX) / PAGE_BYTES))
    this.#bytesMax = pages * PAGE_BYTES
    this.memory = new wasm.Memory({ initial: 1, maximum: pages, shared: true })
  }

  /** Where a piece of at least `bytes` begins, holding anything; null when it does not fit. */
  allocate(bytes: number): number | null {
    const needed = Math.ceil(Math.max(1, bytes) / ALIGNMENT_BYTES) * ALIGNMENT_BYTES
    const fitting = this.#free.find(({ start, end }) => end - start >= needed)
    const start = fitting?.start ?? this.#extend(needed)
    if (start === null) return null
    const piece = { start, end: start + needed }
    this.#free = this.#free.flatMap((free) => {
      if (free !== fitting) return [free]
      return free.end === piece.end ? [] : [{ start: piece.end, end: free.end }]
    })
    this.#used.set(start, piece)
    return start
  }

  /** Takes a piece back. */
  release(start: number): void {
    const piece = this.#used.get(start)
    assert(piece !== undefined, `Nothing was allocated at ${start}`)
    this.#used.delete(start)
    const free: Piece[] = []
    for (const next of [...this.#free, piece].toSorted((a, b) => a.start - b.start)) {
      const before = free.at(-1)
      if (before?.end === next.start) free[free.length - 1] = { start: before.start, end: next.end }
      else free.push(next)
    }
    const last = free.at(-1)
    if (last?.end === this.#end) {
      this.#end = last.start
      free.pop()
    }
    this.#free = free
  }

  bytes(start: number, length: number): Uint8Array<SharedArrayBuffer> {
    return new Uint8Array(this.memory.buffer, start, length)
  }

  floats(start: number, length: number): Float32Array<SharedArrayBuffer> {
    return new Float32Array(this.memory.buffer, start, length)
  }

  words(start: number, length: number): Int32Array<SharedArrayBuffer> {
    return new Int32Array(this.memory.buffer, start, length)
  }

  #extend(bytes: number): number | null {
    const start = this.#end
    const end = start + bytes
    if (end > this.#bytesMax) return null
    const missing = end - this.memory.buffer.byteLength
    if (missing > 0) {
      try {
        this.memory.grow(Math.ceil(missing / PAGE_BYTES))
      } catch {
        // The operating system has no more, below the bound.
        return null
      }
    }
    this.#end = end
    return start
  }
}
