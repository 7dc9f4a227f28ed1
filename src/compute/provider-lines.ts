/**
 * Answers in lines of JSON, checked before an SDK reads them: Ollama's prints lines that it cannot parse, and goes on
 * as if they had not come; and it searches a long line anew for each piece of it.
 */
import { malformed } from './provider-fault.ts'

/** Looks at one value; throws FaultError for one that must not reach the SDK. */
export type LineCheck = (value: unknown) => void

const NEWLINE = 0x0a

/**
 * The lines that are not empty, whole and checked; those before one that is refused come first. What comes after the last
 * newline counts as a line.
 */
export async function* wholeLines(pieces: AsyncIterable<Uint8Array>, check: LineCheck): AsyncGenerator<Uint8Array> {
  let begun: Uint8Array[] = []
  for await (const piece of pieces) {
    const end = piece.lastIndexOf(NEWLINE) + 1
    if (end === 0) {
      begun.push(piece)
      continue
    }
    yield* checkedLines(Buffer.concat([...begun, piece.subarray(0, end)]), check)
    begun = end === piece.length ? [] : [piece.subarray(end)]
  }
  yield* checkedLines(Buffer.concat(begun), check)
}

function* checkedLines(bytes: Buffer, check: LineCheck): Generator<Uint8Array> {
  for (const line of bytes.toString().split('\n')) {
    if (line.trim() === '') continue
    check(parsed(line))
    yield Buffer.from(`${line}\n`)
  }
}

function parsed(line: string): unknown {
  try {
    return JSON.parse(line)
  } catch {
    return malformed('a line is no JSON')
  }
}
