import { type Command, Option } from 'commander'
import { type CredentialEntry, ROLE_NAMES } from '../api/credentials-schema.ts'
import { variablesOf } from '../api/server-names.ts'
import { MembraneError } from '../core/errors.ts'
import { newToken } from '../server/credentials.ts'
import { type CredentialsEdit, editCredentialsFile, readCredentialsFile } from './credentials-file.ts'
import { printJson, printNotes, printText, printWarnings, table } from './print.ts'
import { type GlobalFlags, onRun } from './run-command.ts'

interface FileFlags extends GlobalFlags {
  readonly file?: string
}

interface NewFlags extends FileFlags {
  readonly name: string
  readonly tenant: string
  readonly role: CredentialEntry['role']
  readonly certificateFingerprint?: string
  readonly certificateName?: string
}

const DEFAULT_FILE = 'credentials.yaml'

/** `membrane token` makes, lists and removes the credentials of a server. */
export function defineToken(command: Command): void {
  command.description('credentials of a server: make, list and remove them')
  defineNew(command.command('new'))
  defineLs(command.command('ls'))
  defineRm(command.command('rm'))
}

function addFileFlag(command: Command): Command {
  return command.option('--file <file>', `credentials file (default: MEMBRANE_CREDENTIALS, otherwise ${DEFAULT_FILE})`)
}

function fileOf({ file }: FileFlags): string {
  const given = variablesOf('credentialsFile').map((name) => process.env[name])
  // A variable that is empty says nothing.
  return file ?? given.find((path) => path !== undefined && path !== '') ?? DEFAULT_FILE
}

function defineNew(command: Command): void {
  addFileFlag(
    command
      .description('add a credential and print its token, which is shown this once')
      .requiredOption('--name <name>', 'for logs, and to remove it again')
      .option('--tenant <tenant>', 'whose fragments it reaches', 'default')
      .addOption(
        new Option('--role <role>', 'writer reads too; monitor sees numbers only')
          .choices(ROLE_NAMES)
          .default('writer'),
      )
      .option('--certificate-fingerprint <hex>', 'SHA-256 of a client certificate, instead of a token')
      .option('--certificate-name <name>', 'common name of client certificates, instead of a token'),
  )
  onRun<NewFlags>(command, async (flags) => {
    const path = fileOf(flags)
    const { name, tenant, role, certificateFingerprint, certificateName } = flags
    const isToken = certificateFingerprint === undefined && certificateName === undefined
    const made = isToken ? newToken() : null
    const entry = {
      name,
      tenant,
      role,
      ...(made === null ? {} : { tokenHash: made.tokenHash }),
      ...(certificateFingerprint === undefined ? {} : { certificateFingerprint }),
      ...(certificateName === undefined ? {} : { certificateCommonName: certificateName }),
    }
    await edit(path, { add: [entry], remove: [] })
    if (flags.json === true) {
      printJson({ file: path, name, tenant, role, token: made?.token ?? null })
      return
    }
    // Alone on standard output, so that it can go into a variable or a file.
    if (made !== null) printText(made.token)
    printNotes([
      made === null ? `${name} is added to ${path}.` : `${name} is added to ${path}. The token is shown this once.`,
      'A server that is running takes it up on SIGHUP.',
    ])
  })
}

function defineLs(command: Command): void {
  addFileFlag(command.description('list credentials, without anything secret'))
  onRun<FileFlags>(command, async (flags) => {
    const { document, notes } = await readCredentialsFile(fileOf(flags))
    printWarnings(notes)
    const rows = document.credentials.map((entry) => ({ ...describe(entry) }))
    if (flags.json === true) printJson({ credentials: rows, anonymous: document.anonymous ?? null })
    else {
      printText(
        table(
          ['name', 'tenant', 'role', 'known by'],
          rows.map(({ name, tenant, role, knownBy }) => [name, tenant, role, knownBy]),
        ),
      )
      if (document.anonymous !== undefined)
        printText(`Who sends none: ${document.anonymous.role} of ${document.anonymous.tenant}, on local connections.`)
    }
  })
}

function describe({ name, tenant, role, tokenHash, certificateFingerprint, certificateCommonName }: CredentialEntry) {
  const knownBy = [
    ...(tokenHash === undefined ? [] : ['token']),
    ...(certificateFingerprint === undefined ? [] : ['certificate fingerprint']),
    ...(certificateCommonName === undefined ? [] : [`certificate of ${certificateCommonName}`]),
  ].join(', ')
  return { name, tenant, role, knownBy }
}

function defineRm(command: Command): void {
  addFileFlag(command.description('remove credentials by name').argument('<name...>', 'names'))
  onRun<FileFlags>(command, async (flags, names) => {
    const path = fileOf(flags)
    const { document } = await readCredentialsFile(path)
    const missing = names.find((name) => document.credentials.every((entry) => entry.name !== name))
    if (missing !== undefined)
      throw new MembraneError('NOT_FOUND', `${path} has no credential ${missing}.`, {
        remedy: '`membrane token ls` lists them.',
      })
    await edit(path, { add: [], remove: names })
    if (flags.json === true) printJson({ file: path, removed: names })
    else printNotes([`Removed from ${path}: ${names.join(', ')}.`, 'A server that is running lets go of it on SIGHUP.'])
  })
}

async function edit(path: string, change: CredentialsEdit): Promise<void> {
  const { notes } = await editCredentialsFile(path, change)
  printWarnings(notes)
}
