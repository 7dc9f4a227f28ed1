import { expect, test } from 'vitest'
import { parseTenantId } from '../core/ids.ts'
import { LIMITS } from '../core/limits.ts'
import { DEFAULT_HEAT_RULES } from '../policy/place.ts'
import { HotCopies } from './hot-copies.ts'

const ANN = parseTenantId('ann')

test('what is read from others often within a minute earns a copy, and what is read now and then does not', () => {
  let nowMs = 0
  const copies = new HotCopies({ nowMs: () => nowMs })
  const reads = Array.from({ length: DEFAULT_HEAT_RULES.promotedReads }, () => copies.fetched(ANN, 'often'))
  expect(reads).toEqual([...reads.slice(1).map(() => false), true])
  for (let turn = 0; turn < 10; turn++) {
    expect(copies.fetched(ANN, 'rarely')).toBe(false)
    nowMs += 61_000
  }
})

test('a copy is idle since it was read last, until it leaves', () => {
  let nowMs = 0
  const copies = new HotCopies({ nowMs: () => nowMs })
  copies.brought(ANN, 'a')
  copies.brought(ANN, 'b')
  nowMs = 30_000
  copies.touched(ANN, 'a')
  copies.touched(ANN, 'unknown')
  nowMs = 40_000
  expect(copies.idle()).toEqual([
    { tenant: ANN, key: 'a', idleSeconds: 10 },
    { tenant: ANN, key: 'b', idleSeconds: 40 },
  ])
  copies.left(ANN, 'a')
  expect(copies.idle().map(({ key }) => key)).toEqual(['b'])
})

test('no more is remembered than the bound', () => {
  const copies = new HotCopies({ nowMs: () => 0 })
  for (let index = 0; index < LIMITS.replicaNotesMax + 10; index++) copies.brought(ANN, `k${index}`)
  expect(copies.size).toBe(LIMITS.replicaNotesMax)
})
