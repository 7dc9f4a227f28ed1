import { expect, it } from 'vitest'
import { erlangB, erlangC, mm1Blocking } from './queueing.ts'

/** C and Wq / E[S] at loads 0.5, 0.7, 0.8, 0.9 and 0.95, to six digits. */
const GOLDEN: Readonly<Record<number, string>> = {
  1: '0.500000 1.000000, 0.700000 2.333333, 0.800000 4.000000, 0.900000 9.000000, 0.950000 19.000000',
  2: '0.333333 0.333333, 0.576471 0.960784, 0.711111 1.777778, 0.852632 4.263158, 0.925641 9.256410',
  3: '0.236842 0.157895, 0.492344 0.547049, 0.647191 1.078652, 0.817061 2.723537, 0.907009 6.046723',
  4: '0.173913 0.086957, 0.428654 0.357212, 0.596432 0.745541, 0.787753 1.969383, 0.891419 4.457095',
  8: '0.059044 0.014761, 0.270603 0.112751, 0.457645 0.286028, 0.701533 0.876916, 0.844169 2.110422',
  100: '0.000000 0.000000, 0.000459 0.000015, 0.019646 0.000982, 0.216940 0.021694, 0.506457 0.101291',
}

/** Erlang C term by term, in logarithms: nothing of the recursion that is tested. */
function erlangCBySum(servers: number, load: number): number {
  const logTerm = (jobs: number): number => {
    let log = 0
    for (let k = 1; k <= jobs; k++) log += Math.log(load / k)
    return log
  }
  const waiting = Math.exp(logTerm(servers)) / (1 - load / servers)
  let idle = 0
  for (let jobs = 0; jobs < servers; jobs++) idle += Math.exp(logTerm(jobs))
  return waiting / (idle + waiting)
}

it.each(Object.entries(GOLDEN))('Erlang C of %s servers is the golden one to six digits', (key, row) => {
  const servers = Number(key)
  const found = [0.5, 0.7, 0.8, 0.9, 0.95].map((load) => {
    const waiting = erlangC(servers, load * servers)
    expect(waiting).toBeCloseTo(erlangCBySum(servers, load * servers), 10)
    return `${waiting.toFixed(6)} ${(waiting / (servers * (1 - load))).toFixed(6)}`
  })
  expect(found.join(', ')).toBe(row)
})

it('M/M/1 with room for K jobs blocks as the weights rho^n say, at load 1 too', () => {
  for (const [rho, insideMax] of [
    [0.5, 4],
    [0.95, 4],
    [1, 3],
    [1.5, 2],
  ] as const) {
    const weights = Array.from({ length: insideMax + 1 }, (_, jobs) => rho ** jobs)
    const share = rho ** insideMax / weights.reduce((sum, weight) => sum + weight, 0)
    expect(mm1Blocking(rho, insideMax)).toBeCloseTo(share, 12)
  }
  // With room for the one in service only it is Erlang's loss system.
  expect(mm1Blocking(0.7, 1)).toBeCloseTo(erlangB(1, 0.7), 12)
})
