import { describe, expect, it } from 'vitest'
import { LIMITS } from '../core/limits.ts'
import { parseBlockCounts } from './replay-caches.ts'

describe('block counts on the command line', () => {
  it('are whole numbers with commas between them', () => {
    expect(parseBlockCounts('1000')).toEqual([1000])
    expect(parseBlockCounts('0,5,70000')).toEqual([0, 5, 70_000])
  })

  it.each(['', '1,', '-1', '1.5', '1e3', '5;6', String(LIMITS.cacheBlocksMax + 1)])('reject %j', (text) => {
    expect(() => parseBlockCounts(text)).toThrow('whole numbers')
  })
})
