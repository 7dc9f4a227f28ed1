/** Server-sent events, read as they come. */
import { MembraneError } from '../core/errors.ts'
import { LIMITS } from '../core/limits.ts'

export interface ServerEvent {
  readonly name: string
  readonly data: string
}

/** What the WHATWG says of event streams, but for ids and reconnection, which answers of one call do not have. */
export async function* readEvents(pieces: AsyncIterable<Uint8Array>): AsyncGenerator<ServerEvent> {
  const decoder = new TextDecoder()
  let rest = ''
  let name = ''
  let data: string[] = []
  let characters = 0
  const takeLine = (line: string): ServerEvent | null => {
    if (line === '') {
      const event = data.length === 0 ? null : { name: name === '' ? 'message' : name, data: data.join('\n') }
      name = ''
      data = []
      characters = 0
      return event
    }
    const colon = line.indexOf(':')
    const field = colon < 0 ? line : line.slice(0, colon)
    const value = colon < 0 ? '' : line.slice(colon + 1).replace(/^ /, '')
    if (field === 'event') name = value
    if (field === 'data') data.push(value)
    characters += line.length
    return null
  }
  for await (const piece of pieces) {
    rest += decoder.decode(piece, { stream: true })
    // A line may end in the next piece: its carriage return too.
    const lines = rest.split(/\r\n|\n|\r(?!$)/)
    rest = lines.pop() ?? ''
    for (const line of lines) {
      const event = takeLine(line)
      if (event !== null) yield event
    }
    if (rest.length + characters > LIMITS.responseEventBytesMax)
      throw new MembraneError(
        'PEER_UNAVAILABLE',
        `The server sent an event of more than ${LIMITS.responseEventBytesMax} characters.`,
        { details: { isRetryable: false } },
      )
  }
}
