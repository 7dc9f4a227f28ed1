import { createReadStream } from 'node:fs'
import { readFile, stat } from 'node:fs/promises'
import { basename } from 'node:path'
import { type Command, Option } from 'commander'
import { MembraneError } from '../core/errors.ts'
import { byteDescription } from '../core/fragment-bytes.ts'
import { decodeDescription } from '../core/fragment-codec.ts'
import type { FragmentDescription } from '../core/fragment.ts'
import type { ContentHash } from '../core/ids.ts'
import { LIMITS } from '../core/limits.ts'
import type { ContentHasher } from '../core/ports.ts'
import { loadContentHashers } from '../hashing/content-hashers.ts'
import { PRIORITIES, type PriorityName } from '../server/fragment-head.ts'
import { addBoundFlags, argumentOfKey } from './data-dir.ts'
import type { FragmentsPut } from './fragments.ts'
import { addPlaceFlags, type PlaceFlags, withNewPlace } from './place.ts'
import { printJson, printText } from './print.ts'
import { counted, showBytes } from './progress.ts'
import { refuseGiven } from './refused-flags.ts'
import { onRun } from './run-command.ts'
import { bytesText, millisecondsOf } from './units.ts'

interface PutFlags extends PlaceFlags {
  readonly key?: string
  readonly mediaType?: string
  readonly description?: string
  readonly text?: string
  readonly ttl?: number
  readonly pin?: boolean
  readonly priority?: PriorityName
}

/** Larger files are hashed first and then read again, so that they need not fit into memory. */
const IN_MEMORY_BYTES_MAX = 64 * 1024 * 1024

export function definePut(command: Command): void {
  addPlaceFlags(
    command
      .description('store a file: under a name of your own, by its content hash, or as the fragment that it is')
      .argument('<file>', 'what to store; - for standard input')
      .optionsGroup('What it is:')
      .option('--key <name>', 'name to find it by (default: its content hash)')
      .option('--media-type <type>', 'of a file without --key (default application/octet-stream)')
      .option('--description <file>', 'JSON description of a KV fragment, as `ls --json` prints it')
      .option('--text <text>', 'what it says, for search by meaning')
      .optionsGroup('How long:')
      .option('--ttl <duration>', 'gone after this time, such as 15min or 7d', millisecondsOf)
      .option('--pin', 'never evict it')
      .addOption(new Option('--priority <level>', 'lower leaves first').choices(Object.keys(PRIORITIES))),
  )
  addBoundFlags(command)
  onRun<PutFlags>(command, async (flags, [path]) => {
    if (path === undefined) throw new MembraneError('INVALID_REQUEST', 'A file is needed, or - for standard input.')
    if (flags.description !== undefined)
      refuseGiven(flags, ['key', 'mediaType', 'text'], 'does not go with --description, which says it all')
    if (flags.key !== undefined)
      refuseGiven(flags, ['mediaType'], 'does not go with --key: bytes under a name of yours have no type')
    const description = await descriptionOf(flags)
    const { hashers } = await loadContentHashers()
    const content = await readContent(path, hashers.b3)
    const result = await withNewPlace(flags, ({ own }) =>
      own.put({
        description,
        ...content,
        ...(flags.key === undefined ? {} : { foreignKey: new TextEncoder().encode(flags.key) }),
        ...(flags.ttl === undefined ? {} : { expiresAtMs: Date.now() + flags.ttl }),
        hints: {
          isPinned: flags.pin === true,
          ...(flags.priority === undefined ? {} : { priority: PRIORITIES[flags.priority] }),
        },
      }),
    )
    if (result.outcome === 'refused')
      throw new MembraneError(
        'STORE_FULL',
        `${basename(path)} was not stored: what would have to leave is worth more.`,
        { remedy: 'Give --pin or a higher --priority, or raise --max-bytes.' },
      )
    const { key, contentHash, outcome } = result
    if (flags.json === true) printJson({ key, contentHash, payloadBytes: content.payloadBytes, outcome })
    else printText(`${argumentOfKey(key)}  ${contentHash}  ${bytesText(content.payloadBytes)}  ${outcome}`)
  })
}

async function descriptionOf({ description, key, mediaType, text }: PutFlags): Promise<FragmentDescription> {
  if (description !== undefined) return readDescription(description)
  const kind = key === undefined ? 'artifact' : 'opaque'
  return byteDescription(kind, mediaType, { text: text ?? null })
}

async function readDescription(path: string): Promise<FragmentDescription> {
  const text = await readFile(path, 'utf8').catch((error: unknown) => {
    throw unreadable(path, error)
  })
  try {
    // Written as people write JSON, and read as strictly as a head.
    const compact = JSON.stringify(JSON.parse(text) as unknown)
    return decodeDescription(new TextEncoder().encode(compact))
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    throw new MembraneError('INVALID_FRAGMENT', `${path} is no description of a fragment: ${reason}`, { cause: error })
  }
}

interface Content {
  readonly payload: FragmentsPut['payload']
  readonly again?: () => AsyncIterable<Uint8Array>
  readonly payloadBytes: number
  readonly contentHash: ContentHash
}

async function readContent(path: string, hasher: ContentHasher): Promise<Content> {
  try {
    const fileBytes = path === '-' ? 0 : (await stat(path)).size
    if (fileBytes > LIMITS.payloadBytesMax)
      throw new MembraneError(
        'LIMIT_REACHED',
        `${path} has ${fileBytes} bytes, expected at most ${LIMITS.payloadBytesMax}.`,
      )
    if (fileBytes > IN_MEMORY_BYTES_MAX) return await readTwice(path, hasher)
    const payload = path === '-' ? await readStandardInput() : await readFile(path)
    return { payload, payloadBytes: payload.length, contentHash: hasher.hash(payload) }
  } catch (error) {
    if (error instanceof MembraneError) throw error
    throw unreadable(path, error)
  }
}

async function readTwice(path: string, hasher: ContentHasher): Promise<Content> {
  const running = hasher.start()
  let payloadBytes = 0
  const fileBytes = (await stat(path)).size
  for await (const chunk of counted(chunksOf(path), showBytes('hashing', fileBytes))) {
    running.update(chunk)
    payloadBytes += chunk.length
  }
  const again = (): AsyncIterable<Uint8Array> => counted(chunksOf(path), showBytes('storing', payloadBytes))
  return { payload: again(), again, payloadBytes, contentHash: running.contentHash() }
}

/** Opened by who reads it, so that nothing is left open when nobody does. Throws FILE_UNREADABLE. */
async function* chunksOf(path: string): AsyncGenerator<Uint8Array> {
  try {
    yield* createReadStream(path, { highWaterMark: 1024 * 1024 }) as AsyncIterable<Uint8Array>
  } catch (error) {
    throw unreadable(path, error)
  }
}

async function readStandardInput(): Promise<Uint8Array> {
  const chunks: Uint8Array[] = []
  let bytes = 0
  for await (const chunk of process.stdin as AsyncIterable<Uint8Array>) {
    bytes += chunk.length
    if (bytes > LIMITS.payloadBytesMax)
      throw new MembraneError('LIMIT_REACHED', `Standard input has more than ${LIMITS.payloadBytesMax} bytes.`)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}

function unreadable(path: string, cause: unknown): MembraneError {
  const reason = cause instanceof Error && 'code' in cause ? String(cause.code) : String(cause)
  return new MembraneError('FILE_UNREADABLE', `${path} cannot be read (${reason}).`, { cause, details: { path } })
}
