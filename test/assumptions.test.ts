import { readdirSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { ASSUMPTION_IDS, assumption } from '../src/planner/assumptions.ts'

const SOURCES = fileURLToPath(new URL('../src/', import.meta.url))

/** Ids after `ASSUMPTION:` in the sources: where a number that is not in the paper stands. */
function taggedIds(): Set<string> {
  const files = readdirSync(SOURCES, { recursive: true, encoding: 'utf8' }).filter(
    (name) => name.endsWith('.ts') && !name.endsWith('.test.ts'),
  )
  const tags = files.flatMap((name) => [
    ...readFileSync(SOURCES + name, 'utf8').matchAll(/ASSUMPTION: ([a-z0-9, -]+)/g),
  ])
  return new Set(tags.flatMap(([, ids = '']) => ids.split(',').map((id) => id.trim().split(' ')[0] ?? '')))
}

test('every tag names an entry of the registry', () => {
  expect([...taggedIds()].filter((id) => !ASSUMPTION_IDS.some((known) => known === id))).toEqual([])
})

test('every entry is tagged where it is used', () => {
  const tagged = taggedIds()
  expect(ASSUMPTION_IDS.filter((id) => !tagged.has(id))).toEqual([])
})

test('every entry says what and why in sentences', () => {
  for (const id of ASSUMPTION_IDS) {
    const { statement, reason } = assumption(id)
    expect(statement, id).toMatch(/^[A-Z].*\.$/)
    expect(reason, id).toMatch(/^[+A-Z0-9].*\.$/)
  }
})
