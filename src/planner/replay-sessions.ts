import { seededRandom } from '../core/random.ts'
import type { TraceBlocks } from './trace.ts'

/** Which requests of a trace go on from which: a chat or an agent sends what it said before, and more. */
export interface TraceSessions {
  /** For each request the earlier one that it goes on from, or -1: it begins a session. */
  readonly previous: Int32Array
  /** 1 for the last request of a session. */
  readonly isLast: Uint8Array
}

/**
 * A request goes on from the one with the longest prompt of which it has all full blocks, the latest of those. The last
 * block of a prompt may be filled in part and then gets another id when it grows, so it need not be there. A single block
 * in common is a beginning that many share, not a session.
 */
export function sessionsOf({ ids, offsets }: TraceBlocks): TraceSessions {
  const requests = offsets.length - 1
  const previous = new Int32Array(requests).fill(-1)
  const isLast = new Uint8Array(requests).fill(1)
  /** From the last block of a prompt, and from the one before, to the latest request that ends there. */
  const endingAt = new Map<number, number>()
  for (let request = 0; request < requests; request++) {
    const start = offsets[request] ?? 0
    const end = offsets[request + 1] ?? 0
    for (let index = end - 1; index > start; index--) {
      const earlier = endingAt.get(ids[index] ?? 0)
      if (earlier === undefined) continue
      previous[request] = earlier
      isLast[earlier] = 0
      break
    }
    for (let index = Math.max(start + 1, end - 2); index < end; index++) endingAt.set(ids[index] ?? 0, request)
  }
  return { previous, isLast }
}

/** For which share of the ending sessions the cache is told that they end. */
export interface ClosedHints {
  /** The share of the sessions of which it is known when they end, 0 to 1. */
  readonly ratio: number
  /** The same seed chooses the same sessions. */
  readonly seed: number
}

/** The last requests of the sessions that are known to end with them, one draw a session: 1 for those, else 0. */
export function closingRequests({ isLast }: TraceSessions, { ratio, seed }: ClosedHints): Uint8Array {
  const random = seededRandom(seed)
  return isLast.map((last) => (last === 1 && random() < ratio ? 1 : 0))
}
