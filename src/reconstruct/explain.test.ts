import { describe, expect, test } from 'vitest'
import { explainPlan, explainSpans } from './explain.ts'
import { planRebuild } from './plan-rebuild.ts'
import type { ReuseCandidate } from './rebuild-plan.ts'

const held: ReuseCandidate = {
  source: 'disk',
  place: 'disk',
  span: { start: 0, end: 512 },
  bytes: 1_048_576,
  reads: 1,
  continuesAt: 'any',
  recomputedTokens: 0,
}
const prefillSeconds = ({ start, end }: { readonly start: number; readonly end: number }) => 1e-4 * (end - start)

describe('an explanation', () => {
  test('of a plan says for each span where it comes from, what that costs, and what computing it would', () => {
    const plan = planRebuild({
      promptTokens: 600,
      blockTokens: 16,
      candidates: [held, { ...held, source: 'peer', place: 'b' }],
      offers: [],
      rates: {
        read: (place) => ({ latencySeconds: 1e-3, bytesPerSecond: 2 ** 29, isMeasured: place === 'disk' }),
        prefillSeconds,
        isPrefillMeasured: true,
      },
      parallelReads: 4,
    })
    expect(explainPlan(plan)).toEqual([
      '[0, 512)    disk     1.05 MB  2.95 ms  (computed: 51.2 ms)  Reading 1.05 MB from disk takes 2.95 ms; computing its 512 tokens here would take 51.2 ms.',
      '[512, 600)  prefill           8.8 ms                        Computing takes 8.8 ms; no copy of these tokens is known that could be used.',
      'Expected after 11.8 ms: 88 of 600 tokens computed here, 1.05 MB read. Computing all of them would take 60 ms.',
      'Candidate 1 is not used. Reading 1.05 MB from node b takes 2.95 ms (assumed, nothing was read from there yet); its tokens come from disk instead, in 2.95 ms.',
    ])
  })

  test('of what happened sets the times that it took beside what computing would have cost', () => {
    const lines = explainSpans(
      [
        { start: 0, end: 512, source: 'peer', bytes: 2e6, seconds: 0.02, reason: 'Node b was quicker.' },
        { start: 512, end: 600, source: 'prefill', bytes: 0, seconds: 0.01, reason: 'Nobody had it.' },
      ],
      { prefillSeconds, seconds: 0.025 },
    )
    expect(lines).toEqual([
      '[0, 512)    peer     2 MB  20 ms  (computed: 51.2 ms)  Node b was quicker.',
      '[512, 600)  prefill        10 ms                       Nobody had it.',
      'Ready after 25 ms: 88 of 600 tokens computed here, 2 MB read. Computing all of them would take 60 ms.',
    ])
  })
})
