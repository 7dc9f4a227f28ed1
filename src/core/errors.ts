/**
 * What can go wrong in the world, as one closed table. Callers branch on codes, never on messages.
 * A message is one sentence that says what was found and what was expected; `remedy` says what to do.
 */
export const ERROR_CODES = {
  INVALID_REQUEST: { retryable: false, meaning: 'The request breaks the contract.' },
  INVALID_CONFIG: { retryable: false, meaning: 'A configuration value is missing, of the wrong kind or out of range.' },
  INVALID_PROFILE: { retryable: false, meaning: 'A hardware profile is not usable as given.' },
  INVALID_TRACE: { retryable: false, meaning: 'A trace file is malformed at the named line and column.' },
  UNKNOWN_PRESET: { retryable: false, meaning: 'No preset has this name.' },
  OUT_OF_DOMAIN: { retryable: false, meaning: 'A quantity was asked for outside the range in which it is defined.' },
  INFEASIBLE: { retryable: false, meaning: 'No configuration can meet what was asked.' },
  FILE_UNREADABLE: { retryable: false, meaning: 'A file could not be read or written.' },
  LIMIT_REACHED: { retryable: false, meaning: 'An input is larger than its stated bound.' },
  INVALID_FRAGMENT: { retryable: false, meaning: 'The bytes or the description of a fragment are malformed.' },
  NOT_FOUND: { retryable: false, meaning: 'Nothing is stored under this key.' },
  CONTENT_MISMATCH: { retryable: false, meaning: 'The bytes are not those that their hash or length names.' },
  STORE_FULL: { retryable: true, meaning: 'The store has no room, and nothing that may be evicted.' },
  QUOTA_EXCEEDED: { retryable: false, meaning: 'The tenant would hold more than its quota.' },
  STORE_LOCKED: { retryable: true, meaning: 'Another process has the data directory open.' },
  STORE_FORMAT: { retryable: false, meaning: 'The data is of a format that this version does not read.' },
  STORE_UNAVAILABLE: { retryable: true, meaning: 'The store did not answer.' },
  STORE_CLOSED: { retryable: false, meaning: 'The store has been closed.' },
  INVALID_MODEL: { retryable: false, meaning: 'A model file is malformed, or of a kind that the engine does not run.' },
  COMPUTE_FULL: { retryable: true, meaning: 'The engine has no memory left for another context.' },
  COMPUTE_FAILED: { retryable: false, meaning: 'The engine failed while it computed.' },
  PROVIDER_REFUSED: { retryable: false, meaning: 'A model provider refused the key, the model or the request.' },
  PROVIDER_LIMITED: { retryable: true, meaning: 'A model provider asks for fewer requests.' },
  PROVIDER_UNAVAILABLE: {
    retryable: true,
    meaning: 'A model provider did not answer in time, or failed while it did.',
  },
  PROVIDER_MALFORMED: { retryable: false, meaning: 'A model provider sent an answer that breaks its own contract.' },
  ABORTED: { retryable: false, meaning: 'The call was cancelled by its caller.' },
  UNAUTHENTICATED: { retryable: false, meaning: 'No credential, or one that is not known.' },
  FORBIDDEN: { retryable: false, meaning: 'The credential does not allow this.' },
  RATE_LIMITED: { retryable: true, meaning: 'The caller sent more than its rate allows.' },
  PAYLOAD_REQUIRED: { retryable: false, meaning: 'A fragment came without its bytes.' },
  PRECONDITION_FAILED: { retryable: false, meaning: 'The request was made on a condition that does not hold.' },
  NOT_SUPPORTED: { retryable: false, meaning: 'The node as it was started does not offer this.' },
  CLUSTER_OFF: { retryable: false, meaning: 'The node is alone: it is not part of a cluster.' },
  DRAINING: { retryable: true, meaning: 'The node is shutting down and takes no new requests.' },
  DEADLINE_EXCEEDED: { retryable: true, meaning: 'The call did not end before its deadline.' },
  PEER_UNAVAILABLE: { retryable: true, meaning: 'Another node, or a server, could not be reached or broke off.' },
  ADDRESS_UNAVAILABLE: { retryable: false, meaning: 'An address or port cannot be listened on.' },
  INTERNAL: { retryable: false, meaning: 'A bug: the server log has the rest under the request id.' },
  MISSING_PACKAGE: { retryable: false, meaning: 'An optional package that the request needs is not installed.' },
} as const satisfies Readonly<Record<string, { retryable: boolean; meaning: string }>>

/** Key of `ERROR_CODES`. */
export type ErrorCode = keyof typeof ERROR_CODES

export interface ErrorOptions {
  /** Ids and numbers with units, for programs. */
  readonly details?: Readonly<Record<string, unknown>>
  /** What the reader can do about it, a full sentence. */
  readonly remedy?: string
  readonly cause?: unknown
}

/** The only error that crosses a folder boundary on purpose. Anything else that is thrown is a bug. */
export class MembraneError extends Error {
  override readonly name = 'MembraneError'
  readonly code: ErrorCode
  readonly details: Readonly<Record<string, unknown>>
  readonly remedy: string | null

  constructor(code: ErrorCode, message: string, options: ErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.code = code
    this.details = options.details ?? {}
    this.remedy = options.remedy ?? null
  }
}

/** Our reasoning failed: on in production too, caught only at the process edge. */
export function assert(claim: boolean, message: string): asserts claim {
  if (!claim) throw new Error(`Bug: ${message}`)
}

/** Ends a `switch` over a union, so that a new member does not compile until it is handled. */
export function unreachable(value: never): never {
  throw new Error(`Bug: unexpected value ${JSON.stringify(value)}`)
}
