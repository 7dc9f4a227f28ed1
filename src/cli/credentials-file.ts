/** The credentials file on disk: read by the server, changed by `membrane token`, whole or not at all. */
import type { Stats } from 'node:fs'
import { type FileHandle, open, rename, rm, stat } from 'node:fs/promises'
import { type CredentialEntry, type CredentialsDocument, parseCredentials } from '../api/credentials-schema.ts'
import { MembraneError } from '../core/errors.ts'
import { checkCredentials, newTenantSaltSecret } from '../server/credentials.ts'
import { readText } from './config-file.ts'
import { readPrivateDocument } from './server-config-file.ts'

const WHAT = 'credentials'
const FOR_THIS_USER = 0o600
const OTHERS_MAY_WRITE = 0o022
const OTHERS_MAY_READ = 0o044

/** What the file says, and a warning when others can read it. Null when there is no file. */
export interface ReadCredentials {
  readonly document: CredentialsDocument
  readonly notes: readonly string[]
}

/** Throws INVALID_CONFIG, also for a file that others may write: they could let themselves in. */
export async function readCredentialsFile(path: string): Promise<ReadCredentials> {
  const { value } = await readPrivateDocument(path, WHAT)
  const document = parseCredentials(value, path)
  checkCredentials(document)
  const { mode } = await stat(path)
  if ((mode & OTHERS_MAY_WRITE) !== 0)
    throw new MembraneError('INVALID_CONFIG', `${path}: others may write it, and let themselves in.`, {
      remedy: `chmod 600 ${path}`,
      details: { path },
    })
  const notes =
    (mode & OTHERS_MAY_READ) !== 0 ? [`${path} holds a secret, and others can read it: chmod 600 ${path}`] : []
  return { document, notes }
}

/** A change to the list: what is added at its end, and the names that leave it. */
export interface CredentialsEdit {
  readonly add: readonly CredentialEntry[]
  readonly remove: readonly string[]
}

/**
 * Makes the file, for this user alone, if it is not there. Comments in it stay. Two changes at a time exclude each other.
 * Throws what reading throws, and FILE_UNREADABLE.
 */
export async function editCredentialsFile(path: string, edit: CredentialsEdit): Promise<ReadCredentials> {
  const partial = `${path}.new`
  const file = await openNew(partial, path)
  try {
    const found = await stat(path).catch(() => null)
    const isThere = found !== null
    const before = isThere ? await readCredentialsFile(path) : { document: emptyDocument(), notes: [] }
    const document = {
      ...before.document,
      credentials: [...before.document.credentials.filter(({ name }) => !edit.remove.includes(name)), ...edit.add],
    }
    // Not a file that the server would refuse.
    checkCredentials(parseCredentials(document, path))
    const text = isThere ? await editedText(path, document, edit) : await newText(path, document)
    await file.writeFile(text)
    if (found !== null) await keepOwner(file, found)
    await file.sync()
    await file.close()
    await rename(partial, path)
    return { document, notes: before.notes }
  } catch (error) {
    await file.close().catch(() => {})
    await rm(partial, { force: true })
    throw error
  }
}

/** The server may run as another user, who must be able to read what is written here. */
async function keepOwner(file: FileHandle, { mode, uid, gid }: Stats): Promise<void> {
  await file.chmod(mode & 0o777)
  // Only root gives files away; for everybody else the file is their own already.
  await file.chown(uid, gid).catch(() => {})
}

function emptyDocument(): CredentialsDocument {
  return { tenantSaltSecret: newTenantSaltSecret(), credentials: [] }
}

async function openNew(partial: string, path: string): Promise<FileHandle> {
  try {
    return await open(partial, 'wx', FOR_THIS_USER)
  } catch (cause) {
    const code = cause instanceof Error && 'code' in cause ? String(cause.code) : ''
    throw new MembraneError(
      'FILE_UNREADABLE',
      code === 'EEXIST' ? `${partial} is there: another change is under way.` : `${path} cannot be written (${code}).`,
      {
        remedy: code === 'EEXIST' ? 'If none is, remove that file.' : 'Choose another place with --file.',
        details: { path },
        cause,
      },
    )
  }
}

async function newText(path: string, document: CredentialsDocument): Promise<string> {
  if (path.endsWith('.json')) return jsonText(document)
  const { stringify } = await import('./yaml.ts')
  return `# Who may use this server: made by \`membrane token new\`. Tokens are here by their hashes only.\n${stringify(document)}`
}

async function editedText(
  path: string,
  document: CredentialsDocument,
  { add, remove }: CredentialsEdit,
): Promise<string> {
  if (path.endsWith('.json')) return jsonText(document)
  const { isMap, isSeq, parseDocument } = await import('./yaml.ts')
  const yaml = parseDocument(await readText(path, WHAT))
  const list = yaml.get('credentials')
  if (!isSeq(list)) throw new MembraneError('INVALID_CONFIG', `${path}: credentials: expected a list.`)
  list.items = list.items.filter((item) => !(isMap(item) && remove.includes(String(item.get('name')))))
  // An empty list is written as [], and would stay on one line.
  list.flow = false
  for (const entry of add) yaml.addIn(['credentials'], entry)
  return yaml.toString()
}

function jsonText(document: CredentialsDocument): string {
  return `${JSON.stringify(document, null, 2)}\n`
}
