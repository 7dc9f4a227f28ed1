/** Where bytes lie, the fastest first. An index holds a set of tiers as bits: bit `i` is `TIERS[i]`. */
export const TIERS = ['device', 'memory', 'disk', 'remote'] as const
/** `device`: an engine's own memory. `memory`, `disk`: a node's. `remote`: another service, such as Redis, that a node reads from. */
export type Tier = (typeof TIERS)[number]

/** Bits of a set of one tier. */
export const TIER_BIT: Readonly<Record<Tier, number>> = { device: 1, memory: 2, disk: 4, remote: 8 }

/** 0 to 3: the index in `TIERS` of the fastest tier of a set that is not empty. */
export function fastestTierIndex(bits: number): number {
  return 31 - Math.clz32(bits & -bits)
}

/** Index in `TIERS`: 0 is the fastest. */
export function tierIndex(tier: Tier): number {
  return TIERS.indexOf(tier)
}
