import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { jsonSchema, SCHEMA_NAMES } from '../src/api/json-schemas.ts'

test.for(SCHEMA_NAMES)(
  'schemas/%s.schema.json is what the code checks (npm run update-golden writes it anew)',
  (name) => {
    const published: unknown = JSON.parse(
      readFileSync(new URL(`../schemas/${name}.schema.json`, import.meta.url), 'utf8'),
    )
    expect(published).toEqual(JSON.parse(JSON.stringify(jsonSchema(name))))
  },
)
