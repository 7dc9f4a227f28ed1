/** What a node has measured, kept over a restart: one file, with an entry for each engine and model. */
import { LIMITS } from '../core/limits.ts'
import type { SnapshotStorage } from '../core/ports.ts'
import { MeasuredRates } from '../policy/measured-rates.ts'

interface RatesDocument {
  readonly version: 1
  /** The least recently written first. */
  readonly engines: readonly { readonly engine: string; readonly rates: unknown }[]
}

/** Rates that were read, and whether the file was worth nothing. */
export interface LoadedRates {
  readonly rates: MeasuredRates
  /** A sentence for people when there was a file that could not be used; null otherwise. */
  readonly notice: string | null
}

/** Bytes of some storage as rates; nothing in it is needed. */
export class RatesFile {
  readonly #storage: SnapshotStorage

  constructor(storage: SnapshotStorage) {
    this.#storage = storage
  }

  /** `engine` names what was measured: model, backend, threads. Measures anew where nothing usable is found. */
  async load(engine: string): Promise<LoadedRates> {
    const rates = new MeasuredRates()
    const bytes = await this.#storage.read()
    if (bytes === null) return { rates, notice: null }
    try {
      const known = parse(bytes).engines.find((entry) => entry.engine === engine)
      if (known !== undefined) rates.restore(known.rates)
      return { rates, notice: null }
    } catch {
      const notice = 'What this directory had measured before cannot be read; rates are measured anew.'
      return { rates: new MeasuredRates(), notice }
    }
  }

  async save(engine: string, rates: MeasuredRates): Promise<void> {
    const bytes = await this.#storage.read()
    let others: RatesDocument['engines'] = []
    try {
      if (bytes !== null) others = parse(bytes).engines.filter((entry) => entry.engine !== engine)
    } catch {
      // Not worth keeping.
    }
    const engines = [...others, { engine, rates: rates.snapshot() }].slice(-LIMITS.ratedEnginesMax)
    const document: RatesDocument = { version: 1, engines }
    await this.#storage.write([new TextEncoder().encode(`${JSON.stringify(document)}\n`)])
  }
}

function parse(bytes: Uint8Array): RatesDocument {
  const document = JSON.parse(new TextDecoder().decode(bytes)) as RatesDocument | null
  const isDocument =
    document?.version === 1 &&
    Array.isArray(document.engines) &&
    document.engines.every((entry) => typeof entry?.engine === 'string')
  if (!isDocument) throw new Error('Not a document of rates.')
  return document
}
