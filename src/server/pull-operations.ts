/**
 * A node that copies from another one because an administrator asked it to: only from peers that its configuration
 * names, so that no request makes it reach anywhere else. Pulls run beside the request that began them.
 */
import { EventEmitter, once } from 'node:events'
import type { Logger } from 'pino'
import { abortedError } from '../core/cancel.ts'
import { MembraneError } from '../core/errors.ts'
import type { ErrorCode } from '../core/errors.ts'
import type { TenantId } from '../core/ids.ts'
import { LIMITS } from '../core/limits.ts'
import type { Clock } from '../core/ports.ts'
import type { TransferCounters } from '../transfer/receive-ports.ts'
import type { AdminAudit, AdminCall } from './admin-operations.ts'
import type { Caller } from './caller.ts'
import type { Fabric } from './fabric.ts'
import type { Gate } from './gate.ts'
import { HttpPeer } from './http-peer.ts'
import { StagedFiles } from './staged-files.ts'
import { type SyncReport, syncFrom } from './sync-from.ts'
import { toldError } from './told-error.ts'

/** Where from, and as whom. */
export interface PullRequest {
  /** `host:port`, as the configuration allows it. */
  readonly peer: string
  /** The credential for the peer; kept for as long as the pull runs, and never written down. */
  readonly token: string | null
  readonly isTls: boolean
}

/** A pull, and how far it is. */
export interface Pull {
  readonly id: number
  readonly tenant: TenantId
  readonly peer: string
  readonly startedMs: number
  /** Of what is missing; null until it is known. */
  readonly wanted: { readonly fragments: number; readonly payloadBytes: number } | null
  readonly counters: TransferCounters | null
  readonly end:
    | { readonly kind: 'running' }
    | { readonly kind: 'done'; readonly report: SyncReport }
    | { readonly kind: 'failed'; readonly code: ErrorCode; readonly message: string }
}

/** A pull in plain values, as doors tell it. Bytes are of payloads; null is not known yet. */
export interface PullState {
  readonly id: number
  readonly tenant: string
  readonly peer: string
  readonly startedMs: number
  readonly state: Pull['end']['kind']
  readonly wantedFragments: number | null
  readonly wantedBytes: number | null
  readonly acceptedBytes: number
  readonly resumedBytes: number
  readonly discardedBytes: number
  readonly cuts: number
  readonly fetched: number | null
  readonly linked: number | null
  readonly unfinished: number | null
  readonly error: { readonly code: string; readonly message: string } | null
}

export function pullState({ id, tenant, peer, startedMs, wanted, counters, end }: Pull): PullState {
  const report = end.kind === 'done' ? end.report : null
  return {
    id,
    tenant,
    peer,
    startedMs,
    state: end.kind,
    wantedFragments: wanted?.fragments ?? null,
    wantedBytes: wanted?.payloadBytes ?? null,
    acceptedBytes: counters?.bytesAccepted ?? 0,
    resumedBytes: counters?.bytesResumed ?? 0,
    discardedBytes: counters?.bytesDiscarded ?? 0,
    cuts: counters?.cuts ?? 0,
    fetched: report?.fetched ?? null,
    linked: report?.linked ?? null,
    unfinished: report === null ? null : report.unfinished + report.refused.length + report.lost.length,
    error: end.kind === 'failed' ? { code: end.code, message: end.message } : null,
  }
}

export interface PullOperationsParts {
  readonly fabric: Fabric
  readonly gate: Gate
  readonly audit: AdminAudit
  readonly clock: Clock
  /** `host:port`. */
  readonly allowedPeers: readonly string[]
  /** For what has come when a pull is cut; null keeps nothing. */
  readonly directory: string | null
  /** For what is not told to whoever asks. */
  readonly log: Pick<Logger, 'warn' | 'error'>
}

/** See the top of this file. */
export class PullOperations {
  readonly #parts: PullOperationsParts
  readonly #stop = new AbortController()
  /** The last LIMITS.transferPullsKept of them, by id. */
  readonly #pulls = new Map<number, Pull>()
  readonly #running = new Map<TenantId, Promise<void>>()
  /** Says `change` when any pull has changed. */
  readonly #changes = new EventEmitter().setMaxListeners(0)
  #ids = 0

  constructor(parts: PullOperationsParts) {
    this.#parts = parts
  }

  /**
   * Begins to copy what the caller's tenant has at the peer and not here. Throws FORBIDDEN for a peer that the
   * configuration does not name, LIMIT_REACHED while another pull of the tenant runs or too many run.
   */
  start(call: AdminCall, request: PullRequest): Promise<Pull> {
    const { gate, audit } = this.#parts
    return audit.around({ ...call, action: 'transfer.pull', target: request.peer }, async () => {
      gate.enter(call.caller, 'administer')
      return this.#start(call.caller.tenant, request)
    })
  }

  /** The latest first. */
  list(caller: Caller): readonly Pull[] {
    this.#parts.gate.enter(caller, 'observe')
    return [...this.#pulls.values()].toReversed()
  }

  /** A pull as it changes, until it has ended; states that came while the last one was looked at are left out. */
  async *follow(caller: Caller, id: number, signal: AbortSignal): AsyncGenerator<Pull> {
    this.#parts.gate.enter(caller, 'observe')
    let last: Pull | undefined
    for (;;) {
      const pull = this.#pulls.get(id)
      if (pull === undefined) return
      if (pull !== last) yield pull
      last = pull
      if (pull.end.kind !== 'running') return
      // It may have changed while it was looked at.
      if (this.#pulls.get(id) === pull)
        await once(this.#changes, 'change', { signal }).catch(() => Promise.reject(abortedError(signal)))
    }
  }

  /** Ends when all pulls have stopped and what has come is kept. */
  async close(): Promise<void> {
    this.#stop.abort()
    await Promise.all(this.#running.values())
  }

  #start(tenant: TenantId, { peer, token, isTls }: PullRequest): Pull {
    if (!this.#parts.allowedPeers.includes(peer))
      throw new MembraneError('FORBIDDEN', `This node does not fetch from ${JSON.stringify(peer)}.`, {
        remedy: 'Name it in allowedPeers of the configuration (--allow-peer).',
      })
    if (this.#running.has(tenant) || this.#running.size >= LIMITS.transferPullsMax)
      throw new MembraneError(
        'LIMIT_REACHED',
        `A tenant has one pull at a time, and a node ${LIMITS.transferPullsMax}; ${this.#running.size} are running.`,
        { remedy: 'GET /v1/transfer says when one has ended.' },
      )
    const url = `${isTls ? 'https' : 'http'}://${peer}`
    const remote = new HttpPeer({ url, ...(token === null ? {} : { token }) })
    this.#ids += 1
    const id = this.#ids
    const pull: Pull = {
      id,
      tenant,
      peer,
      startedMs: this.#parts.clock.nowMs(),
      wanted: null,
      counters: null,
      end: { kind: 'running' },
    }
    this.#keep(pull)
    const ended = this.#run(id, tenant, remote).finally(() => {
      remote.close()
      this.#running.delete(tenant)
    })
    this.#running.set(tenant, ended)
    return pull
  }

  async #run(id: number, tenant: TenantId, peer: HttpPeer): Promise<void> {
    const { fabric, directory } = this.#parts
    const files = directory === null ? null : new StagedFiles(directory)
    const parts = { own: fabric.of(tenant), peer, hashers: fabric.hashers, files, scope: tenant }
    try {
      const report = await syncFrom(parts, {
        signal: this.#stop.signal,
        planned: (wanted) => this.#change(id, { wanted }),
        progress: (counters) => this.#change(id, { counters }),
      })
      this.#change(id, { end: { kind: 'done', report } })
    } catch (error) {
      const { code, message } = this.#told(error, id)
      this.#change(id, { end: { kind: 'failed', code, message } })
    }
  }

  /** Where this node keeps what arrives is in its log alone. */
  #told(error: unknown, pull: number): Pick<MembraneError, 'code' | 'message'> {
    const { log } = this.#parts
    if (error instanceof MembraneError && error.code !== 'INTERNAL') return toldError(error, log, { pull })
    log.error({ err: error, pull }, 'internal error')
    return { code: 'INTERNAL', message: `Internal error: the log of this node has the rest, under pull ${pull}.` }
  }

  #keep(pull: Pull): void {
    this.#pulls.set(pull.id, pull)
    for (const [id, { end }] of this.#pulls) {
      if (this.#pulls.size <= LIMITS.transferPullsKept) return
      if (end.kind !== 'running') this.#pulls.delete(id)
    }
  }

  #change(id: number, change: Partial<Pull>): void {
    const pull = this.#pulls.get(id)
    if (pull === undefined) return
    this.#pulls.set(id, { ...pull, ...change })
    this.#changes.emit('change')
  }
}
