import type { SemanticPorts } from '../indices/fragment-indices-options.ts'
import { loadUsearch } from '../vectors/usearch.ts'
import { loadWordEmbedder } from '../vectors/words-file.ts'

/**
 * What `FabricOptions.semantic` is given unless one has a better embedder: the English word vectors that come along
 * (128 dimensions) and USearch. Throws MISSING_PACKAGE when USearch is not installed, FILE_UNREADABLE when the vectors
 * are gone.
 */
export async function loadSemanticPorts(): Promise<SemanticPorts> {
  const [embedder, vectors] = await Promise.all([loadWordEmbedder(), loadUsearch()])
  return { embedder, vectors }
}
