import { describe, expect, test } from 'vitest'
import { DEFAULT_HEAT_RULES, isColdCopy, isWorthCopy, type PlaceCandidate, placeCopies } from './place.ts'

function candidate(node: string, changes: Partial<PlaceCandidate> = {}): PlaceCandidate {
  return {
    node,
    datacentre: 'east',
    storedBytes: 100,
    capacityBytes: 1000,
    ageSeconds: 1e6,
    isClosed: false,
    ...changes,
  }
}

const question = { holders: ['a'], datacentre: 'east', copies: 2, payloadBytes: 10 }
const [a, b, c, d] = [candidate('a'), candidate('b'), candidate('c'), candidate('d')]

describe('copies go', () => {
  test('to the next nodes of the ring, as many as are missing', () => {
    expect(placeCopies({ ...question, candidates: [a, b, c, d] })).toEqual(['b'])
    expect(placeCopies({ ...question, copies: 3, candidates: [c, a, b, d] })).toEqual(['c', 'b'])
    expect(placeCopies({ ...question, copies: 1, candidates: [a, b] })).toEqual([])
    expect(placeCopies({ ...question, copies: 5, candidates: [a, b, c] })).toEqual(['b', 'c'])
  })

  test('nowhere where nodes leave or may be dead, and where it does not fit', () => {
    const candidates = [a, { ...b, isClosed: true }, { ...c, storedBytes: 995 }, d]
    expect(placeCopies({ ...question, candidates })).toEqual(['d'])
    expect(placeCopies({ ...question, candidates: candidates.slice(0, 3) })).toEqual([])
  })

  test('past nodes that are much fuller than the mean, as long as others take them', () => {
    const full = { ...b, storedBytes: 300 }
    expect(placeCopies({ ...question, candidates: [a, full, c, d] })).toEqual(['c'])
    expect(placeCopies({ ...question, candidates: [a, full] })).toEqual(['b'])
    const unbounded = [a, full, c, d].map((one) => ({ ...one, capacityBytes: null }))
    expect(placeCopies({ ...question, candidates: unbounded })).toEqual(['c'])
  })

  test('to a node that has just begun only after others, and more and more', () => {
    const young = (ageSeconds: number) => ({ ...b, storedBytes: 0, ageSeconds })
    const stored = (one: PlaceCandidate) => ({ ...one, storedBytes: 900 })
    const others = [stored(a), stored(c), stored(d)]
    expect(placeCopies({ ...question, candidates: [young(0), ...others] })).toEqual(['c'])
    expect(placeCopies({ ...question, candidates: [young(59), ...others] })).toEqual(['b'])
  })

  test('near, but for the last of three', () => {
    const far = candidate('far', { datacentre: 'west' })
    expect(placeCopies({ ...question, candidates: [far, a, b, c] })).toEqual(['b'])
    expect(placeCopies({ ...question, copies: 3, candidates: [far, a, b, c] })).toEqual(['b', 'far'])
    expect(placeCopies({ ...question, copies: 3, holders: ['a', 'far'], candidates: [far, a, b, c] })).toEqual(['b'])
    expect(placeCopies({ ...question, candidates: [far, a] })).toEqual(['far'])
  })
})

test('what is read often gets a copy, and one too many goes when nobody reads it', () => {
  const { promotedReads, demotedSeconds } = DEFAULT_HEAT_RULES
  expect([isWorthCopy(promotedReads - 1), isWorthCopy(promotedReads)]).toEqual([false, true])
  const copy = { idleSeconds: demotedSeconds, otherCopies: 2, copies: 2 }
  expect(isColdCopy(copy)).toBe(true)
  expect(isColdCopy({ ...copy, otherCopies: 1 })).toBe(false)
  expect(isColdCopy({ ...copy, idleSeconds: demotedSeconds - 1 })).toBe(false)
})
