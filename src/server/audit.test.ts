import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { MembraneError } from '../core/errors.ts'
import { DEFAULT_TENANT } from '../core/ids.ts'
import { LIMITS } from '../core/limits.ts'
import { type AuditEntry, AuditLog } from './audit.ts'

let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'membrane-audit-'))
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

const clock = { nowMs: () => Date.UTC(2026, 10, 23) }
const ERASE: AuditEntry = {
  action: 'tenant.erase',
  caller: { name: 'ops', tenant: DEFAULT_TENANT, role: 'admin' },
  target: 'tenant bob',
  requestId: 'r-1',
}

function linesOf(path: string): readonly Record<string, unknown>[] {
  return readFileSync(path, 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line))
}

describe('an administrative action', () => {
  test('is written down before it is begun and after it ends, for this user alone', async () => {
    const path = join(folder, 'audit.jsonl')
    const log = await AuditLog.open(path, clock)
    const result = await log.around(ERASE, async () => {
      expect(linesOf(path)).toHaveLength(1)
      return 7
    })
    expect(result).toBe(7)
    const line = {
      time: '2026-11-23T00:00:00.000Z',
      action: 'tenant.erase',
      target: 'tenant bob',
      caller: 'ops',
      tenant: 'default',
      role: 'admin',
      requestId: 'r-1',
    }
    expect(linesOf(path)).toEqual([
      { ...line, outcome: 'begun' },
      { ...line, outcome: 'done' },
    ])
    expect(statSync(path).mode & 0o777).toBe(0o600)
    await log.close()
  })

  test('that fails is written down with its code', async () => {
    const path = join(folder, 'audit.jsonl')
    const log = await AuditLog.open(path, clock)
    const act = async () => {
      throw new MembraneError('STORE_UNAVAILABLE', 'gone')
    }
    await expect(log.around(ERASE, act)).rejects.toThrow('gone')
    expect(linesOf(path).map(({ outcome }) => outcome)).toEqual(['begun', 'STORE_UNAVAILABLE'])
    await log.close()
  })

  test('is not done when it cannot be written down', async () => {
    const log = await AuditLog.open(join(folder, 'audit.jsonl'), clock)
    await log.close()
    let isDone = false
    const act = async () => {
      isDone = true
    }
    await expect(log.around(ERASE, act)).rejects.toMatchObject({ code: 'FILE_UNREADABLE' })
    expect(isDone).toBe(false)
    await expect(AuditLog.open(join(folder, 'absent', 'audit'), clock)).rejects.toMatchObject({
      code: 'FILE_UNREADABLE',
    })
  })

  test('stands on one line whatever its target holds, and not without end', async () => {
    const path = join(folder, 'audit.jsonl')
    const log = await AuditLog.open(path, clock)
    await log.around({ ...ERASE, target: `a\n{"outcome":"done"}${'x'.repeat(10_000)}`, caller: null }, async () => {})
    const lines = linesOf(path)
    expect(lines).toHaveLength(2)
    expect(lines[0]).toMatchObject({ caller: null, target: expect.stringMatching(/^a\n.*… \(10020 characters\)$/s) })
    await log.close()
  })
})

test('lines of one file are in order, those of an earlier run before them', async () => {
  const path = join(folder, 'audit.jsonl')
  for (const run of [0, 1]) {
    const log = await AuditLog.open(path, clock)
    await Promise.all(
      Array.from({ length: 50 }, (_, n) => log.around({ ...ERASE, requestId: `${run}-${n}` }, async () => {})),
    )
    await log.close()
  }
  const begun = linesOf(path).filter(({ outcome }) => outcome === 'begun')
  expect(begun.map(({ requestId }) => requestId)).toEqual(
    [0, 1].flatMap((run) => Array.from({ length: 50 }, (_, n) => `${run}-${n}`)),
  )
})

test('a file that has grown makes room for a new one, and the oldest goes', async () => {
  const path = join(folder, 'audit.jsonl')
  const full = Buffer.alloc(LIMITS.auditFileBytesMax, '\n')
  const { writeFileSync } = await import('node:fs')
  for (let n = 1; n <= LIMITS.auditFilesMax; n++) writeFileSync(`${path}.${n}`, `old ${n}`)
  writeFileSync(path, full)
  const log = await AuditLog.open(path, clock)
  await log.around(ERASE, async () => {})
  await log.close()
  expect(linesOf(path)).toHaveLength(2)
  expect(statSync(`${path}.1`).size).toBe(full.length)
  expect(readFileSync(`${path}.2`, 'utf8')).toBe('old 1')
  expect(readdirSync(folder)).toHaveLength(LIMITS.auditFilesMax + 1)
  expect(statSync(path).mode & 0o777).toBe(0o600)
})
