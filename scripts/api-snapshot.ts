/**
 * The package's public surface as one text: every declaration file that its entries reach, with its comments.
 */
import { readFileSync } from 'node:fs'
import { posix } from 'node:path'
import { fileURLToPath } from 'node:url'

const DIST = fileURLToPath(new URL('../dist/', import.meta.url))

export const API_SNAPSHOT_PATH = fileURLToPath(new URL('../test/golden/api.d.ts.txt', import.meta.url))

/** Needs a build. */
export function apiSnapshot(): string {
  const texts = new Map<string, string>()
  const queue = ['index.d.ts', 'server/library.d.ts', 'server/client-library.d.ts']
  for (let path = queue.pop(); path !== undefined; path = queue.pop()) {
    if (texts.has(path)) continue
    const text = readFileSync(DIST + path, 'utf8')
    texts.set(path, text)
    for (const [, specifier = ''] of text.matchAll(/(?:\bfrom |\bimport\()["'](\.[^"']+)\.[jt]s["']/g)) {
      queue.push(posix.join(posix.dirname(path), `${specifier}.d.ts`))
    }
  }
  const inOrder = [...texts.keys()].toSorted()
  return inOrder.map((path) => `// ${path}\n${texts.get(path)?.trim()}\n`).join('\n')
}
