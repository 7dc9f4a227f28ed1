/** Fragments as indices know them, and what is asked and answered about them. */
import type { FragmentDescription } from '../core/fragment.ts'
import type { ContentHash, ModelFingerprint, TenantId } from '../core/ids.ts'
import type { EdgeKind } from './graph-edges.ts'
import type { Tier } from './tiers.ts'

/** What the store holds, as far as indices need to know. */
export interface IndexedFragment {
  /** Of the store. */
  readonly key: string
  readonly tenant: TenantId
  /** One that the codec of fragments accepts. */
  readonly description: FragmentDescription
  readonly contentHash: ContentHash
  readonly payloadBytes: number
  /** Where this node reads it from. */
  readonly tier: Tier
}

/** Fragments beside a span of positions. */
export interface AdjacentFragments {
  /** Those that end at the start of the span or before it, the nearest first. */
  readonly before: readonly IndexedFragment[]
  /** Those that start at its end or after it, the nearest first. */
  readonly after: readonly IndexedFragment[]
}

/** What text to look for, and among which fragments. */
export interface SimilarQuery {
  readonly tenant: TenantId
  readonly model: ModelFingerprint
  readonly text: string
  /** 1 to LIMITS.nearestMax. */
  readonly limit: number
  /** The least cosine that counts, -1 to 1. */
  readonly similarityMin: number
}

/** A fragment whose text is near, and how near. */
export interface SimilarFragment {
  readonly fragment: IndexedFragment
  /** Cosine, `similarityMin` to 1. */
  readonly similarity: number
}

/** An edge that somebody observed, as opposed to those that descriptions say. */
export interface IndexEdge {
  readonly from: string
  readonly to: string
  readonly kind: Extract<EdgeKind, 'co-accessed' | 'version-of'>
  /** Above 0 to LIMITS.edgeWeightMax, at `atMs`. */
  readonly weight: number
  /** Milliseconds since 1970. */
  readonly atMs: number
}

export const RECORDED_KINDS = ['co-accessed', 'version-of'] as const satisfies readonly IndexEdge['kind'][]

export function isRecorded(kind: EdgeKind): kind is IndexEdge['kind'] {
  return RECORDED_KINDS.some((recorded) => recorded === kind)
}
