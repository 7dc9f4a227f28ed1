/** What a fragment is, as JSON says it: description, hints and what the store knows, without the bytes. */
import { z } from 'zod'
import type { StoredEntry } from '../core/ports.ts'
import { PRIORITIES, type PriorityName } from '../server/fragment-head.ts'
import type { Described } from '../server/tenant-fabric.ts'

const SPAN = z
  .object({ start: z.number().int(), end: z.number().int() })
  .describe('Half-open: start to end - 1; tokens, layers or heads.')

export const DESCRIPTION = z
  .object({
    key: z.string(),
    contentHash: z.string(),
    payloadBytes: z.number().int().describe('Bytes of the payload.'),
    expiresAtMs: z.number().nullable().describe('Milliseconds since 1970, or null.'),
    pin: z.boolean().describe('Never evicted.'),
    priority: z.enum(['low', 'normal', 'high']).describe('Lower leaves first.'),
    kind: z.string(),
    model: z.string().describe('Model fingerprint; zeros where there is none.'),
    tokens: SPAN,
    layers: SPAN,
    heads: SPAN.nullable(),
    dtype: z.string(),
    layout: z.string().describe('Order of the axes, or, of an artifact, its media type.'),
    positionEncoding: z.string(),
    parent: z.string().nullable(),
    blocks: z.array(z.string()).describe('Block hashes, in order.'),
    blockTokens: z.number().int().describe('Tokens of a block.'),
    group: z
      .object({ id: z.string(), part: z.number().int(), parts: z.number().int(), pool: z.string() })
      .nullable()
      .describe('Fragments that are only valid together; parts are counted from 0.'),
    text: z.string().nullable(),
    sequence: z.string().nullable(),
    derivedFrom: z.array(z.string()),
  })
  .describe('A fragment without its bytes. Sizes in bytes, spans half-open in tokens, layers and heads.')

export function descriptionOf(entry: Described<StoredEntry>): z.infer<typeof DESCRIPTION> {
  const { key, contentHash, payloadBytes, expiresAtMs, hints, description } = entry
  const { signature, parent, blocks, blockTokens, group, text, sequence, derivedFrom } = description
  const { kind, model, tokens, layers, heads, dtype, layout, positionEncoding } = signature
  return {
    key,
    contentHash,
    payloadBytes,
    expiresAtMs,
    pin: hints.isPinned,
    priority: priorityName(hints.priority),
    kind,
    model,
    tokens: { ...tokens },
    layers: { ...layers },
    heads: heads === null ? null : { ...heads },
    dtype,
    layout,
    positionEncoding,
    parent,
    blocks: [...blocks],
    blockTokens,
    group: group === null ? null : { ...group },
    text,
    sequence,
    derivedFrom: [...derivedFrom],
  }
}

function priorityName(priority: number): PriorityName {
  if (priority === PRIORITIES.low) return 'low'
  return priority === PRIORITIES.high ? 'high' : 'normal'
}
