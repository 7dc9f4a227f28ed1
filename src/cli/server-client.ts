/** The commands that work on a server reach it through this: where it is, and the credential, never on the command line. */
import { readFile } from 'node:fs/promises'
import type { Command } from 'commander'
import type { MembraneClient } from '../api/client.ts'
import type { ClientLimits } from '../api/client-options.ts'
import { MembraneError } from '../core/errors.ts'
import { LIMITS } from '../core/limits.ts'
import { openClient, type OpenClientOptions } from '../server/client-library.ts'
import { printWarnings } from './print.ts'

export interface ServerFlags {
  readonly url?: string
  readonly tokenFile?: string
  readonly ca?: string
}

/** Where a token comes from when no file is given. */
const TOKEN_VARIABLE = 'MEMBRANE_TOKEN'

export function addServerFlags(command: Command): Command {
  return addTokenFlags(command.option('--url <url>', 'a server instead, such as http://127.0.0.1:8080'))
}

/** For commands that name the server by another flag. */
export function addTokenFlags(command: Command): Command {
  return command
    .option('--token-file <file>', `file with the credential for the server (default: ${TOKEN_VARIABLE})`)
    .option('--ca <file>', "PEM of the authority that signed the server's certificate")
}

/** Somebody waits for the command: it gives up sooner than a program would. */
const COMMAND_LIMITS: Partial<ClientLimits> = { retriesMax: 4 }

/** Opens a client, and closes it whatever happens. Throws INVALID_CONFIG and FILE_UNREADABLE. */
export async function withServer<T>(
  flags: ServerFlags & { readonly url: string },
  use: (client: MembraneClient) => Promise<T>,
): Promise<T> {
  const client = await openClient(await peerOptionsOf(flags))
  try {
    return await use(client)
  } finally {
    await client.close()
  }
}

/** Where the server is, and who asks; warns of a credential in the open. Throws INVALID_CONFIG and FILE_UNREADABLE. */
export async function peerOptionsOf(flags: ServerFlags & { readonly url: string }): Promise<OpenClientOptions> {
  const token = await tokenOf(flags)
  const ca = flags.ca === undefined ? null : await readText(flags.ca, '--ca')
  if (token !== null && isInTheOpen(flags.url))
    printWarnings(['The credential goes over the network for all to read: use https.'])
  return {
    ...COMMAND_LIMITS,
    url: flags.url,
    ...(token === null ? {} : { token }),
    ...(ca === null ? {} : { tls: { ca } }),
  }
}

/** Null when there is none. Throws FILE_UNREADABLE and INVALID_CONFIG. */
export async function tokenOf({ tokenFile }: Pick<ServerFlags, 'tokenFile'>): Promise<string | null> {
  const [text, where] =
    tokenFile === undefined
      ? [process.env[TOKEN_VARIABLE], TOKEN_VARIABLE]
      : [await readText(tokenFile, '--token-file'), tokenFile]
  const token = text?.trim() ?? ''
  if (token === '' && tokenFile === undefined) return null
  if (token !== '' && token.length <= LIMITS.apiKeyCharactersMax) return token
  throw new MembraneError(
    'INVALID_CONFIG',
    `${where} should hold a token of 1 to ${LIMITS.apiKeyCharactersMax} characters; it has ${token.length}.`,
  )
}

async function readText(path: string, flag: string): Promise<string> {
  return readFile(path, 'utf8').catch((cause: unknown) => {
    const reason = cause instanceof Error && 'code' in cause ? String(cause.code) : String(cause)
    throw new MembraneError('FILE_UNREADABLE', `${path} cannot be read (${reason}).`, {
      remedy: `Check what ${flag} names.`,
      details: { flag, path },
      cause,
    })
  })
}

/** Whether what is sent there can be read on its way. */
function isInTheOpen(url: string): boolean {
  const parsed = URL.parse(url)
  return parsed?.protocol === 'http:' && !/^(localhost|127\.[\d.]+|\[::1\])$/.test(parsed.hostname)
}
