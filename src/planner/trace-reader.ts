/**
 * Reads a trace from text that comes in chunks, cut anywhere. Holds the columns and one unfinished line, never the
 * file. The caller opens and unpacks the file: this folder knows no file system.
 */
import { assert } from '../core/errors.ts'
import { LIMITS } from '../core/limits.ts'
import { DEFAULT_TRACE_BOUNDS, type TraceBounds } from './trace-columns.ts'
import {
  detectFormat,
  EXPECTED_KNOWN_FORMAT,
  KNOWN_FORMATS_REMEDY,
  type LineParser,
  openParser,
} from './trace-formats.ts'
import { invalidTrace, type TraceLine } from './trace-line.ts'
import type { TraceFile, TraceFormat } from './trace.ts'

export interface TraceReaderOptions extends Partial<TraceBounds> {
  /** Told from the first line that is not blank, unless given. */
  readonly format?: TraceFormat
  readonly lineCharactersMax?: number
}

/** `push` and `end` throw INVALID_TRACE or LIMIT_REACHED; once one has thrown, so does every later call. */
export interface TraceReader {
  push(chunk: string): void
  /** Call once, after the last chunk. At least one request, or INVALID_TRACE. */
  end(): TraceFile
}

/** `name` is what messages and the result call the file. */
export function createTraceReader(name: string, options: TraceReaderOptions = {}): TraceReader {
  return new ChunkedTraceReader(name, options)
}

class ChunkedTraceReader implements TraceReader {
  readonly #name: string
  readonly #format: TraceFormat | null
  readonly #bounds: TraceBounds
  readonly #lineCharactersMax: number
  #parser: LineParser | null = null
  #unfinished = ''
  #lineNumber = 1
  #state: { readonly kind: 'reading' | 'ended' } | { readonly kind: 'failed'; readonly error: unknown } = {
    kind: 'reading',
  }

  constructor(name: string, options: TraceReaderOptions) {
    this.#name = name
    this.#format = options.format ?? null
    this.#bounds = {
      requestsMax: options.requestsMax ?? DEFAULT_TRACE_BOUNDS.requestsMax,
      blockIdsMax: options.blockIdsMax ?? DEFAULT_TRACE_BOUNDS.blockIdsMax,
    }
    this.#lineCharactersMax = options.lineCharactersMax ?? LIMITS.traceLineCharactersMax
  }

  push(chunk: string): void {
    this.#guarded(() => this.#splitLines(chunk))
  }

  end(): TraceFile {
    return this.#guarded(() => {
      if (this.#unfinished !== '') this.#takeLine(this.#unfinished)
      this.#state = { kind: 'ended' }
      if (this.#parser !== null && this.#parser.rowCount > 0) return this.#parser.finish(this.#name)
      throw this.#noRows()
    })
  }

  /** A reader that failed stays failed, so that nobody takes the rows before the error for the whole trace. */
  #guarded<Result>(step: () => Result): Result {
    if (this.#state.kind === 'failed') throw this.#state.error
    assert(this.#state.kind === 'reading', 'a trace reader is not used after its end')
    try {
      return step()
    } catch (error) {
      this.#state = { kind: 'failed', error }
      throw error
    }
  }

  /** Looks for line ends in the new chunk only, so that a long line in small chunks stays linear. */
  #splitLines(chunk: string): void {
    let start = 0
    for (let end = chunk.indexOf('\n'); end >= 0; end = chunk.indexOf('\n', start)) {
      this.#takeLine(this.#unfinished + chunk.slice(start, end))
      this.#unfinished = ''
      this.#lineNumber += 1
      start = end + 1
    }
    this.#unfinished += chunk.slice(start)
    if (this.#unfinished.length > this.#lineCharactersMax + 1) this.#rejectLongLine()
  }

  #takeLine(raw: string): void {
    const start = this.#lineNumber === 1 && raw.startsWith('\uFEFF') ? 1 : 0
    const text = raw.slice(start, raw.endsWith('\r') ? -1 : raw.length)
    if (text.length > this.#lineCharactersMax) this.#rejectLongLine()
    if (text.trim() === '') return
    const line = this.#line(text)
    if (this.#parser === null) this.#parser = openParser(this.#format ?? detectFormat(line), line, this.#bounds)
    else this.#parser.parse(line)
  }

  #rejectLongLine(): never {
    throw invalidTrace(this.#line(''), {
      column: this.#lineCharactersMax + 1,
      found: `a line of more than ${this.#lineCharactersMax} characters`,
      expected: 'one request a line',
      remedy: 'Put every request on a line of its own.',
    })
  }

  #noRows(): Error {
    const isEmpty = this.#parser === null
    return invalidTrace(this.#line(''), {
      column: 1,
      found: 'the end of the file',
      expected: isEmpty ? EXPECTED_KNOWN_FORMAT : 'at least one request after the header',
      remedy: isEmpty ? KNOWN_FORMATS_REMEDY : 'Check that the file was copied whole.',
    })
  }

  #line(text: string): TraceLine {
    return { file: this.#name, number: this.#lineNumber, text }
  }
}
