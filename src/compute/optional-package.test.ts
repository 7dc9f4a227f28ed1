import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { importOptional } from './optional-package.ts'

describe('an optional package', () => {
  const folder = mkdtempSync(join(tmpdir(), 'membrane-optional-'))
  afterAll(() => rmSync(folder, { recursive: true }))

  function install(project: string, source: string): string {
    const path = join(folder, project, 'node_modules', 'node-llama-cpp')
    mkdirSync(path, { recursive: true })
    writeFileSync(join(path, 'package.json'), JSON.stringify({ type: 'module', exports: './index.js' }))
    writeFileSync(join(path, 'index.js'), source)
    return join(folder, project)
  }

  test('is loaded from the first folder that has it, even if it waits while it loads', async () => {
    const folders = ['nothing', 'first', 'second'].map((name) =>
      name === 'nothing' ? join(folder, name) : install(name, `export const from = await Promise.resolve('${name}')`),
    )
    expect(await importOptional('node-llama-cpp', folders)).toMatchObject({ from: 'first' })
  })

  test('that is not installed is an error which says how to install it', async () => {
    await expect(importOptional('node-llama-cpp', [folder])).rejects.toMatchObject({
      code: 'MISSING_PACKAGE',
      message: 'The package node-llama-cpp is not installed.',
      remedy: expect.stringContaining('npm install --prefix .optional'),
    })
  })

  test('that does not load is an error which says why', async () => {
    const broken = install('broken', 'throw new Error("no binary for this machine")')
    await expect(importOptional('node-llama-cpp', [broken])).rejects.toMatchObject({
      code: 'MISSING_PACKAGE',
      message: 'The package node-llama-cpp does not load: no binary for this machine',
    })
  })
})
