import { describe, expect, test } from 'vitest'
import { addressError } from './address-error.ts'

const failed = (code: string): Error => Object.assign(new Error('listen'), { code })

describe('why an address cannot be listened on', () => {
  test.each([
    ['ENOTFOUND', /does not resolve/, /Name a host of this machine/],
    ['EADDRNOTAVAIL', /no address of this machine/, /Name a host of this machine/],
    ['EACCES', /permission is missing/, /port from 1024 on/],
    ['EADDRINUSE', /another program has it/, /Choose another port/],
    ['EMFILE', /the system says EMFILE/, /Choose another port/],
  ])('%s says what is to be changed', (code, message, remedy) => {
    const error = addressError({ kind: 'tcp', host: 'node.example', port: 7 }, failed(code))
    expect(error).toMatchObject({ code: 'ADDRESS_UNAVAILABLE', details: { systemCode: code } })
    expect(error.message).toMatch(/^node\.example:7 cannot be listened on: /)
    expect(error.message).toMatch(message)
    expect(error.remedy).toMatch(remedy)
  })

  test('a socket has a path and no port', () => {
    const error = addressError({ kind: 'unix', path: '/run/m.sock' }, failed('EADDRINUSE'))
    expect(`${error.message} ${error.remedy}`).toBe(
      '/run/m.sock cannot be listened on: another program has it (EADDRINUSE). Name another socket.',
    )
  })
})
