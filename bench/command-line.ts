/** The built command line, for benches of whole processes. */
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

export const ROOT = fileURLToPath(new URL('..', import.meta.url))
export const MAIN = `${ROOT}dist/cli/main.js`

export function buildCommandLine(): void {
  const { status, stderr, stdout } = spawnSync(process.execPath, ['scripts/build.ts', '--if-stale'], {
    cwd: ROOT,
    encoding: 'utf8',
  })
  if (status === 0 && existsSync(MAIN)) return
  throw new Error(`The command line could not be built.\n${stdout}${stderr}`)
}
