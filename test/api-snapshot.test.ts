import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { API_SNAPSHOT_PATH, apiSnapshot } from '../scripts/api-snapshot.ts'

test('the public declarations are those in test/golden/api.d.ts.txt', () => {
  expect(
    apiSnapshot(),
    'The public API has changed. If that is meant, run `npm run update-golden`, read the difference and commit it.',
  ).toBe(readFileSync(API_SNAPSHOT_PATH, 'utf8'))
})

test('every public name is documented where it is declared', () => {
  const declarations = new URL('../dist/', import.meta.url)
  const index = readFileSync(new URL('index.d.ts', declarations), 'utf8').replaceAll(/\/\*\*[\s\S]*?\*\//g, '')
  const exported = [...index.matchAll(/export (?:type )?\{([^}]*)\} from ['"]\.\/(.*?)\.[jt]s['"]/g)].flatMap(
    ([, names = '', file = '']) =>
      names
        .split(',')
        .flatMap((name) => (name.trim() === '' ? [] : [{ name: name.trim().replace(/^type /, ''), file }])),
  )
  expect(exported.length).toBeGreaterThan(50)
  const undocumented = exported.filter(({ name, file }) => {
    const text = readFileSync(new URL(`${file}.d.ts`, declarations), 'utf8')
    return !new RegExp(`\\*/\\nexport (?:declare )?(?:function|const|interface|type|class) ${name}\\b`).test(text)
  })
  expect(undocumented).toEqual([])
})
