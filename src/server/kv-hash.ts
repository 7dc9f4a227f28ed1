/** One hash of all KV of a prompt, to compare two ways of making it. */
import type { KvContext } from '../core/compute.ts'
import type { ContentHash } from '../core/ids.ts'
import type { ContentHasher } from '../core/ports.ts'
import { parseLayerTensor } from '../core/fragment-tensors.ts'

/**
 * BLAKE3 over the K rows and then the V rows of positions 0 to `tokens` - 1, layer by layer, as they stand in the
 * engine's memory, in the axes of its layout. Of a recurrent layer, its state. Positions must be filled.
 */
export async function hashContext(context: KvContext, tokens: number, hasher: ContentHasher): Promise<ContentHash> {
  const parts = await context.read({ start: 0, end: tokens })
  const tensors = parts
    .flatMap((part) => part.tensors)
    .map((tensor) => ({ tensor, place: parseLayerTensor(tensor.name) }))
    .toSorted((a, b) => (a.place?.layer ?? 0) - (b.place?.layer ?? 0) || (a.tensor.name < b.tensor.name ? -1 : 1))
  const running = hasher.start()
  for (const { tensor } of tensors) running.update(tensor.data)
  return running.contentHash()
}
