import { describe, expect, test } from 'vitest'
import { DEFAULT_TENANT, parseTenantId } from '../core/ids.ts'
import type { Authenticator } from './caller.ts'
import { redactLine } from './log-redact.ts'
import { NodeTokens, withNodes } from './node-tokens.ts'

const SECRET = 'a secret that all nodes have'
const ACME = parseTenantId('acme')

describe('tokens of nodes', () => {
  test('say by themselves for whom a node asks', () => {
    const token = new NodeTokens(SECRET, 'c').tokenFor(ACME)
    expect(new NodeTokens(SECRET, 'c').callerOf(token)).toEqual({ tenant: ACME, role: 'node', name: 'node' })
  })

  test('of another secret, another cluster or another tenant are not known', () => {
    const known = new NodeTokens(SECRET, 'c')
    expect(known.callerOf(new NodeTokens('another secret of nobody', 'c').tokenFor(ACME))).toBeNull()
    expect(known.callerOf(new NodeTokens(SECRET, 'd').tokenFor(ACME))).toBeNull()
    const mac = known.tokenFor(ACME).slice(0, 'mbr_node_'.length + 43)
    expect(known.callerOf(`${mac}${Buffer.from('rival').toString('base64url')}`)).toBeNull()
  })

  test.each(['', 'mbr_node_', 'mbr_node_x', `mbr_node_${'x'.repeat(43)}`, `mbr_node_${'x'.repeat(43)}Li4v`])(
    'such as %j are not known',
    (token) => {
      expect(new NodeTokens(SECRET, 'c').callerOf(token)).toBeNull()
    },
  )

  test('are not written into logs', () => {
    const token = new NodeTokens(SECRET, 'c').tokenFor(DEFAULT_TENANT)
    expect(redactLine(JSON.stringify({ message: `refused ${token}` }))).not.toContain(token.slice(20))
  })

  test('are known beside those of others, and nobody else can send one', () => {
    const tokens = new NodeTokens(SECRET, 'c')
    const others: Authenticator = {
      anonymous: null,
      byToken: () => ({ tenant: DEFAULT_TENANT, role: 'admin', name: 'anybody' }),
      byCertificate: () => null,
    }
    const both = withNodes(others, tokens)
    expect(both.byToken(tokens.tokenFor(ACME))?.role).toBe('node')
    expect(both.byToken('mbr_else')?.name).toBe('anybody')
    expect(both.byToken('mbr_node_forged')).toBeNull()
  })
})
