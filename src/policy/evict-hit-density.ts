/**
 * What room in a cache is worth, from how long entries took to be used again: the most uses that one can expect for each
 * unit of time that the entry stays. Looking ahead as far as pays best makes it a Gittins index: an entry whose use is due
 * soon is worth more than one that has just been used and will not be needed for a while. After least hit density
 * (Beckmann, Chen and Cidon, NSDI 2018).
 */

/** Bins of an age up to 2^32: two to an octave, from 1 on. */
export const AGE_BINS = 63

/** HOT: the bin of an age, a whole number of at least 0. */
export function ageBin(age: number): number {
  if (age < 2) return 0
  const octave = 31 - Math.clz32(age)
  return 2 * octave - 1 + ((age >>> (octave - 1)) & 1)
}

/** The least age of each bin, and of the one behind the last. */
export const BIN_AGES = Float64Array.from({ length: AGE_BINS + 1 }, (_, bin) => {
  const octave = (bin + 1) >> 1
  if (bin === 0) return 0
  return bin % 2 === 1 ? 2 ** octave : 1.5 * 2 ** octave
})

/** How entries of one class fared: of those that came into a bin of age unused, how many were used in it. */
export interface ReuseCounts {
  readonly used: Float64Array
  readonly reached: Float64Array
}

/** A class that was seen little leans on the one before: it counts as if it had so many entries more, of that kind. */
const PRIOR_ENTRIES = 20

/**
 * Writes the expected uses per unit of time of each class and bin of age to `densities`, class by class. Ages that no
 * entry has reached are worth nothing.
 */
export function hitDensities(classes: readonly ReuseCounts[], densities: Float64Array): void {
  /** Of this class, or still of the one before: the share of those that reach a bin of age that is used in it. */
  const hazards = new Float64Array(AGE_BINS)
  let bins = 0
  for (const [index, { used, reached }] of classes.entries()) {
    for (let bin = 0; bin < AGE_BINS; bin++) {
      const entries = (reached[bin] ?? 0) + PRIOR_ENTRIES
      hazards[bin] = Math.min(1, ((used[bin] ?? 0) + PRIOR_ENTRIES * (hazards[bin] ?? 0)) / entries)
      if (entries > PRIOR_ENTRIES) bins = Math.max(bins, bin + 1)
    }
    for (let bin = 0; bin < AGE_BINS; bin++) densities[index * AGE_BINS + bin] = bestDensity(hazards, bin, bins)
  }
}

/** From an age on: the best, over how long to wait, of the uses expected until then over the time spent until then. */
function bestDensity(hazards: Float64Array, from: number, bins: number): number {
  let best = 0
  let waiting = 1
  let uses = 0
  let time = 0
  for (let bin = from; bin < bins && waiting > 0; bin++) {
    const hazard = hazards[bin] ?? 0
    uses += waiting * hazard
    // Those that are used in this bin are, on average, in the middle of it.
    time += waiting * (1 - hazard / 2) * ((BIN_AGES[bin + 1] ?? 0) - (BIN_AGES[bin] ?? 0))
    waiting *= 1 - hazard
    best = Math.max(best, uses / time)
  }
  return best
}
