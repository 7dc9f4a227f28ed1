/** The embedder from a file, and the one that comes along. */
import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { MembraneError } from '../core/errors.ts'
import type { Embedder } from '../core/ports.ts'
import { parseWordVectors, wordEmbedder } from './words.ts'

/** 22,500 English words of software, 128 dimensions: see models/README.md. */
export const DEFAULT_WORD_VECTORS_PATH = fileURLToPath(new URL('../../models/words-128d.i8v', import.meta.url))

/**
 * Reads word vectors of the format `I8V1`; without a path, those that come along. The embedder's id is made from the
 * bytes, so that other vectors under the same name are told apart. Throws FILE_UNREADABLE, STORE_FORMAT, LIMIT_REACHED.
 */
export async function loadWordEmbedder(path: string = DEFAULT_WORD_VECTORS_PATH): Promise<Embedder> {
  const file = await readFile(path).catch((cause: unknown) => {
    throw new MembraneError('FILE_UNREADABLE', `The word vectors ${path} cannot be read.`, { cause, details: { path } })
  })
  const digest = createHash('sha256').update(file).digest('hex')
  return wordEmbedder(`words:${digest.slice(0, 16)}`, parseWordVectors(file))
}
