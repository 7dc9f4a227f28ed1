/** Conditional requests, RFC 9110 section 13: what the client has already, or what it must not write over. */
import type { IncomingHttpHeaders } from 'node:http'

/** `changed`: 412, the client asked for something else. `unchanged`: 304, it has it already. */
export type Precondition = 'go-on' | 'changed' | 'unchanged'

/** In the order of section 13.2.2; bytes are immutable and dates are not kept, so those conditions do not count. */
export function preconditionOf(headers: IncomingHttpHeaders, etag: string): Precondition {
  const match = headers['if-match']
  if (match !== undefined && !isNamed(match, etag, 'strong')) return 'changed'
  const noneMatch = headers['if-none-match']
  return noneMatch !== undefined && isNamed(noneMatch, etag, 'weak') ? 'unchanged' : 'go-on'
}

function isNamed(list: string, etag: string, comparison: 'strong' | 'weak'): boolean {
  if (list.trim() === '*') return true
  return (list.match(/(?:W\/)?"[^"]*"/g) ?? []).some(
    (one) => one === etag || (comparison === 'weak' && one === `W/${etag}`),
  )
}
