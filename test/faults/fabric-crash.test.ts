import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, describe, expect, test } from 'vitest'
import { parseTenantId } from '../../src/core/ids.ts'
import { runs } from '../effort.ts'
import { openCrashFabric } from './fabric-crash-options.ts'
import { type Random, randomBytes, randomOf } from './random-bytes.ts'

const ROUNDS = runs(5, 200)
const CHILD = fileURLToPath(new URL('fabric-crash-child.ts', import.meta.url))
const directory = mkdtempSync(join(tmpdir(), 'membrane-fabric-crash-'))

afterEach(() => {
  rmSync(directory, { recursive: true, force: true })
})

/** `<bytes> <seed>`, or null: not there. */
type Value = string | null

describe('A fabric whose process is killed at any moment', () => {
  test(
    `has every acknowledged fragment that was pinned, whole ones only, and nothing left over, after ${ROUNDS} kills`,
    async () => {
      const seed = Date.now() % 1_000_000
      const random = randomOf(seed)
      let held = new Map<string, Value>()
      let acknowledged = 0
      for (let round = 0; round < ROUNDS; round++) {
        const where = `seed ${seed}, round ${round}`
        const lines = await runAndKill(random)
        expect(
          lines.filter((line) => line.startsWith('failed')),
          where,
        ).toEqual([])
        acknowledged += lines.filter((line) => line.startsWith('done')).length
        const allowed = allowedAfter(lines, held)
        held = await checkAll(allowed, where)
      }
      expect(acknowledged).toBeGreaterThan(ROUNDS)
    },
    ROUNDS * 10_000,
  )
})

async function runAndKill(random: Random): Promise<string[]> {
  const child = spawn(process.execPath, [CHILD, directory, String(random.below(2 ** 30))], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  let output = ''
  const isOpen = new Promise<void>((resolve) => {
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      output += text
      if (output.startsWith('open\n')) resolve()
    })
  })
  const isOver = new Promise((resolve) => child.on('close', resolve))
  await Promise.race([isOpen, isOver])
  await Promise.race([new Promise((resolve) => setTimeout(resolve, random.below(400))), isOver])
  child.kill('SIGKILL')
  await isOver
  return output.split('\n').slice(0, -1)
}

/** By key: what was acknowledged last, and what was begun since. */
function allowedAfter(lines: readonly string[], held: ReadonlyMap<string, Value>): Map<string, Value[]> {
  const allowed = new Map([...held].map(([key, value]) => [key, [value]]))
  const begun = new Map<string, { readonly key: string; readonly value: Value }>()
  for (const line of lines) {
    const [verb, number = '', call, key = '', bytes, seed] = line.split(' ')
    if (verb === 'begin') {
      const value = call === 'put' ? `${bytes} ${seed}` : null
      begun.set(number, { key, value })
      allowed.set(key, [...(allowed.get(key) ?? [null]), value])
    } else if (verb === 'done') {
      const done = begun.get(number)
      if (done !== undefined) allowed.set(done.key, [done.value])
    }
  }
  return allowed
}

/** Gives what is there under every pinned key. */
async function checkAll(allowed: ReadonlyMap<string, readonly Value[]>, where: string): Promise<Map<string, Value>> {
  const { disk, fabric } = await openCrashFabric(directory)
  try {
    const there = new Map<string, Value>()
    for (const { key } of fabric.indices.fragments()) {
      const slash = key.indexOf('/')
      const found = await fabric.of(parseTenantId(key.slice(0, slash))).get(key.slice(slash + 1))
      expect(found, `${where}: ${key}`).not.toBeNull()
      const text = found?.description.text ?? ''
      const [bytes, seed] = text.split(' ').map(Number)
      const expected = randomBytes(bytes ?? 0, seed ?? 0)
      expect(Buffer.from(found?.payload ?? []).equals(expected), `${where}: the bytes of ${key}`).toBe(true)
      if (key.includes('pinned-')) there.set(key.replace('opaque/=', ''), text)
    }
    for (const [key, values] of allowed) expect(values, `${where}: ${key}`).toContain(there.get(key) ?? null)
    expect(fabric.indices.inconsistencies(), where).toEqual([])
    // Every content that rests on the disk is somebody's, and counted once.
    let contentBytes = 0
    for await (const { payloadBytes } of disk.list('b/')) contentBytes += payloadBytes
    expect(fabric.stats().contentBytes, where).toBe(contentBytes)
    for await (const { key } of disk.list('d/')) expect.unreachable(`${where}: ${key}`)
    const { damaged, orphanBytes } = await disk.scrub()
    expect({ damaged, orphanBytes }, where).toEqual({ damaged: [], orphanBytes: 0 })
    return there
  } finally {
    await fabric.close()
  }
}
