/** Prompts from the command line, a file or standard input. */
import { createReadStream } from 'node:fs'
import type { Command } from 'commander'
import { MembraneError } from '../core/errors.ts'
import { LIMITS } from '../core/limits.ts'

export interface PromptFlags {
  readonly prompt?: string
  readonly promptFile?: string
}

export function addPromptFlags(command: Command): Command {
  return command
    .optionsGroup('Prompt:')
    .option('--prompt <text>', 'the prompt itself')
    .option('--prompt-file <file>', 'a file with the prompt, UTF-8; - for standard input')
}

/** As it is, to the last line break. Throws INVALID_REQUEST and FILE_UNREADABLE. */
export async function promptOf({ prompt, promptFile }: PromptFlags): Promise<string> {
  if ((prompt === undefined) === (promptFile === undefined))
    throw new MembraneError('INVALID_REQUEST', 'One prompt is needed: give either --prompt or --prompt-file.')
  const text = prompt ?? (await readPrompt(promptFile ?? '-'))
  if (text === '') throw new MembraneError('INVALID_REQUEST', 'The prompt is empty.')
  return text
}

async function readPrompt(path: string): Promise<string> {
  const name = path === '-' ? 'Standard input' : path
  const pieces = path === '-' ? process.stdin : createReadStream(path)
  const bytes = await readAll(pieces as AsyncIterable<Uint8Array>, name).catch((cause: unknown) => {
    if (cause instanceof MembraneError) throw cause
    const code = cause instanceof Error && 'code' in cause ? String(cause.code) : String(cause)
    const reason = code === 'EISDIR' ? 'a directory' : code
    throw new MembraneError('FILE_UNREADABLE', `${name} cannot be read (${reason}).`, { cause, details: { path } })
  })
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch (cause) {
    throw new MembraneError('INVALID_REQUEST', `${name} is not UTF-8 text.`, { cause, details: { path } })
  }
}

/** No more than the bound is ever held: a device has no end. */
async function readAll(pieces: AsyncIterable<Uint8Array>, name: string): Promise<Uint8Array> {
  const chunks: Uint8Array[] = []
  let bytes = 0
  for await (const chunk of pieces) {
    bytes += chunk.length
    if (bytes > LIMITS.promptBytesMax) throw tooLong(name)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}

function tooLong(name: string): MembraneError {
  return new MembraneError('LIMIT_REACHED', `${name} has more than ${LIMITS.promptBytesMax} bytes of prompt.`)
}
