import fc from 'fast-check'
import { expect, test } from 'vitest'
import { nearestName } from './nearest-name.ts'

const KNOWN = ['port', 'grpcPort', 'host', 'compute', 'logLevel', 'llmUrl']

test.each([
  ['prot', 'port'],
  ['PORT', 'port'],
  ['grpc-port', 'grpcPort'],
  ['loglevel', 'logLevel'],
  ['computes', 'compute'],
  ['llmURL', 'llmUrl'],
  ['xyz', null],
  ['', null],
  ['a'.repeat(1000), null],
])('%s was meant to be %s', (name, nearest) => {
  expect(nearestName(name, KNOWN)).toBe(nearest)
})

test('a name with one letter replaced, left out or added is found', () => {
  const slip = fc
    .constantFrom(...KNOWN)
    .chain((name) =>
      fc.tuple(fc.constant(name), fc.nat(name.length - 1), fc.constantFrom('replaced', 'left out', 'added')),
    )
  fc.assert(
    fc.property(slip, ([name, at, kind]) => {
      const middle = kind === 'left out' ? '' : kind === 'replaced' ? '#' : `#${name[at]}`
      expect(nearestName(`${name.slice(0, at)}${middle}${name.slice(at + 1)}`, KNOWN)).toBe(name)
    }),
  )
})

test('two letters that changed places are one slip', () => {
  expect(nearestName('on', ['no'])).toBe('no')
  expect(nearestName('on', ['xy'])).toBeNull()
})
