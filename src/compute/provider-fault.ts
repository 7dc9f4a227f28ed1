/** What can go wrong with one attempt at a request, and what that means for the next one. Pure. */
import { type ErrorCode, unreachable } from '../core/errors.ts'
import type { AnswerHeaders } from './provider-headers.ts'

/** `said` is a stranger's text: it may repeat the key. */
export type ProviderFault =
  /** It answered with a status that is no success. */
  | {
      readonly kind: 'status'
      readonly status: number
      readonly headers: AnswerHeaders
      readonly type: string | null
      readonly said: string
    }
  /** It said in the midst of an answer that it cannot go on. */
  | { readonly kind: 'reported'; readonly status: number | null; readonly type: string | null; readonly said: string }
  /** No connection, or one that ended before an answer began. */
  | { readonly kind: 'unreachable'; readonly said: string }
  /** The answer ended before its end. */
  | { readonly kind: 'cut'; readonly said: string }
  | { readonly kind: 'timeout'; readonly awaited: 'answer' | 'next event'; readonly waitedMs: number }
  | { readonly kind: 'malformed'; readonly said: string }
  | { readonly kind: 'aborted'; readonly said: string }

/** Carries a fault to whoever decides about the next attempt. */
export class FaultError extends Error {
  override readonly name = 'FaultError'
  readonly fault: ProviderFault

  constructor(fault: ProviderFault) {
    super(fault.kind)
    this.fault = fault
  }
}

/** Throws what a dialect finds wrong with an answer. */
export function malformed(said: string): never {
  throw new FaultError({ kind: 'malformed', said })
}

export interface FaultVerdict {
  readonly code: Extract<ErrorCode, `PROVIDER_${string}` | 'ABORTED'>
  readonly isRetryable: boolean
}

const REFUSED: FaultVerdict = { code: 'PROVIDER_REFUSED', isRetryable: false }
const LIMITED: FaultVerdict = { code: 'PROVIDER_LIMITED', isRetryable: true }
const UNAVAILABLE: FaultVerdict = { code: 'PROVIDER_UNAVAILABLE', isRetryable: true }

/** What a fault is called, and whether the same request may succeed later. */
export function judge(fault: ProviderFault): FaultVerdict {
  switch (fault.kind) {
    case 'status': {
      const verdict = judgeStatus(fault.status, fault.type)
      return fault.headers['x-should-retry'] === 'false' ? { ...verdict, isRetryable: false } : verdict
    }
    case 'reported':
      return fault.status === null ? judgeType(fault.type) : judgeStatus(fault.status, fault.type)
    case 'unreachable':
    case 'cut':
    case 'timeout':
      return UNAVAILABLE
    case 'malformed':
      return { code: 'PROVIDER_MALFORMED', isRetryable: false }
    case 'aborted':
      return { code: 'ABORTED', isRetryable: false }
    default:
      return unreachable(fault)
  }
}

function judgeStatus(status: number, type: string | null): FaultVerdict {
  // A month's money that is spent does not come back in a minute.
  if (status === 429) return type === 'insufficient_quota' ? { ...LIMITED, isRetryable: false } : LIMITED
  return status === 408 || status === 409 || status >= 500 ? UNAVAILABLE : REFUSED
}

/** Kinds of errors that services report within an answer that began well. */
function judgeType(type: string | null): FaultVerdict {
  if (type !== null && /rate_?limit/i.test(type)) return LIMITED
  if (type !== null && /invalid_request|authentication|permission|not_found|billing|BadRequest/i.test(type))
    return REFUSED
  return UNAVAILABLE
}

/** What happened, as the end of a sentence that begins with the service's name. */
export function describeFault(fault: ProviderFault): string {
  switch (fault.kind) {
    case 'status':
      return `answered with status ${fault.status}${saying(fault.said)}`
    case 'reported':
      return `reported an error in its answer${saying(fault.said)}`
    case 'unreachable':
      return `cannot be reached${saying(fault.said)}`
    case 'cut':
      return `ended its answer before it was complete${saying(fault.said)}`
    case 'timeout':
      return `did not ${fault.awaited === 'answer' ? 'finish its answer' : 'go on with its answer'} within ${fault.waitedMs} ms`
    case 'malformed':
      return `sent an answer that breaks its contract${saying(fault.said)}`
    case 'aborted':
      return `was not waited for${saying(fault.said)}`
    default:
      return unreachable(fault)
  }
}

function saying(said: string): string {
  return said === '' ? '' : `: ${said}`
}
