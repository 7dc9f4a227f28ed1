/** Which bytes a GET asks for, RFC 9110 section 14: one range; a header that is none of ours is ignored, as it says. */
import type { IncomingHttpHeaders } from 'node:http'
import type { ByteSpan } from '../core/ports.ts'

export type AskedRange =
  | { readonly kind: 'all' }
  | { readonly kind: 'part'; readonly span: ByteSpan }
  | { readonly kind: 'unsatisfiable' }

/** Several ranges are answered with everything, which the RFC allows. Unit names have no case. */
export function rangeOf(headers: IncomingHttpHeaders, etag: string, bytes: number): AskedRange {
  const condition = headers['if-range']
  const match = /^bytes=[ \t]*(\d*)-(\d*)[ \t]*$/i.exec(headers.range ?? '')
  if (match === null || (condition !== undefined && condition !== etag)) return { kind: 'all' }
  const [, first = '', last = ''] = match
  if (first === '') {
    if (last === '') return { kind: 'all' }
    const suffix = Math.min(Number(last), bytes)
    return suffix === 0 ? { kind: 'unsatisfiable' } : { kind: 'part', span: { start: bytes - suffix, end: bytes } }
  }
  const start = Number(first)
  // A last byte before the first is no range.
  if (last !== '' && Number(last) < start) return { kind: 'all' }
  const end = last === '' ? bytes : Math.min(Number(last) + 1, bytes)
  return start < bytes ? { kind: 'part', span: { start, end } } : { kind: 'unsatisfiable' }
}
