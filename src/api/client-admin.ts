/** Calls about tenants and the node itself. All but `usage` and `health` need an administrator's token. */
import { type CallOptions, type ControlChannel, parseAnswer } from './client-control.ts'
import { MembraneError } from '../core/errors.ts'
import {
  ERASED,
  REPORT,
  SCRUBBED,
  type Scrubbed,
  STATUS,
  type TenantQuota,
  type TenantReport,
  TENANTS,
} from './client-shapes.ts'

/** How a node is, and what its clock said. */
export interface NodeHealth {
  readonly status: 'ok' | 'draining'
  /** The server's time, milliseconds since 1970, to a second; null when it did not say. */
  readonly serverTimeMs: number | null
  /** From the request to the answer. */
  readonly roundTripMs: number
}

/** Tenants, quotas and the node itself: all but `usage` and `health` need an administrator's token, else FORBIDDEN. */
export class AdminCalls {
  readonly #control: ControlChannel

  constructor(control: ControlChannel) {
    this.#control = control
  }

  /** Whether the node takes requests; not tried again. */
  async health(options: CallOptions = {}): Promise<NodeHealth> {
    const startMs = performance.now()
    const answer = await this.#control
      .answer({ ...options, method: 'GET', path: '/readyz', isTriedOnce: true })
      .catch((error: unknown) => {
        if (error instanceof MembraneError && error.details['status'] === 503) return null
        throw error
      })
    const roundTripMs = performance.now() - startMs
    if (answer === null) return { status: 'draining', serverTimeMs: null, roundTripMs }
    const serverTimeMs = Date.parse(String(answer.headers['date']))
    const { status } = parseAnswer(STATUS, answer.text, '/readyz')
    return { status, serverTimeMs: Number.isNaN(serverTimeMs) ? null : serverTimeMs, roundTripMs }
  }

  /** What the caller itself holds and may hold. */
  usage(options: CallOptions = {}): Promise<TenantReport> {
    return this.#control.json(REPORT, { ...options, method: 'GET', path: '/v1/usage' })
  }

  /** Who holds how much: all tenants. */
  async tenants(options: CallOptions = {}): Promise<readonly TenantReport[]> {
    return (await this.#control.json(TENANTS, { ...options, method: 'GET', path: '/v1/tenants' })).tenants
  }

  /** What a tenant holds and may hold. */
  tenant(tenant: string, options: CallOptions = {}): Promise<TenantReport> {
    return this.#control.json(REPORT, { ...options, method: 'GET', path: quotaPath(tenant) })
  }

  /** Kept over a restart; what is beyond leaves with the tenant's next put. */
  setQuota(tenant: string, quota: TenantQuota, options: CallOptions = {}): Promise<TenantReport> {
    return this.#control.json(REPORT, { ...options, method: 'PUT', path: quotaPath(tenant), body: quota })
  }

  /** Bounds a tenant no more. */
  async removeQuota(tenant: string, options: CallOptions = {}): Promise<void> {
    await this.#control.answer({ ...options, method: 'DELETE', path: quotaPath(tenant) })
  }

  /** Removes all that a tenant has, with every byte that nobody else has; how many fragments. */
  async erase(tenant: string, options: CallOptions = {}): Promise<number> {
    const path = `/v1/tenants/${encodeURIComponent(tenant)}`
    return (await this.#control.json(ERASED, { ...this.#long(options), method: 'DELETE', path })).erased
  }

  /** Wipes the bytes of what was removed from the store's files. */
  async purge(options: CallOptions = {}): Promise<void> {
    await this.#control.answer({ ...this.#long(options), method: 'POST', path: '/v1/purge' })
  }

  /** Reads everything and compares it with its hashes. */
  scrub(options: CallOptions = {}): Promise<Scrubbed> {
    return this.#control.json(SCRUBBED, { ...this.#long(options), method: 'POST', path: '/v1/scrub' })
  }

  /** Work over all the bytes of a store. */
  #long({ timeoutMs = this.#control.options.limits.computeTimeoutMs, signal }: CallOptions): CallOptions {
    return signal === undefined ? { timeoutMs } : { timeoutMs, signal }
  }
}

function quotaPath(tenant: string): string {
  return `/v1/tenants/${encodeURIComponent(tenant)}/quota`
}
