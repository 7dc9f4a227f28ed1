import { accessSync, constants, mkdtempSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { chromium, type Page } from 'playwright-core'

const NAMES = ['chromium', 'chromium-browser', 'google-chrome']

/** No update, sync or probe traffic, and nothing that a container or a machine without a screen lacks. */
const ARGUMENTS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
]

/** The browser that tests look through: $CHROMIUM_PATH, else one on PATH; `null` if there is none. */
export function chromiumPath(): string | null {
  const named = process.env['CHROMIUM_PATH']
  if (named !== undefined && named !== '') return named
  const folders = (process.env['PATH'] ?? '').split(delimiter)
  const paths = NAMES.flatMap((name) => folders.map((folder) => join(folder, name)))
  return paths.find(isExecutable) ?? null
}

/** Opens an empty page in a browser with a fresh profile, and closes both when `use` is done. */
export async function withPage<T>(use: (page: Page) => Promise<T>): Promise<T> {
  const executablePath = chromiumPath()
  if (executablePath === null) throw new Error(`No browser: none of ${NAMES.join(', ')} is on PATH.`)
  const profileFolder = mkdtempSync(join(tmpdir(), 'membrane-chromium-'))
  try {
    const browser = await chromium.launchPersistentContext(profileFolder, {
      executablePath,
      headless: true,
      args: ARGUMENTS,
    })
    try {
      return await use(browser.pages()[0] ?? (await browser.newPage()))
    } finally {
      await browser.close()
    }
  } finally {
    await rm(profileFolder, { recursive: true, force: true, maxRetries: 3 })
  }
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}
