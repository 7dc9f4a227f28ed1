/** Which nodes of a datacentre change between prefilling and decoding. Pure. */
import type { LocalNode } from './live-deployment.ts'

/** What a node is to be from now on. */
export interface ProposedRole {
  readonly node: string
  readonly role: 'prefill' | 'decode'
}

/** Whether each node does one of the two, and both are done: nodes that do both leave nothing to change. */
export function areDedicated(locals: readonly LocalNode[]): boolean {
  const prefilling = locals.filter(({ isPrefill }) => isPrefill).length
  return (
    locals.every(({ isPrefill, isDecode }) => isPrefill !== isDecode) && prefilling > 0 && prefilling < locals.length
  )
}

/** One role for each node, so that `prefilling` of them prefill and as few as can be change: the last in order of names. */
export function assignRoles(locals: readonly LocalNode[], prefilling: number): ProposedRole[] {
  const now = locals.filter(({ isPrefill }) => isPrefill).length
  const candidates = locals.filter(({ isPrefill }) => isPrefill === prefilling < now)
  const changing = new Set(candidates.slice(candidates.length - Math.abs(prefilling - now)))
  return locals.map((local) => ({
    node: local.node,
    role: local.isPrefill !== changing.has(local) ? 'prefill' : 'decode',
  }))
}
