/** The file that says who may do what: written by `membrane token new`, read by the server. */
import { z } from 'zod'
import { LIMITS } from '../core/limits.ts'
import { parseWith } from './schema-error.ts'
import { text } from './server-fields.ts'

/** What a credential may be. What each may do: ROLES in server/caller.ts. */
export const ROLE_NAMES = ['reader', 'writer', 'monitor', 'admin'] as const

/** Without the name, which may be a piece of a secret that broke off its line. */
const strict: { readonly error: z.core.$ZodErrorMap } = {
  error: ({ code }) => (code === 'unrecognized_keys' ? 'a key that is not known' : undefined),
}
const tenant = text(
  'a tenant: 1 to 64 letters, digits, dots, underscores and dashes',
  /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/,
)
const role = z.enum(ROLE_NAMES, { error: `one of ${ROLE_NAMES.join(', ')}` })

const credential = z
  .strictObject(
    {
      name: text(
        'a name: 1 to 64 letters, digits, dots, underscores and dashes',
        /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/,
      ).describe('For logs and for `membrane token rm`; each name once.'),
      tenant: tenant.describe('Whose fragments it reaches.'),
      role: role.describe('reader, writer (reads too), monitor (numbers of all tenants, no content), or admin.'),
      tokenHash: text('sha256: and 64 hexadecimal digits', /^sha256:[0-9a-f]{64}$/)
        .optional()
        .describe('SHA-256 of the token; the token itself is nowhere.'),
      certificateFingerprint: text(
        '64 hexadecimal digits, with colons or without',
        /^(?:[0-9A-Fa-f]{2}:?){31}[0-9A-Fa-f]{2}$/,
      )
        .optional()
        .describe('SHA-256 fingerprint of a client certificate.'),
      certificateCommonName: text('a common name of 1 to 64 printable characters', /^[\x20-\x7e]{1,64}$/)
        .optional()
        .describe('Common name of client certificates; the authority answers for it.'),
    },
    strict,
  )
  .describe('One credential; it is known by a token, or by a certificate.')

export const credentialsSchema = z
  .strictObject(
    {
      tenantSaltSecret: text('64 hexadecimal digits', /^[0-9a-f]{64}$/).describe(
        'Makes the salt of each tenant, and with it the names of its blocks: another one makes everything stored unfound.',
      ),
      anonymous: z
        .strictObject({ tenant, role }, strict)
        .optional()
        .describe('Who sends no credential, which only local connections may; nobody unless given.'),
      credentials: z.array(credential).max(LIMITS.credentialsMax, { error: `at most ${LIMITS.credentialsMax}` }),
    },
    strict,
  )
  .describe('Credentials of a Membrane server.')

/** Credentials as their file has them, checked one by one, but not against each other. */
export type CredentialsDocument = z.output<typeof credentialsSchema>
/** One of them. */
export type CredentialEntry = CredentialsDocument['credentials'][number]

/** Throws INVALID_CONFIG with the place in the document, and nothing of what stands there. */
export function parseCredentials(value: unknown, where: string): CredentialsDocument {
  return parseWith(credentialsSchema, value ?? {}, where, 'INVALID_CONFIG', 'credentials')
}
