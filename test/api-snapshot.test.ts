import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { API_SNAPSHOT_PATH, apiSnapshot } from '../scripts/api-snapshot.ts'

test('the public declarations are those in test/golden/api.d.ts.txt', () => {
  expect(
    apiSnapshot(),
    'The public API has changed. If that is meant, run `npm run update-golden`, read the difference and commit it.',
  ).toBe(readFileSync(API_SNAPSHOT_PATH, 'utf8'))
})
