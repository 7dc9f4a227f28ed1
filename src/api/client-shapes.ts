/** Answers of a server, as this version reads them; what a later one adds is left out. */
import { z } from 'zod'
import { encodeDescription } from '../core/fragment-codec.ts'
import { FRAGMENT_KINDS, type FragmentDescription } from '../core/fragment.ts'
import { parseBlockHash, parseContentHash, parseModelFingerprint } from '../core/ids.ts'

const COUNT = z.number().int().min(0)
const SPAN = z.object({ start: COUNT, end: COUNT })
const CONTENT_HASH = z.string().transform(parseContentHash)

export const PUT_RESULT = z.object({
  key: z.string(),
  contentHash: CONTENT_HASH,
  payloadBytes: COUNT,
  outcome: z.enum(['stored', 'replaced', 'present']),
})
/** Under which key it is now; `present` when the same bytes were there. */
export type PutResult = Readonly<z.output<typeof PUT_RESULT>>

export const PRESENCE = z.object({
  isPresent: z.array(z.boolean()),
  leadingPresent: COUNT,
  leasedUntilMs: z.number(),
})
/** One answer a key, in order; what is there stays until then, in milliseconds since 1970. */
export type Presence = Readonly<z.output<typeof PRESENCE>>

export const PREFIX = z.object({
  blocks: COUNT,
  tokens: COUNT,
  fragments: z.array(SPAN.extend({ key: z.string() })),
  leasedUntilMs: z.number(),
})
/** Leading blocks of a prompt that are there, and the fragments that cover them, by tokens `[start, end)`. */
export type LongestPrefix = Readonly<z.output<typeof PREFIX>>

export const PRIORITY = z.enum(['low', 'normal', 'high'])

const DESCRIBED_FIELDS = z.object({
  key: z.string(),
  contentHash: CONTENT_HASH,
  payloadBytes: COUNT,
  expiresAtMs: z.number().nullable(),
  pin: z.boolean(),
  priority: PRIORITY,
  kind: z.enum(FRAGMENT_KINDS),
  model: z.string().transform(parseModelFingerprint),
  tokens: SPAN,
  layers: SPAN,
  heads: SPAN.nullable(),
  dtype: z.string(),
  layout: z.string(),
  positionEncoding: z.string(),
  parent: z.string().transform(parseBlockHash).nullable(),
  blocks: z.array(z.string().transform(parseBlockHash)),
  blockTokens: COUNT,
  group: z.object({ id: z.string(), part: COUNT, parts: COUNT, pool: z.string() }).nullable(),
  text: z.string().nullable(),
  sequence: z.string().nullable(),
  derivedFrom: z.array(z.string()),
})

/** A fragment without its bytes. */
export interface ClientEntry {
  readonly key: string
  readonly contentHash: ReturnType<typeof parseContentHash>
  readonly payloadBytes: number
  /** Milliseconds since 1970, or null. */
  readonly expiresAtMs: number | null
  /** Never evicted. */
  readonly isPinned: boolean
  /** Lower leaves first. */
  readonly priority: z.output<typeof PRIORITY>
  readonly description: FragmentDescription
}

/** What a fragment is; a description that makes no sense is refused, as `encodeDescription` does. */
export const ENTRY = DESCRIBED_FIELDS.transform((fields): ClientEntry => {
  const { key, contentHash, payloadBytes, expiresAtMs, pin, priority } = fields
  const { kind, model, tokens, layers, heads, dtype, layout, positionEncoding } = fields
  const { parent, blocks, blockTokens, group, text, sequence, derivedFrom } = fields
  const description: FragmentDescription = {
    signature: { model, kind, tokens, layers, heads, dtype, layout, positionEncoding },
    parent,
    blocks,
    blockTokens,
    group,
    text,
    sequence,
    derivedFrom: derivedFrom as unknown as FragmentDescription['derivedFrom'],
  }
  encodeDescription(description)
  return { key, contentHash, payloadBytes, expiresAtMs, isPinned: pin, priority, description }
})

export const PAGE = z.object({ fragments: z.array(ENTRY), cursor: z.string().nullable() })
export const REMOVED = z.object({ removed: COUNT })
export const CLOSED = z.object({ wasKnown: z.boolean() })

export const FOUND = z.object({
  fragments: z.array(
    SPAN.extend({ key: z.string(), similarity: z.number(), payloadBytes: COUNT, text: z.string().nullable() }),
  ),
})
/** A fragment whose text is near: `similarity` is a cosine, -1 to 1. */
export type Similar = Readonly<z.output<typeof FOUND>['fragments'][number]>

export const STATUS = z.object({ status: z.enum(['ok', 'draining']) })

const QUOTA = z.object({ payloadBytesMax: z.number(), entriesMax: z.number() })
/** At most so much of one tenant. */
export type TenantQuota = Readonly<z.output<typeof QUOTA>>

export const REPORT = z.object({
  tenant: z.string(),
  fragments: COUNT,
  payloadBytes: z.number(),
  quota: QUOTA.nullable(),
})
/** What a tenant holds and may hold; null for no quota of its own. */
export type TenantReport = Readonly<z.output<typeof REPORT>>

export const TENANTS = z.object({ tenants: z.array(REPORT) })
export const ERASED = z.object({ erased: COUNT })

export const SCRUBBED = z.object({
  entries: COUNT,
  payloadBytes: z.number(),
  damaged: COUNT,
  isComplete: z.boolean(),
})
/** What reading everything found: `damaged` fragments are gone now. */
export type Scrubbed = Readonly<z.output<typeof SCRUBBED>>
