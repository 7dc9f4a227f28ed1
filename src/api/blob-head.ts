/**
 * The head of an HTTP/1.1 response, read strictly: what this cannot read is refused, because a body whose length is
 * guessed at is a body of somebody else's bytes.
 */
import { MembraneError } from '../core/errors.ts'
import { LIMITS } from '../core/limits.ts'

export interface BlobHead {
  readonly status: number
  /** Names in lower case. */
  readonly headers: ReadonlyMap<string, string>
  /** Of the body that follows. */
  readonly bodyBytes: number
  /** The server answers further requests on this connection. */
  readonly isKeptAlive: boolean
}

/** Where the head ends, the empty line with it, or -1 while it has not all come. Throws PEER_UNAVAILABLE for one too long. */
export function endOfHead(bytes: Buffer): number {
  const end = bytes.indexOf('\r\n\r\n', 0, 'latin1')
  if (end < 0 && bytes.length <= LIMITS.responseHeadBytesMax) return -1
  if (end >= 0 && end <= LIMITS.responseHeadBytesMax) return end + 4
  throw malformed(`a head of more than ${LIMITS.responseHeadBytesMax} bytes`)
}

const STATUS_LINE = /^HTTP\/1\.([01]) (\d{3})(?: [\t\x20-\x7e\x80-\xff]*)?$/
const HEADER = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\t\x20-\x7e\x80-\xff]*?)[ \t]*$/

/** `bytes` is the head with its empty line, of any answer but that to HEAD. Throws PEER_UNAVAILABLE. */
export function parseBlobHead(bytes: Buffer): BlobHead {
  const [first = '', ...lines] = bytes.toString('latin1', 0, bytes.length - 4).split('\r\n')
  const match = STATUS_LINE.exec(first)
  if (match === null) throw malformed(`a first line ${JSON.stringify(first.slice(0, 80))}`)
  const status = Number(match[2])
  if (status < 100) throw malformed(`a status ${status}`)
  const headers = new Map<string, string>()
  for (const line of lines) {
    const parts = HEADER.exec(line)
    if (parts === null) throw malformed(`a header ${JSON.stringify(line.slice(0, 80))}`)
    const [, name = '', value = ''] = parts
    const key = name.toLowerCase()
    const before = headers.get(key)
    if (key === 'content-length' && before !== undefined) throw malformed('two lengths of a body')
    headers.set(key, before === undefined ? value : `${before}, ${value}`)
  }
  const connection = headers.get('connection')?.toLowerCase() ?? ''
  return {
    status,
    headers,
    bodyBytes: bodyBytesOf(status, headers),
    isKeptAlive: match[1] === '1' && !/\bclose\b/.test(connection),
  }
}

function bodyBytesOf(status: number, headers: ReadonlyMap<string, string>): number {
  if (headers.has('transfer-encoding')) throw malformed('a body in chunks, whose length nobody says beforehand')
  // These never have a body (RFC 9112, 6.3), whatever length they name.
  if (status < 200 || status === 204 || status === 304) return 0
  const text = headers.get('content-length')
  if (text === undefined) throw malformed('a body without its length')
  if (!/^\d{1,15}$/.test(text)) throw malformed(`a length ${JSON.stringify(text.slice(0, 80))}`)
  return Number(text)
}

export function malformed(found: string): MembraneError {
  return new MembraneError('PEER_UNAVAILABLE', `The server's answer is not HTTP as expected here: ${found}.`, {
    remedy: 'Check that the URL is that of a Membrane server, without a proxy that rewrites bodies.',
    details: { isRetryable: false },
  })
}
