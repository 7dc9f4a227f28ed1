/** Quotas of tenants, kept over a restart: a file beside the store, read when the fabric is opened, written when one changes. */
import { MembraneError } from '../core/errors.ts'
import { parseTenantId, type TenantId } from '../core/ids.ts'
import { LIMITS } from '../core/limits.ts'
import type { SnapshotStorage } from '../core/ports.ts'
import type { Quota } from '../store/bounded-owner.ts'

/** Quotas that change while a fabric is open: its `quotaOf` asks here. */
export class TenantQuotas {
  readonly #storage: SnapshotStorage | null
  readonly #quotas: Map<TenantId, Quota>
  #writing: Promise<void> = Promise.resolve()

  /** Use `openTenantQuotas`. */
  constructor(storage: SnapshotStorage | null, quotas: ReadonlyMap<TenantId, Quota>) {
    this.#storage = storage
    this.#quotas = new Map(quotas)
  }

  /** HOT: asked at every put. */
  readonly quotaOf = (tenant: TenantId): Quota | null => this.#quotas.get(tenant) ?? null

  get all(): ReadonlyMap<TenantId, Quota> {
    return this.#quotas
  }

  /**
   * Holds from the next put of the tenant on: what is held beyond a smaller one leaves then. Ends when it is written
   * down; throws INVALID_REQUEST for bounds that are no whole numbers of 1 or more, LIMIT_REACHED.
   */
  async set(tenant: TenantId, quota: Quota): Promise<void> {
    checkQuota(quota)
    if (!this.#quotas.has(tenant) && this.#quotas.size >= LIMITS.tenantQuotasMax)
      throw new MembraneError(
        'LIMIT_REACHED',
        `${LIMITS.tenantQuotasMax} tenants have quotas already, which is the most.`,
      )
    await this.#change(tenant, quota)
  }

  /** Whether there was one. */
  async remove(tenant: TenantId): Promise<boolean> {
    if (!this.#quotas.has(tenant)) return false
    await this.#change(tenant, null)
    return true
  }

  /** What cannot be written down does not hold either: a restart would forget it. */
  async #change(tenant: TenantId, quota: Quota | null): Promise<void> {
    const change = this.#writing.then(async () => {
      const changed = new Map(this.#quotas)
      if (quota === null) changed.delete(tenant)
      else changed.set(tenant, quota)
      await this.#storage?.write([encode(changed)])
      if (quota === null) this.#quotas.delete(tenant)
      else this.#quotas.set(tenant, quota)
    })
    this.#writing = change.catch(() => {})
    await change
  }
}

/** Null keeps quotas for this process only. Throws STORE_FORMAT for a file that is not one of quotas: without them, everybody could fill the node. */
export async function openTenantQuotas(storage: SnapshotStorage | null): Promise<TenantQuotas> {
  const bytes = (await storage?.read()) ?? null
  return new TenantQuotas(storage, bytes === null ? new Map() : decode(bytes))
}

function encode(quotas: ReadonlyMap<TenantId, Quota>): Uint8Array {
  return new TextEncoder().encode(`${JSON.stringify({ version: 1, quotas: Object.fromEntries(quotas) }, null, 2)}\n`)
}

function decode(bytes: Uint8Array): ReadonlyMap<TenantId, Quota> {
  try {
    const document: unknown = JSON.parse(new TextDecoder().decode(bytes))
    if (!isRecord(document) || document['version'] !== 1 || !isRecord(document['quotas'])) throw new Error('no quotas')
    return new Map(
      Object.entries(document['quotas']).map(([tenant, quota]): [TenantId, Quota] => {
        if (!isRecord(quota)) throw new Error(`no quota of ${tenant}`)
        const { payloadBytesMax, entriesMax } = quota
        if (typeof payloadBytesMax !== 'number' || typeof entriesMax !== 'number')
          throw new Error(`no quota of ${tenant}`)
        checkQuota({ payloadBytesMax, entriesMax })
        return [parseTenantId(tenant), { payloadBytesMax, entriesMax }]
      }),
    )
  } catch (cause) {
    throw new MembraneError('STORE_FORMAT', 'The file of quotas (tenants.json) cannot be read.', {
      remedy: 'Put it right, or remove it: then no tenant has a quota.',
      cause,
    })
  }
}

function checkQuota({ payloadBytesMax, entriesMax }: Quota): void {
  for (const [name, value] of Object.entries({ payloadBytesMax, entriesMax })) {
    if (Number.isSafeInteger(value) && value >= 1) continue
    throw new MembraneError('INVALID_REQUEST', `${name} is a whole number of 1 or more; found ${value}.`)
  }
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
