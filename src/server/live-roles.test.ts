import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { LocalNode } from './live-deployment.ts'
import { areDedicated, assignRoles } from './live-roles.ts'

const REPORT = { model: 'm', callSeconds: 0, secondsPerToken: 1, secondsPerPair: 0, waitSeconds: 0 }

function nodes(kinds: string): LocalNode[] {
  return Array.from(kinds, (kind, k) => ({
    node: `n${k}`,
    report: REPORT,
    isPrefill: kind !== 'd',
    isDecode: kind !== 'p',
  }))
}

describe('roles', () => {
  it('are given so that as many prefill as should, and as few nodes change as can', () => {
    const kinds = fc.array(fc.constantFrom('p', 'd'), { minLength: 1, maxLength: 12 })
    fc.assert(
      fc.property(kinds, fc.nat(12), (picked, some) => {
        const locals = nodes(picked.join(''))
        const prefilling = Math.min(some, locals.length)
        const roles = assignRoles(locals, prefilling)
        expect(roles.map(({ node }) => node)).toEqual(locals.map(({ node }) => node))
        expect(roles.filter(({ role }) => role === 'prefill')).toHaveLength(prefilling)
        const changed = roles.filter(({ role }, k) => (role === 'prefill') !== locals[k]?.isPrefill)
        expect(changed).toHaveLength(Math.abs(prefilling - locals.filter(({ isPrefill }) => isPrefill).length))
      }),
    )
  })

  it('can change only where each node has one of the two and both are had', () => {
    expect(areDedicated(nodes('ppd'))).toBe(true)
    for (const kinds of ['', 'p', 'dd', 'ppb', 'b']) expect(areDedicated(nodes(kinds))).toBe(false)
  })
})
