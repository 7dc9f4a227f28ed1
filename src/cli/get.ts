import type { Writable } from 'node:stream'
import { type Command, InvalidArgumentError } from 'commander'
import { MembraneError } from '../core/errors.ts'
import type { ByteSpan } from '../core/ports.ts'
import { keyOfArgument } from './data-dir.ts'
import { checkOutputs } from './output-file.ts'
import { addPlaceFlags, type PlaceFlags, withPlace } from './place.ts'
import { printJson, printNotes } from './print.ts'
import { counted, showBytes } from './progress.ts'
import { onRun } from './run-command.ts'
import { writeWhole } from './whole-file.ts'

interface GetFlags extends PlaceFlags {
  readonly out?: string
  readonly span?: ByteSpan
}

export function defineGet(command: Command): void {
  addPlaceFlags(
    command
      .description('write the bytes of a fragment to standard output or to a file, verified')
      .argument('<key>', 'a name that was given, or a key that ls prints')
      .optionsGroup('Output:')
      .option('--out <file>', 'write to this file')
      .option('--span <start-end>', 'only these bytes, end not included, such as 0-4096', spanOf),
  )
  onRun<GetFlags>(command, async (flags, [text]) => {
    if (text === undefined) throw new MembraneError('INVALID_REQUEST', 'A key is needed.')
    const { out, span } = flags
    if (out === undefined && process.stdout.isTTY)
      throw new MembraneError('INVALID_REQUEST', 'The bytes would go to the terminal.', {
        remedy: 'Give --out FILE, or send the output somewhere.',
      })
    if (out === undefined && flags.json === true)
      throw new MembraneError(
        'INVALID_REQUEST',
        '--json prints about the bytes, so they need a place: give --out FILE.',
      )
    await checkOutputs([{ flag: '--out', path: out }])
    await withPlace(flags, async ({ own }) => {
      const found = await own.stream(keyOfArgument(text), span === undefined ? {} : { span })
      if (found === null)
        throw new MembraneError('NOT_FOUND', `Nothing is stored under ${JSON.stringify(text)}.`, {
          remedy: 'List what is there with `membrane ls`.',
        })
      const wantedBytes = Math.min(span?.end ?? Infinity, found.payloadBytes) - (span?.start ?? 0)
      const chunks = counted(found.chunks, showBytes('reading', wantedBytes))
      const write = (target: Writable): Promise<number> => writeChunks(chunks, target)
      const bytes =
        out === undefined ? await write(process.stdout) : await writeWhole({ flag: '--out', path: out }, write)
      const { key, contentHash, payloadBytes } = found
      if (flags.json === true) printJson({ key, contentHash, payloadBytes, writtenBytes: bytes, out })
      else if (out !== undefined) printNotes([`wrote ${bytes} bytes to ${out}`])
    })
  })
}

/** A chunk's memory is the store's until the next one is asked for, so each is written before that. */
async function writeChunks(chunks: AsyncIterable<Uint8Array>, target: Writable): Promise<number> {
  let bytes = 0
  for await (const chunk of chunks) {
    bytes += chunk.length
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    target.write(chunk, (error) => (error == null ? resolve() : reject(error)))
    await promise
  }
  return bytes
}

function spanOf(text: string): ByteSpan {
  const match = /^(\d+)-(\d+)$/.exec(text)
  const [start, end] = [Number(match?.[1]), Number(match?.[2])]
  if (match !== null && start <= end) return { start, end }
  throw new InvalidArgumentError('Expected START-END in bytes, such as 0-4096.')
}
