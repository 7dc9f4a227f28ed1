import { describe, expect, it } from 'vitest'
import { closingRequests, sessionsOf } from './replay-sessions.ts'
import type { TraceBlocks } from './trace.ts'

function blocksOf(prompts: readonly (readonly number[])[]): TraceBlocks {
  const offsets = [0]
  for (const ids of prompts) offsets.push((offsets.at(-1) ?? 0) + ids.length)
  return { blockTokens: 512, ids: Int32Array.from(prompts.flat()), offsets: Int32Array.from(offsets) }
}

describe('sessions of a trace', () => {
  it('go on with the prompt before, the last block of which was filled in part', () => {
    const { previous, isLast } = sessionsOf(
      blocksOf([
        [0, 1, 2, 90],
        [0, 5, 6],
        [0, 1, 2, 3, 91],
        [0, 1, 2, 3, 4],
        [0, 5, 6, 7],
      ]),
    )
    expect([...previous]).toEqual([-1, -1, 0, 2, 1])
    expect([...isLast]).toEqual([0, 0, 0, 1, 1])
  })

  it('do not go on from a beginning that is only shared, or from the middle of a prompt', () => {
    const { previous } = sessionsOf(blocksOf([[0, 1], [0, 2], [0, 10, 11, 12, 13], [0, 10, 11, 30], [0], [0, 40]]))
    expect([...previous]).toEqual([-1, -1, -1, -1, -1, -1])
  })

  it('may part: both prompts go on from the one', () => {
    const { previous, isLast } = sessionsOf(
      blocksOf([
        [0, 1, 2],
        [0, 1, 2, 3, 6],
        [0, 1, 2, 4, 5],
      ]),
    )
    expect([...previous]).toEqual([-1, 0, 0])
    expect([...isLast]).toEqual([0, 1, 1])
  })
})

describe('closing requests', () => {
  const sessions = {
    previous: new Int32Array(4000).fill(-1),
    isLast: Uint8Array.from({ length: 4000 }, (_, k) => k % 2),
  }

  it('are all last requests, or none, or a share of them', () => {
    expect(closingRequests(sessions, { ratio: 1, seed: 1 })).toEqual(sessions.isLast)
    expect(closingRequests(sessions, { ratio: 0, seed: 1 }).includes(1)).toBe(false)
    const half = closingRequests(sessions, { ratio: 0.5, seed: 1 })
    expect(half.every((closes, request) => closes === 0 || sessions.isLast[request] === 1)).toBe(true)
    expect(half.reduce((sum, closes) => sum + closes, 0) / 2000).toBeCloseTo(0.5, 1)
  })

  it('are the same for the same seed', () => {
    const chosen = (seed: number) => closingRequests(sessions, { ratio: 0.5, seed })
    expect(chosen(7)).toEqual(chosen(7))
    expect(chosen(7)).not.toEqual(chosen(8))
  })
})
