import { describe, expect, test } from 'vitest'
import { MembraneError } from '../core/errors.ts'
import { parseRedisUrl } from './redis-url.ts'

const NOTHING = { socketPath: null, isTls: false, username: null, password: null, db: 0, masterName: null }
const HOST = { host: 'h', port: 6379 }

describe('parseRedisUrl', () => {
  test.each([
    ['redis://h', { kind: 'single', hosts: [HOST] }],
    ['redis://h:7000/3', { kind: 'single', hosts: [{ host: 'h', port: 7000 }], db: 3 }],
    ['redis://h/?db=3', { kind: 'single', hosts: [HOST], db: 3 }],
    ['valkey://[::1]:7000', { kind: 'single', hosts: [{ host: '::1', port: 7000 }] }],
    ['rediss://u:p%40%2F@h', { kind: 'single', hosts: [HOST], isTls: true, username: 'u', password: 'p@/' }],
    ['redis://u:p@/?@h', { kind: 'single', hosts: [HOST], username: 'u', password: 'p@/?' }],
    ['redis://:p@h', { kind: 'single', hosts: [HOST], password: 'p' }],
    ['unix:///run/redis.sock?db=2', { kind: 'single', hosts: [], socketPath: '/run/redis.sock', db: 2 }],
    ['unix://:p@/a%20b', { kind: 'single', hosts: [], socketPath: '/a b', password: 'p' }],
    ['redis-cluster://h,i:7001', { kind: 'cluster', hosts: [HOST, { host: 'i', port: 7001 }] }],
    ['rediss-cluster://h', { kind: 'cluster', hosts: [HOST], isTls: true }],
    [
      'redis-sentinel://:p@a,b:1/main?db=1',
      {
        kind: 'sentinel',
        hosts: [
          { host: 'a', port: 26_379 },
          { host: 'b', port: 1 },
        ],
        masterName: 'main',
        password: 'p',
        db: 1,
      },
    ],
  ])('reads %s', (url, expected) => {
    expect(parseRedisUrl(url)).toEqual({ ...NOTHING, text: expect.any(String), ...expected })
  })

  test.each([
    'http://h',
    'redis:h',
    '',
    'constructor://h',
    'redis://',
    'redis://:@',
    'redis://h:0',
    'redis://h:65536',
    'redis://h:x',
    'redis://h,i',
    'redis://h/x',
    'redis://h/-1',
    'redis://h/1.5',
    'redis://h?db=',
    'redis://h?timeout=1',
    'redis://%zz@h',
    'redis-cluster://h/1',
    'redis-sentinel://h',
    'redis-sentinel://h/',
    'unix://h/path',
    'unix://',
    'unix:///',
  ])('refuses %j', (url) => {
    expect(() => parseRedisUrl(url)).toThrow(expect.objectContaining({ code: 'INVALID_CONFIG' }))
  })

  test.each([
    'redis://user:secret@h:99999',
    'redis://user:secret@h/x',
    'http://user:secret@h',
    'redis://user:sec/ret@h:x',
    'redis://user:sec@ret@h:x',
    'redis://user:sec?ret@h:x',
    'user:secret@h',
    'redis://user:secret%zz@h',
  ])('says neither user nor password when it refuses %s, nor in the text of what it reads', (url) => {
    try {
      parseRedisUrl(url)
      expect.unreachable()
    } catch (error) {
      if (!(error instanceof MembraneError)) throw error
      expect(`${error.message} ${error.remedy} ${JSON.stringify(error.details)}`).not.toMatch(/sec|ret@|user:s/)
    }
    expect(parseRedisUrl('redis://user:secret@h/2').text).toBe('redis://h/2')
  })
})
