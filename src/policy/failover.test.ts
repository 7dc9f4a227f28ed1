import { describe, expect, it } from 'vitest'
import { failOver } from './failover.ts'

describe('a failover', () => {
  it.each([
    ['remote', 4, 3, 'remote'],
    ['local', 4, 3, 'local'],
    ['remote', 0, 3, 'local'],
    ['local', 4, 0, 'remote'],
    ['remote', 0, 0, 'remote'],
    ['local', 0, 0, 'local'],
  ] as const)(
    'proposed %s with %d remote and %d local servers is %s',
    (proposed, remoteServers, localServers, expected) => {
      expect(failOver({ proposed, remoteServers, localServers })).toBe(expected)
    },
  )
})
