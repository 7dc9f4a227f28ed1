/**
 * Listings that are read page by page, by cursors that this node holds: a listing goes on where it stopped, so what is
 * there throughout is in exactly one page, whatever is put and removed meanwhile. Bounded in number and in idle time.
 */
import { MembraneError } from '../core/errors.ts'
import type { TenantId } from '../core/ids.ts'
import { LIMITS } from '../core/limits.ts'
import type { Clock } from '../core/ports.ts'

/** A part of a listing. */
export interface ListingPage<T> {
  readonly entries: readonly T[]
  /** Where the next page begins; null after the last. */
  readonly cursor: string | null
}

export interface ListingsOptions {
  readonly clock: Clock
  /** Makes cursors: 32 random bits at a time. */
  readonly random32: Random32
  /** A listing that nobody continues for so long is forgotten. */
  readonly idleMs: number
}

/** A random whole number of 32 bits. Cursors are no secrets: a tenant's are of no use to another. */
export type Random32 = () => number

/** Long enough to look at a page; what a listing holds is small. */
export const DEFAULT_LISTING_IDLE_MS = 5 * 60_000

interface Listing<T> {
  readonly tenant: TenantId
  readonly id: string
  readonly entries: AsyncIterator<T>
  usedAtMs: number
  /** The number of the latest page, which is given again to whoever has not got it. */
  page: number
  latest: Promise<ListingPage<T>>
  isDone: boolean
}

/** See the top of this file. */
export class Listings<T> {
  readonly #options: ListingsOptions
  /** The one that was longest not continued first. */
  readonly #listings = new Map<string, Listing<T>>()

  constructor(options: ListingsOptions) {
    this.#options = options
  }

  get count(): number {
    return this.#listings.size
  }

  /** The first page of `entries`, at most `limit` of them. */
  start(tenant: TenantId, entries: AsyncIterable<T>, limit: number): Promise<ListingPage<T>> {
    this.#endIdle()
    this.#makeRoom(tenant)
    const id = [0, 1, 2].map(() => this.#options.random32().toString(36).padStart(7, '0')).join('')
    const listing: Listing<T> = {
      tenant,
      id,
      entries: entries[Symbol.asyncIterator](),
      usedAtMs: this.#options.clock.nowMs(),
      page: 0,
      latest: Promise.resolve({ entries: [], cursor: null }),
      isDone: false,
    }
    this.#listings.set(id, listing)
    listing.latest = this.#read(listing, limit)
    return listing.latest
  }

  /** The page at a cursor, once more if it was given before. Throws INVALID_REQUEST for one that is not known. */
  async next(tenant: TenantId, cursor: string, limit: number): Promise<ListingPage<T>> {
    this.#endIdle()
    const [id = '', pageText = ''] = cursor.split('.')
    const listing = this.#listings.get(id)
    const page = /^\d{1,9}$/.test(pageText) ? Number(pageText) : -1
    // Another tenant's is as unknown as one that never was.
    if (listing?.tenant !== tenant || (page !== listing.page && (page !== listing.page + 1 || listing.isDone)))
      throw new MembraneError('INVALID_REQUEST', 'The cursor is not known, or no longer.', {
        remedy: `Begin the listing anew; a cursor is kept for ${this.#options.idleMs / 60_000} minutes after its last use.`,
      })
    this.#listings.delete(id)
    this.#listings.set(id, listing)
    listing.usedAtMs = this.#options.clock.nowMs()
    if (page === listing.page) return listing.latest
    listing.page = page
    listing.latest = listing.latest.then(() => this.#read(listing, limit))
    return listing.latest
  }

  async #read(listing: Listing<T>, limit: number): Promise<ListingPage<T>> {
    const entries: T[] = []
    try {
      while (entries.length < limit) {
        const { done, value } = await listing.entries.next()
        if (done === true) {
          listing.isDone = true
          return { entries, cursor: null }
        }
        entries.push(value)
      }
      return { entries, cursor: `${listing.id}.${listing.page + 1}` }
    } catch (error) {
      // What was read of the page is lost, so going on would leave it out.
      this.#listings.delete(listing.id)
      throw error
    }
  }

  #makeRoom(tenant: TenantId): void {
    let own = 0
    let oldestOwn: Listing<T> | null = null
    for (const listing of this.#listings.values()) {
      if (listing.tenant !== tenant) continue
      own += 1
      oldestOwn ??= listing
    }
    if (own >= LIMITS.listingsPerTenantMax && oldestOwn !== null) this.#end(oldestOwn)
    const [oldest] = this.#listings.values()
    if (this.#listings.size >= LIMITS.listingsMax && oldest !== undefined) this.#end(oldest)
  }

  #endIdle(): void {
    const endMs = this.#options.clock.nowMs() - this.#options.idleMs
    for (const listing of this.#listings.values()) {
      if (listing.usedAtMs > endMs) return
      this.#end(listing)
    }
  }

  #end(listing: Listing<T>): void {
    this.#listings.delete(listing.id)
    // A generator that is being read ends after that.
    void listing.entries.return?.()
  }
}
