import { spawnSync } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import type { PhaseResult } from '../../src/cli/demo-full-phase.ts'
import { openCommand, PROGRAM } from './command.ts'

const { folder } = openCommand('demo-cluster')

describe('demo cluster', () => {
  test('passes every phase, each with checks, and leaves no process and no file behind', { timeout: 240_000 }, () => {
    const { stdout, stderr } = spawnSync(process.execPath, [PROGRAM, 'demo', 'cluster', '--json'], {
      encoding: 'utf8',
      env: { ...process.env, TMPDIR: folder },
    })
    expect(stderr).toBe('')
    const { phases } = JSON.parse(stdout) as { phases: PhaseResult[] }
    expect(phases.map(({ name }) => name)).toEqual(['join', 'elsewhere', 'remote', 'kill'])
    const broken = phases.flatMap(({ checks }) => checks).filter(({ holds }) => !holds)
    expect(broken).toEqual([])
    for (const { name, checks } of phases) expect(checks.length, name).toBeGreaterThanOrEqual(2)
    expect(readdirSync(folder)).toEqual([])
    const left = spawnSync('pgrep', ['-f', `serve --node-id=near .*${folder}`], { encoding: 'utf8' })
    expect(left.stdout).toBe('')
  })
})
