import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { bytesOf, isSameBytes, rejectsWith, sha256Of, VirtualClock } from '../../test/contracts/store-fixtures.ts'
import { FileQuarantine } from './quarantine.ts'

describe('FileQuarantine', () => {
  let folder = ''
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'membrane-quarantine-'))
  })
  afterEach(() => {
    rmSync(folder, { recursive: true, force: true })
  })
  const openIt = (bounds: { filesMax?: number; bytesMax?: number } = {}): Promise<FileQuarantine> =>
    FileQuarantine.open({ directory: join(folder, 'new'), clock: new VirtualClock(), ...bounds })
  const names = (ending: string): string[] => readdirSync(join(folder, 'new')).filter((name) => name.endsWith(ending))
  const evidence = (payload = bytesOf(100)) => ({
    key: '../../etc/passwd\0\n"',
    expected: sha256Of(bytesOf(100)),
    reason: 'They differ.',
    payload,
  })

  test('keeps the bytes and what is known of them, under names that the key has no part in', async () => {
    const quarantine = await openIt()
    await quarantine.keep(evidence())
    const [payload = '', ...more] = names('.payload')
    expect(more).toEqual([])
    expect(payload).toMatch(/^[0-9A-Z.-]+-[0-9a-f]{16}-1\.payload$/)
    expect(isSameBytes(readFileSync(join(folder, 'new', payload)), bytesOf(100))).toBe(true)
    const known: unknown = JSON.parse(readFileSync(join(folder, 'new', payload.replace('.payload', '.json')), 'utf8'))
    const { payload: _, ...rest } = evidence()
    expect(known).toEqual({ ...rest, payloadBytes: 100, time: '2026-01-01T00:00:00.000Z' })
    expect(readdirSync(folder)).toEqual(['new'])
    expect(statSync(join(folder, 'new')).mode & 0o077).toBe(0)
    expect(statSync(join(folder, 'new', payload)).mode & 0o077).toBe(0)
  })

  test('writes over nothing, whatever comes at the same moment', async () => {
    const quarantine = await openIt()
    await Promise.all([1, 2, 3, 4].map((seed) => quarantine.keep(evidence(bytesOf(50, seed)))))
    const kept = names('.payload').map((name) => readFileSync(join(folder, 'new', name)).toString('hex'))
    const expected = [1, 2, 3, 4].map((seed) => Buffer.from(bytesOf(50, seed)).toString('hex'))
    expect(kept.sort()).toEqual(expected.sort())
    expect(names('.json')).toHaveLength(4)
    expect(quarantine.stats()).toEqual({ files: 4, bytes: 200, refused: 0 })
  })

  test('counts what earlier runs left, and refuses what is above its bounds', async () => {
    const first = await openIt({ filesMax: 3 })
    await first.keep(evidence())
    await first.keep(evidence())
    const again = await openIt({ filesMax: 3 })
    expect(again.stats()).toEqual({ files: 2, bytes: 200, refused: 0 })
    await Promise.all([again.keep(evidence()), again.keep(evidence()), again.keep(evidence())])
    expect(again.stats()).toEqual({ files: 3, bytes: 300, refused: 2 })
    expect(names('.payload')).toHaveLength(3)
    const small = await openIt({ bytesMax: 350 })
    await small.keep(evidence(bytesOf(51)))
    expect(small.stats().refused).toBe(1)
    await small.keep(evidence(bytesOf(50)))
    expect(small.stats()).toEqual({ files: 4, bytes: 350, refused: 1 })
  })

  test('says so when it cannot be written', async () => {
    writeFileSync(join(folder, 'file'), '')
    await rejectsWith(
      FileQuarantine.open({ directory: join(folder, 'file'), clock: new VirtualClock() }),
      'FILE_UNREADABLE',
    )
    const quarantine = await openIt()
    chmodSync(join(folder, 'new'), 0o700)
    rmSync(join(folder, 'new'), { recursive: true })
    await rejectsWith(quarantine.keep(evidence()), 'FILE_UNREADABLE')
    expect(quarantine.stats()).toEqual({ files: 0, bytes: 0, refused: 0 })
  })
})
