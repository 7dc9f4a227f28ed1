import { expect, it } from 'vitest'
import { predictionErrors, squaredError } from './calibrate-errors.ts'

const REQUESTS = {
  arrivalSeconds: Float64Array.of(0, 1, 2),
  inputTokens: Int32Array.of(5, 5, 5),
  outputTokens: Int32Array.of(3, 1, 5),
}
const MEASURED = { firstTokenSeconds: Float64Array.of(1, 2, 4), lastTokenSeconds: Float64Array.of(3, 2, 8) }
const PREDICTED = { firstTokenSeconds: Float64Array.of(1.5, 2, 4), lastTokenSeconds: Float64Array.of(4, 2, 8) }

it('measured and predicted means and nearest-rank quantiles stand side by side', () => {
  expect(predictionErrors(REQUESTS, MEASURED, PREDICTED, { start: 0, end: 3 })).toEqual([
    { metric: 'TTFT mean', measuredSeconds: 4 / 3, predictedSeconds: 1.5, error: 1.5 / (4 / 3) - 1 },
    { metric: 'TTFT P50', measuredSeconds: 1, predictedSeconds: 1.5, error: 0.5 },
    { metric: 'TTFT P90', measuredSeconds: 2, predictedSeconds: 2, error: 0 },
    // Over the two with a second token: 2 s / 2 and 4 s / 4.
    { metric: 'TPOT mean', measuredSeconds: 1, predictedSeconds: 1.125, error: 0.125 },
    { metric: 'E2E mean', measuredSeconds: 10 / 3, predictedSeconds: 11 / 3, error: expect.closeTo(0.1, 12) },
  ])
})

it('a span counts its own requests alone', () => {
  const [ttft] = predictionErrors(REQUESTS, MEASURED, PREDICTED, { start: 1, end: 3 })
  expect(ttft).toEqual({ metric: 'TTFT mean', measuredSeconds: 1.5, predictedSeconds: 1.5, error: 0 })
})

it('without a second token there is no TPOT, and no error of a time of 0', () => {
  const none = { firstTokenSeconds: Float64Array.of(0, 1, 2), lastTokenSeconds: Float64Array.of(3, 1, 8) }
  const rows = predictionErrors(REQUESTS, none, PREDICTED, { start: 1, end: 2 })
  expect(rows.map(({ metric, error }) => [metric, error])).toEqual([
    ['TTFT mean', null],
    ['TTFT P50', null],
    ['TTFT P90', null],
    ['E2E mean', null],
  ])
})

it('the squared error is 0 for the truth, and weighs TTFT a quarter', () => {
  expect(squaredError(REQUESTS, MEASURED, MEASURED, 3)).toBe(0)
  // First request: TTFT 0.5 s of a mean of 4/3, TPOT 1.25 for 1, E2E 4 for 3.
  const expected = (0.25 * (0.5 / (4 / 3)) ** 2 + 0.25 ** 2 + (1 / 3) ** 2) / 3
  expect(squaredError(REQUESTS, MEASURED, PREDICTED, 3)).toBeCloseTo(expected, 12)
})
