import { describe, expect, it } from 'vitest'
import { simulatePlanned } from '../../test/case-study.ts'
import { lose, restore } from '../../test/losses.ts'

describe('a loss of instances', () => {
  it('of the whole local cluster does not stop the scheduler, which plans again when it is back', () => {
    const events = [
      lose(200, 'decode', 5),
      lose(200, 'localPrefill', 3),
      restore(260, 'decode', 5),
      restore(260, 'localPrefill', 3),
    ]
    for (const replanSeconds of [20, 300]) {
      const data = simulatePlanned({ scheduler: 'on', requests: 1500, replanSeconds, events })
      expect(data.requests).toBe(1500)
    }
  })

  it('of the remote cluster for good makes the scheduler give an instance to prefill, where none did', () => {
    const roles = { remotePrefill: 4, localPrefill: 0, decode: 5 }
    const data = simulatePlanned({
      scheduler: 'on',
      roles,
      rateRps: 0.3,
      requests: 40,
      thresholdTokens: 1,
      events: [lose(20, 'remotePrefill', 4)],
    })
    expect(data.requests).toBe(40)
    expect(data.localPrefillEnd).toBeGreaterThan(0)
  })

  it('that leaves nobody to serve requests does not make the scheduler adopt a plan that serves nobody', () => {
    const roles = { remotePrefill: 4, localPrefill: 1, decode: 5 }
    const events = [
      lose(100, 'remotePrefill', 4),
      lose(100, 'decode', 5),
      restore(200, 'remotePrefill', 4),
      restore(200, 'decode', 5),
    ]
    const data = simulatePlanned({ scheduler: 'on', roles, rateRps: 1.5, requests: 800, replanSeconds: 20, events })
    expect(data.requests).toBe(800)
    expect(data.threshold.min).toBeGreaterThan(500)
  })

  it('leaves one instance that decodes, whatever the scheduler wants', () => {
    const roles = { remotePrefill: 0, localPrefill: 3, decode: 2 }
    const data = simulatePlanned({
      scheduler: 'on',
      roles,
      rateRps: 0.5,
      requests: 40,
      thresholdTokens: 1e6,
      events: [lose(5, 'localPrefill', 3)],
    })
    expect(data.requests).toBe(40)
  })
})
