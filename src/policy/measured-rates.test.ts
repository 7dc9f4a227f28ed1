import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { runs } from '../../test/effort.ts'
import { LIMITS } from '../core/limits.ts'
import { seededRandom, standardNormal } from '../core/random.ts'
import type { RateBook } from '../reconstruct/rebuild-ports.ts'
import { ASSUMED_RATES, MeasuredRates } from './measured-rates.ts'

const ANY = fc.oneof(
  fc.double(),
  fc.constantFrom(0, -1, Number.NaN, Infinity, Number.MAX_VALUE, Number.MIN_VALUE),
  fc.nat(1e9),
)

const observation = fc.oneof(
  fc.record({ place: fc.constantFrom('disk', 'b', '__proto__'), bytes: ANY, seconds: ANY }),
  fc.record({ start: ANY, end: ANY, seconds: ANY }),
)

/** A place that is read again and again, with noise of 5 %. */
function reader(rates: MeasuredRates, place: string, seed: number) {
  const random = seededRandom(seed)
  return (latencySeconds: number, bytesPerSecond: number, reads: number): void => {
    for (let read = 0; read < reads; read++) {
      const bytes = 10 ** (4 + 4 * random())
      rates.observeRead(place, bytes, (latencySeconds + bytes / bytesPerSecond) * (1 + 0.05 * standardNormal(random)))
    }
  }
}

function readSeconds(rates: MeasuredRates, place: string, bytes: number): number {
  const { latencySeconds, bytesPerSecond } = rates.read(place)
  return latencySeconds + bytes / bytesPerSecond
}

describe('rates of reading', () => {
  test('are what is assumed until something was read', () => {
    const rates = new MeasuredRates()
    expect(rates.read('disk')).toEqual({ ...ASSUMED_RATES.places['disk'], isMeasured: false })
    expect(rates.read('constructor')).toEqual({ ...ASSUMED_RATES.otherPlaces, isMeasured: false })
    rates.observeRead('disk', 1e6, 1)
    expect(rates.read('disk').isMeasured).toBe(true)
    expect(rates.read('b').isMeasured).toBe(false)
    expect(readSeconds(rates, 'disk', 1e6)).toBeCloseTo(1, 2)
  })

  test('come close to the truth under noise, at sizes of four orders of magnitude', () => {
    fc.assert(
      fc.property(
        fc.double({ min: -4, max: -1.5, noNaN: true }),
        fc.double({ min: 6, max: 9.5, noNaN: true }),
        fc.nat(),
        (a, b, seed) => {
          const [latency, bandwidth] = [10 ** a, 10 ** b]
          const rates = new MeasuredRates()
          reader(rates, 'b', seed)(latency, bandwidth, 100)
          for (const bytes of [1e4, 1e6, 1e8]) {
            const ratio = readSeconds(rates, 'b', bytes) / (latency + bytes / bandwidth)
            expect(ratio).toBeGreaterThan(0.7)
            expect(ratio).toBeLessThan(1.4)
          }
        },
      ),
      { numRuns: runs(60, 600) },
    )
  })

  test('follow a link that got slower within eight reads, and a faster one within thirty, though small ones show no change', () => {
    for (const factor of [1 / 20, 1 / 4, 3, 20]) {
      const rates = new MeasuredRates()
      const read = reader(rates, 'b', 7)
      read(1e-3, 1e8, 60)
      read(1e-3, 1e8 * factor, factor < 1 ? 8 : 30)
      const ratio = readSeconds(rates, 'b', 1e7) / (1e-3 + 0.1 / factor)
      expect(ratio).toBeGreaterThan(0.5)
      expect(ratio).toBeLessThan(2)
    }
  })

  test('are moved little by one outlier', () => {
    const rates = new MeasuredRates()
    reader(rates, 'b', 3)(1e-3, 1e8, 60)
    const before = readSeconds(rates, 'b', 1e7)
    rates.observeRead('b', 1e7, 100)
    expect(readSeconds(rates, 'b', 1e7) / before).toBeLessThan(1.2)
  })

  test('keep the proportions that were assumed where all reads were alike', () => {
    const rates = new MeasuredRates()
    for (let read = 0; read < 20; read++) rates.observeRead('b', 1e6, 0.3)
    const { latencySeconds, bytesPerSecond } = rates.read('b')
    expect(latencySeconds).toBeCloseTo(0.1, 2)
    expect(1e6 / bytesPerSecond).toBeCloseTo(0.2, 2)
  })

  test('of a slow place that is not read any more become better with time, so that it is tried again', () => {
    const rates = new MeasuredRates()
    for (let read = 0; read < 10; read++) rates.observeRead('b', 1e6, 10)
    const seconds = [0, 256, 2048].map((observations) => {
      for (let k = 0; k < observations; k++) rates.observeRead('disk', 1e6, 1e-3)
      return readSeconds(rates, 'b', 1e6)
    })
    expect(seconds[0]).toBeCloseTo(10, 1)
    expect(seconds[1]).toBeLessThan(1)
    expect(seconds[2]).toBeLessThan(0.01)
  })

  test('are remembered of a bounded number of places, the latest ones', () => {
    const rates = new MeasuredRates()
    for (let k = 0; k <= LIMITS.measuredPlacesMax; k++) rates.observeRead(`node ${k}`, 1e6, 1)
    expect(rates.read('node 0').isMeasured).toBe(false)
    expect(rates.read('node 1').isMeasured).toBe(true)
    expect(rates.snapshot().places).toHaveLength(LIMITS.measuredPlacesMax)
  })
})

describe('rates of computing', () => {
  test('come close to the truth under noise, and leave out what each call costs', () => {
    fc.assert(
      fc.property(
        fc.double({ min: -5, max: -2, noNaN: true }),
        fc.double({ min: -10, max: -6, noNaN: true }),
        fc.nat(),
        (a, b, seed) => {
          const random = seededRandom(seed)
          const rates = new MeasuredRates()
          const seconds = (start: number, end: number): number =>
            10 ** a * (end - start) + (10 ** b * (end * end - start * start)) / 2
          for (let call = 0; call < 150; call++) {
            const start = Math.floor(4000 * random())
            const end = start + 1 + Math.floor(2000 * random() * random())
            rates.observePrefill({ start, end }, (2e-3 + seconds(start, end)) * (1 + 0.05 * standardNormal(random)))
          }
          expect(rates.isPrefillMeasured).toBe(true)
          for (const [start, end] of [
            [0, 2000],
            [3000, 5000],
          ] as const) {
            const ratio =
              (rates.prefillSeconds({ start, end }) + rates.prefillCallSeconds) / (2e-3 + seconds(start, end))
            expect(ratio).toBeGreaterThan(0.6)
            expect(ratio).toBeLessThan(1.6)
          }
        },
      ),
      { numRuns: runs(60, 600) },
    )
  })

  test('add up over joined spans', () => {
    fc.assert(
      fc.property(
        fc.nat(1e6),
        fc.nat(1e6),
        fc.nat(1e6),
        fc.array(observation, { maxLength: 10 }),
        (start, a, b, seen) => {
          const rates = observed(seen)
          const [middle, end] = [start + a, start + a + b]
          const sum = rates.prefillSeconds({ start, end: middle }) + rates.prefillSeconds({ start: middle, end })
          expect(Math.abs(sum - rates.prefillSeconds({ start, end }))).toBeLessThanOrEqual(1e-9 * sum)
        },
      ),
      { numRuns: runs(60, 600) },
    )
  })
})

describe('measured rates', () => {
  test('are what a rebuild asks for', () => {
    const book: RateBook = new MeasuredRates()
    book.observePrefill({ start: 0, end: 100 }, 1)
    book.observeRead('disk', 1e6, 1)
    expect(book.isPrefillMeasured).toBe(true)
  })

  test('are never negative, infinite or NaN, whatever was observed', () => {
    fc.assert(
      fc.property(fc.array(observation, { maxLength: 40 }), (seen) => {
        const rates = observed(seen)
        for (const place of ['disk', 'b', '__proto__', 'unknown']) {
          const { latencySeconds, bytesPerSecond } = rates.read(place)
          expect(latencySeconds).toBeGreaterThanOrEqual(0)
          expect(latencySeconds).toBeLessThan(Infinity)
          expect(bytesPerSecond).toBeGreaterThan(0)
          expect(bytesPerSecond).toBeLessThan(Infinity)
        }
        const seconds = rates.prefillSeconds({ start: 100, end: 200 })
        expect(seconds).toBeGreaterThan(0)
        expect(seconds).toBeLessThan(Infinity)
        expect(rates.prefillCallSeconds).toBeGreaterThanOrEqual(0)
      }),
      { numRuns: runs(300, 3000) },
    )
  })

  test('go on from a snapshot that went through JSON', () => {
    fc.assert(
      fc.property(fc.array(observation, { maxLength: 40 }), (seen) => {
        const rates = observed(seen)
        const again = new MeasuredRates()
        again.restore(JSON.parse(JSON.stringify(rates.snapshot())))
        expect(again.snapshot()).toEqual(rates.snapshot())
        expect(again.prefillSeconds({ start: 5, end: 50 })).toBe(rates.prefillSeconds({ start: 5, end: 50 }))
      }),
      { numRuns: runs(100, 1000) },
    )
  })

  test.each([null, 1, {}, { version: 2 }, { version: 1, prefill: {}, places: [] }])(
    'refuse %j as a snapshot',
    (value) => {
      const rates = new MeasuredRates()
      rates.observeRead('b', 1e6, 1)
      const before = rates.snapshot()
      expect(() => rates.restore(value)).toThrow('A snapshot of measured rates was expected')
      expect(rates.snapshot()).toEqual(before)
    },
  )
})

function observed(
  seen: readonly (
    | { place: string; bytes: number; seconds: number }
    | { start: number; end: number; seconds: number }
  )[],
): MeasuredRates {
  const rates = new MeasuredRates()
  for (const one of seen) {
    if ('place' in one) rates.observeRead(one.place, one.bytes, one.seconds)
    else rates.observePrefill({ start: one.start, end: one.end }, one.seconds)
  }
  return rates
}
