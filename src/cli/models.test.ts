import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { ggufBytes, randomLlama, TINY_LLAMA } from '../../test/gguf-writer.ts'

const folder = mkdtempSync(join(tmpdir(), 'membrane-models-'))
afterAll(() => {
  rmSync(folder, { recursive: true })
})

function membrane(...args: readonly string[]): {
  readonly status: number | null
  readonly out: string
  readonly err: string
} {
  const main = join(import.meta.dirname, 'main.ts')
  const { status, stdout, stderr } = spawnSync(process.execPath, [main, ...args], { encoding: 'utf8' })
  return { status, out: stdout, err: stderr }
}

describe('membrane models', () => {
  const tiny = randomLlama(TINY_LLAMA)
  const good = join(folder, 'good.gguf')
  const foreign = join(folder, 'foreign.gguf')
  writeFileSync(good, ggufBytes(tiny))
  const architecture = { type: 'text', value: 'x\u001b[2J' } as const
  writeFileSync(foreign, ggufBytes({ ...tiny, metadata: { ...tiny.metadata, 'general.architecture': architecture } }))

  test('prints what comes along and what is given, and why one is not run', () => {
    const { status, out } = membrane('models', '--model', good, '--model', foreign)
    expect(status).toBe(0)
    const rows = out.split('\n').map((line) => line.split(/ {2,}/))
    expect(rows[0]).toEqual(expect.arrayContaining(['model', 'parameters', 'KV a token', 'cpu engine']))
    expect(rows.find(([name]) => name === 'debian-desc-5M-q8_0')).toEqual(
      expect.arrayContaining(['5,475,584', '6.14 kB', '2,048', 'gpt2 gpt-2', 'Q8_0 F32', '5.96 MB', 'yes']),
    )
    expect(rows.find(([name]) => name === 'good')).toContain('yes')
    expect(rows.find(([name]) => name === 'foreign')).toContain('no')
    expect(out).toContain('foreign: The engine computes models of the architecture llama')
    expect(out).not.toContain('\u001b[2J')
  })

  test('prints the same as JSON', () => {
    const models = JSON.parse(membrane('models', '--json', '--model', folder).out)
    expect(models.map(({ kind, architecture: name }: Record<string, unknown>) => [kind, name])).toEqual([
      ['model', 'llama'],
      ['model', 'x\u001b[2J'],
      ['model', 'llama'],
    ])
    expect(models[2]).toMatchObject({ path: good, layers: 2, kvBytesPerToken: 2 * 2 * 16 * 4, refusal: null })
  })

  test('fails for a file that is not there', () => {
    const { status, err } = membrane('models', '--model', join(folder, 'none.gguf'))
    expect({ status, err }).toEqual({ status: 1, err: expect.stringContaining('cannot be read') })
  })
})
