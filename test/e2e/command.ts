import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, expect } from 'vitest'

export const ROOT = fileURLToPath(new URL('../../', import.meta.url))
/** The built command. */
export const PROGRAM = join(ROOT, 'dist/cli/main.js')

export interface Run {
  readonly code: number | null
  readonly out: string
  readonly err: string
}

/** The built command as a user runs it, in a folder of its own. */
export interface Command {
  readonly folder: string
  /** Writes a file into the folder and gives its path. */
  readonly write: (name: string, content: string | Buffer) => string
  readonly membrane: (...words: readonly string[]) => Run
  /** What it prints with --json; it must succeed and complain of nothing. */
  readonly jsonText: (...words: readonly string[]) => string
  readonly json: (...words: readonly string[]) => ReturnType<typeof JSON.parse>
}

/** The folder is removed after the tests of the file. */
export function openCommand(name: string): Command {
  const folder = mkdtempSync(join(tmpdir(), `membrane-${name}-`))
  afterAll(() => rmSync(folder, { recursive: true, force: true }))
  const membrane = (...words: readonly string[]): Run => {
    const result = spawnSync(process.execPath, [PROGRAM, ...words], { encoding: 'utf8', cwd: folder })
    return { code: result.status, out: result.stdout, err: result.stderr }
  }
  const jsonText = (...words: readonly string[]): string => {
    const { code, out, err } = membrane(...words, '--json')
    expect({ code, err: code === 0 ? '' : err }).toEqual({ code: 0, err: '' })
    return out
  }
  return {
    folder,
    write: (file, content) => {
      const path = join(folder, file)
      writeFileSync(path, content)
      return path
    },
    membrane,
    jsonText,
    json: (...words) => JSON.parse(jsonText(...words)),
  }
}
