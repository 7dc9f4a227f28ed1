import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { AGE_BINS, ageBin, BIN_AGES, hitDensities } from './evict-hit-density.ts'

/** A class of which so many entries came to a bin, and so many of them were used in it. */
function classOf(reached: (bin: number) => number, used: (bin: number) => number) {
  return {
    reached: Float64Array.from({ length: AGE_BINS }, (_, bin) => reached(bin)),
    used: Float64Array.from({ length: AGE_BINS }, (_, bin) => used(bin)),
  }
}

function densitiesOf(...classes: readonly ReturnType<typeof classOf>[]): Float64Array {
  const densities = new Float64Array(classes.length * AGE_BINS)
  hitDensities(classes, densities)
  return densities
}

describe('bins of age', () => {
  it('hold the ages from their least one to that of the next', () => {
    fc.assert(
      fc.property(fc.oneof(fc.nat(100), fc.nat(2 ** 32 - 1)), (age) => {
        const bin = ageBin(age)
        expect(BIN_AGES[bin]).toBeLessThanOrEqual(age)
        expect(BIN_AGES[bin + 1]).toBeGreaterThan(age)
      }),
    )
  })
})

describe('hit densities', () => {
  const MANY = 1e9
  const DUE = ageBin(1000)
  /** All are used when they are about a thousand calls old. */
  const due = classOf(
    (bin) => (bin <= DUE ? MANY : 0),
    (bin) => (bin === DUE ? MANY : 0),
  )

  it('rise until a use is due, and are nothing when it is past', () => {
    const densities = densitiesOf(due)
    for (let bin = 1; bin <= DUE; bin++) expect(densities[bin]).toBeGreaterThan(densities[bin - 1] ?? 0)
    expect(densities[DUE + 1]).toBe(0)
    const middle = ((BIN_AGES[DUE] ?? 0) + (BIN_AGES[DUE + 1] ?? 0)) / 2
    expect(densities[0]).toBeCloseTo(1 / middle, 6)
  })

  it('look ahead only as far as it pays: late uses of a few do not make the soon ones of others worth less', () => {
    const soon = ageBin(10)
    const late = ageBin(100_000)
    const both = classOf(
      (bin) => (bin <= soon ? MANY : bin <= late ? MANY / 2 : 0),
      (bin) => (bin === soon ? MANY / 2 : bin === late ? MANY / 2 : 0),
    )
    // Half of them within ten calls: about one use in twenty calls, not one in fifty thousand.
    expect(densitiesOf(both)[0]).toBeGreaterThan(1 / 25)
  })

  it('are those of the class before where a class was hardly seen', () => {
    const densities = densitiesOf(
      due,
      classOf(
        () => 0,
        () => 0,
      ),
    )
    expect(densities.subarray(AGE_BINS)).toEqual(densities.subarray(0, AGE_BINS))
  })

  it('are nothing where nobody was seen', () => {
    expect(
      densitiesOf(
        classOf(
          () => 0,
          () => 0,
        ),
      ).every((density) => density === 0),
    ).toBe(true)
  })
})
