/** A phase of the demo: what it shows, in words and figures, and what must be true of it. */
import type { ContentHash } from '../core/ids.ts'
import type { DemoWorld } from './demo-full-world.ts'

/** Something that must be true, as a sentence. */
export interface Check {
  readonly claim: string
  readonly holds: boolean
}

export interface PhaseOutcome {
  /** For people: paragraphs, of plain words and figures with units. */
  readonly says: readonly string[]
  /** For programs: names have units. */
  readonly figures: Readonly<Record<string, unknown>>
  readonly checks: readonly Check[]
}

export interface Phase {
  readonly name: string
  readonly title: string
  readonly run: (world: DemoWorld) => Promise<PhaseOutcome>
}

/** A phase that was run. It passed when it had something to check, and all of it held. */
export interface PhaseResult extends PhaseOutcome {
  readonly name: string
  readonly title: string
  readonly passed: boolean
}

export function resultOf({ name, title }: Omit<Phase, 'run'>, outcome: PhaseOutcome): PhaseResult {
  const { checks } = outcome
  return { name, title, passed: checks.length > 0 && checks.every(({ holds }) => holds), ...outcome }
}

/** Two ways to the same KV: hashed both, and equal. */
export function isEqualKv(
  a: { readonly kvHash: ContentHash | null },
  b: { readonly kvHash: ContentHash | null },
): boolean {
  return a.kvHash !== null && a.kvHash === b.kvHash
}
