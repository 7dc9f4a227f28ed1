import { z } from 'zod'
import { configSchema } from './config-schema.ts'
import { credentialsSchema } from './credentials-schema.ts'
import { profileSchema } from './profile-schema.ts'
import { serverConfigSchema } from './server-schema.ts'
import { simulationSchema } from './simulation-schema.ts'
import { traceLineSchema } from './trace-schema.ts'

/** What users write, as JSON Schema (2020-12): published in schemas/ and printed by `membrane config --schema`. */
const PUBLISHED = {
  config: configSchema,
  credentials: credentialsSchema,
  profile: profileSchema,
  server: serverConfigSchema,
  simulation: simulationSchema,
  'trace-line': traceLineSchema,
} as const

/** Name of a published schema. */
export type SchemaName = keyof typeof PUBLISHED
/** The published schemas, by name. */
export const SCHEMA_NAMES: readonly SchemaName[] = [
  'config',
  'credentials',
  'profile',
  'server',
  'simulation',
  'trace-line',
]

/** One of the published schemas (JSON Schema 2020-12). */
export function jsonSchema(name: SchemaName): object {
  return { $id: `membrane/${name}.schema.json`, ...z.toJSONSchema(PUBLISHED[name], { io: 'input' }) }
}
