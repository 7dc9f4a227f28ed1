import { describe, expect, it } from 'vitest'
import { Staging } from './sim-staging.ts'

/** When jobs began to wait, and which job a server holds: source 100 + job. */
const queued = (job: number): number => job
const jobOf = (source: number): number => source - 100

describe('memory for KV that waits', () => {
  it('is had while there is room, and a single one too large for it is let in alone', () => {
    const staging = new Staging(10)
    expect([staging.reserve(6), staging.reserve(5), staging.reserve(4), staging.reserve(0.1)]).toEqual([
      true,
      false,
      true,
      false,
    ])
    staging.release(4)
    expect(staging.reserve(4)).toBe(true)
    staging.release(4)
    staging.release(6)
    expect([staging.reserve(50), staging.reserve(1)]).toEqual([true, false])
  })

  it('without a bound counts nothing', () => {
    const staging = new Staging(Number.POSITIVE_INFINITY)
    expect([staging.isBounded, staging.reserve(1e18), staging.reserve(1e18)]).toEqual([false, true, true])
  })

  it('goes to whoever has waited longest, at the sender or on a server', () => {
    const staging = new Staging(1)
    expect(staging.firstWaiting(queued, jobOf)).toBeNull()
    staging.waitToSend(3)
    staging.waitOnServer(102)
    expect(staging.firstWaiting(queued, jobOf)).toEqual({ kind: 'server', job: 2, source: 102 })
    staging.takeWaiting({ kind: 'server', job: 2, source: 102 })
    expect(staging.firstWaiting(queued, jobOf)).toEqual({ kind: 'send', job: 3 })
    expect(staging.waiting).toBe(1)
  })

  it('does not wait for a server that is lost, nor for senders that are gone', () => {
    const staging = new Staging(1)
    for (const source of [101, 102, 103]) staging.waitOnServer(source)
    staging.dropServer(102)
    staging.dropServer(999)
    expect(staging.waiting).toBe(2)
    expect(staging.firstWaiting(queued, jobOf)).toMatchObject({ job: 1 })
    staging.takeWaiting({ kind: 'server', job: 1, source: 101 })
    expect(staging.firstWaiting(queued, jobOf)).toMatchObject({ job: 3 })
    staging.waitToSend(7)
    staging.waitToSend(8)
    expect(staging.dropSenders()).toEqual([7, 8])
    expect(staging.waiting).toBe(1)
  })
})
