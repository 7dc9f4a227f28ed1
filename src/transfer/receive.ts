/**
 * Pulls fragments from other nodes: in chunks, over a few connections at once, each chunk verified as it comes and each
 * payload as it lies in the sink. A cut costs the part of a chunk that was on its way; what was accepted is kept, in this
 * transfer and for the next one.
 *
 *   fragments, in order ──claim──► connection: fetch a run of chunks ──verify──► stage ──all there──► verify whole, commit
 *        ▲                              │ cut, damaged, stalled: released, backoff
 *        └──────────────────────────────┘
 */
import { abortedError, throwIfAborted } from '../core/cancel.ts'
import type { CallOptions } from '../core/compute.ts'
import { MembraneError } from '../core/errors.ts'
import { LIMITS } from '../core/limits.ts'
import { checkChunkBytes, DEFAULT_CHUNK_BYTES } from './chunks.ts'
import type { ReceiveOptions, ReceiveParts, TransferReport, WantedFragment } from './receive-ports.ts'
import { Transfer } from './transfer.ts'

/** For a link of some Gbit/s within a datacentre. */
export const DEFAULT_RECEIVE: ReceiveOptions = {
  chunkBytes: DEFAULT_CHUNK_BYTES,
  // One round trip for four chunks; what came whole before a cut is kept all the same.
  requestBytes: 4 * 1024 * 1024,
  bytesInFlightMax: 32 * 1024 * 1024,
  openFragmentsMax: 32,
  stallSeconds: 10,
  failuresMax: 6,
  backoff: { firstSeconds: 0.1, maxSeconds: 5 },
  deadlineSeconds: Infinity,
  progress: () => undefined,
}

/**
 * Fetches what is wanted, in order as far as several connections allow. Resolves when each fragment has an outcome;
 * nothing about one fragment, and no connection, ends the others. Throws ABORTED when the signal is given, after what was
 * accepted has been suspended in the sink; INVALID_REQUEST for options, fragments or sources out of bounds.
 */
export async function receiveFragments(
  wanted: readonly WantedFragment[],
  parts: ReceiveParts,
  { signal, ...options }: Partial<ReceiveOptions> & CallOptions = {},
): Promise<TransferReport> {
  const settings: ReceiveOptions = { ...DEFAULT_RECEIVE, ...options }
  check(wanted, parts, settings)
  throwIfAborted(signal)
  const startSeconds = parts.stopwatch.seconds()
  const transfer = new Transfer(wanted, parts, settings)
  const leave = (): void => {
    transfer.stop('The transfer was cancelled.')
  }
  signal?.addEventListener('abort', leave)
  const { deadlineSeconds } = settings
  const cancelDeadline =
    deadlineSeconds === Infinity
      ? null
      : parts.alarm.after(deadlineSeconds, () => {
          transfer.stop(`The deadline of ${deadlineSeconds} s passed.`)
        })
  try {
    const outcomes = await transfer.run()
    if (signal?.aborted === true) throw abortedError(signal)
    return { outcomes, counters: transfer.counters, seconds: parts.stopwatch.seconds() - startSeconds }
  } finally {
    cancelDeadline?.()
    signal?.removeEventListener('abort', leave)
  }
}

function check(wanted: readonly WantedFragment[], { sources, lease }: ReceiveParts, options: ReceiveOptions): void {
  if (wanted.length > LIMITS.transferFragmentsMax) {
    throw new MembraneError(
      'LIMIT_REACHED',
      `A transfer takes at most ${LIMITS.transferFragmentsMax} fragments, found ${wanted.length}.`,
    )
  }
  checkChunkBytes(options.chunkBytes)
  const connections = LIMITS.transferConnectionsMax
  expect(sources.length >= 1 && sources.length <= connections, `1 to ${connections} connections`, sources.length)
  for (const name of ['openFragmentsMax', 'failuresMax', 'requestBytes', 'bytesInFlightMax'] as const)
    expect(
      Number.isSafeInteger(options[name]) && options[name] >= 1,
      `a whole number of ${name}, 1 or more`,
      options[name],
    )
  for (const name of ['stallSeconds', 'deadlineSeconds'] as const)
    expect(options[name] > 0, `${name} above 0`, options[name])
  for (const seconds of Object.values(options.backoff))
    expect(seconds > 0 && seconds < Infinity, 'a backoff above 0 s', seconds)
  if (lease !== null) expect(lease.leaseSeconds > 0, 'a lease above 0 s', lease.leaseSeconds)
  for (const { payloadBytes, key } of wanted) {
    const isSize = Number.isSafeInteger(payloadBytes) && payloadBytes >= 0 && payloadBytes <= LIMITS.payloadBytesMax
    expect(isSize, `a payload of 0 to ${LIMITS.payloadBytesMax} bytes under ${key}`, payloadBytes)
  }
}

function expect(claim: boolean, what: string, found: number): void {
  if (!claim) throw new MembraneError('INVALID_REQUEST', `A transfer takes ${what}, found ${found}.`)
}
