import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { MembraneError } from '../core/errors.ts'
import { lockDirectory } from '../store/lock.ts'
import { type Check, runChecks } from './doctor-check.ts'
import { directoryChecks, freeSpaceFinding, fsyncFinding, hashingFinding, nodeFinding } from './doctor-local.ts'
import { clockFinding, expiryFinding } from './doctor-server.ts'

const folder = mkdtempSync(join(tmpdir(), 'membrane-doctor-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const stateOf = async (check: Check | undefined): Promise<string | undefined> =>
  check === undefined ? 'no check' : (await runChecks([check], () => {}))[0]?.state
const checkOf = (directory: string, name: string, isServed = false): Check | undefined =>
  directoryChecks(directory, isServed).find((check) => check.name === name)

describe('a check', () => {
  test('that throws has failed, with what to do', async () => {
    const run = () => Promise.reject(new MembraneError('PEER_UNAVAILABLE', 'Nobody is there.', { remedy: 'Call.' }))
    expect(await runChecks([{ name: 'a', run }], () => {})).toEqual([
      { name: 'a', state: 'failed', found: 'Nobody is there.', remedy: 'Call.' },
    ])
  })

  test('that does not end is ended, and the next one runs', async () => {
    let isEnded = false
    const hang = (signal: AbortSignal): Promise<never> =>
      new Promise(() => signal.addEventListener('abort', () => (isEnded = true)))
    const fine = async () => ({ state: 'ok', found: 'fine', remedy: null }) as const
    const results = await runChecks(
      [
        { name: 'hangs', run: hang },
        { name: 'fine', run: fine },
      ],
      () => {},
      1,
    )
    expect(results.map(({ state }) => state)).toEqual(['failed', 'ok'])
    expect(isEnded).toBe(true)
  })

  test.each([
    ['an old Node', nodeFinding('22.17.9', '1'), 'failed'],
    ['this Node', nodeFinding(process.versions.node, '1'), 'ok'],
    ['hashing by JavaScript', hashingFinding('pure', 'no binary'), 'warning'],
    ['hashing by native code', hashingFinding('native', null), 'ok'],
    ['a full disk', freeSpaceFinding({ freeBytes: 1e6, totalBytes: 1e12 }), 'failed'],
    ['a disk that is nearly full', freeSpaceFinding({ freeBytes: 1e9, totalBytes: 1e12 }), 'warning'],
    ['a disk with room', freeSpaceFinding({ freeBytes: 1e11, totalBytes: 1e12 }), 'ok'],
    ['a slow disk', fsyncFinding(200), 'warning'],
    ['a fast disk', fsyncFinding(1), 'ok'],
    [
      'a clock that is off',
      clockFinding({ serverTimeMs: 10_000_000, roundTripMs: 1, ownTimeMs: 10_100_000 }),
      'warning',
    ],
    ['a clock that agrees', clockFinding({ serverTimeMs: 10_000_000, roundTripMs: 1, ownTimeMs: 10_000_700 }), 'ok'],
    ['a server without a clock', clockFinding({ serverTimeMs: null, roundTripMs: 1, ownTimeMs: 0 }), 'warning'],
    ['a certificate that has ended', expiryFinding(0, 86_400_001, 'TLSv1.3'), 'failed'],
    ['a certificate that ends soon', expiryFinding(86_400_000 * 10, 0, 'TLSv1.3'), 'warning'],
    ['a good certificate', expiryFinding(86_400_000 * 300, 0, 'TLSv1.3'), 'ok'],
  ])('tells %s', (_, { state, remedy }, expected) => {
    expect(state).toBe(expected)
    // Whatever is not well comes with what to do.
    expect(remedy === null).toBe(expected === 'ok')
  })
})

describe('the check of a directory', () => {
  test('is well with a good one', async () => {
    for (const check of directoryChecks(folder, false)) expect(await stateOf(check), check.name).not.toBe('failed')
  })

  test('tells one that is not there, and a file', async () => {
    const file = join(folder, 'file')
    writeFileSync(file, '')
    expect(await stateOf(checkOf(join(folder, 'nowhere'), 'directory'))).toBe('failed')
    expect(await stateOf(checkOf(file, 'directory'))).toBe('failed')
    expect(await stateOf(checkOf(join(folder, 'nowhere'), 'store'))).toBe('failed')
  })

  test('tells one that cannot be written', async () => {
    // Root may write whatever the mode says, except where the kernel itself refuses.
    const directory = process.getuid?.() === 0 ? '/proc/self' : folder
    if (directory === folder) chmodSync(folder, 0o500)
    expect(await stateOf(checkOf(directory, 'directory'))).toBe('failed')
    if (directory === folder) chmodSync(folder, 0o700)
  })

  test('tells one that another has open, unless that is the server that is tested', async () => {
    const directory = mkdtempSync(join(folder, 'locked-'))
    const unlock = lockDirectory(directory)
    try {
      expect(await stateOf(checkOf(directory, 'store'))).toBe('failed')
      expect(await stateOf(checkOf(directory, 'store', true))).toBe('ok')
    } finally {
      unlock()
    }
  })
})
