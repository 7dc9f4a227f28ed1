import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { API_SNAPSHOT_PATH, apiSnapshot } from '../scripts/api-snapshot.ts'

test('the public declarations are those in test/golden/api.d.ts.txt', () => {
  expect(
    apiSnapshot(),
    'The public API has changed. If that is meant, run `npm run update-golden`, read the difference and commit it.',
  ).toBe(readFileSync(API_SNAPSHOT_PATH, 'utf8'))
})

test.each(['index.d.ts', 'server/library.d.ts', 'server/client-library.d.ts'])(
  'every public name of %s is documented where it is declared',
  (entry) => {
    const entryUrl = new URL(`../dist/${entry}`, import.meta.url)
    const index = readFileSync(entryUrl, 'utf8').replaceAll(/\/\*\*[\s\S]*?\*\//g, '')
    const exported = [...index.matchAll(/export (?:type )?\{([^}]*)\} from ['"](\..*?)\.[jt]s['"]/g)].flatMap(
      ([, names = '', file = '']) =>
        names
          .split(',')
          .flatMap((name) => (name.trim() === '' ? [] : [{ name: name.trim().replace(/^type /, ''), file }])),
    )
    expect(exported.length).toBeGreaterThan(30)
    const undocumented = exported.filter(({ name, file }) => {
      const text = readFileSync(new URL(`${file}.d.ts`, entryUrl), 'utf8')
      return !new RegExp(`\\*/\\nexport (?:declare )?(?:function|const|interface|type|class) ${name}\\b`).test(text)
    })
    expect(undocumented).toEqual([])
  },
)
