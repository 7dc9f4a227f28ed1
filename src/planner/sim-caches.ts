import { MembraneError } from '../core/errors.ts'
import { HybridCache } from './hybrid-cache.ts'
import type { JobTable } from './sim-jobs.ts'
import type { CacheOptions } from './sim-options.ts'
import type { Traffic } from './sim-traffic.ts'

/** What a run's prefix caches did. */
export interface CacheData {
  readonly promptTokens: number
  readonly hitTokens: number
  /** Blocks that prompts consist of, and those of them that were hit. */
  readonly references: number
  readonly hitBlocks: number
  readonly evictions: number
  /** Transfers whose KV found no room in the transfer cache and stayed in the memory of its instance. */
  readonly transfersOutside: number
}

/** The prefix caches of both clusters, as the router and the engine ask them. */
export class ClusterCaches {
  readonly #options: CacheOptions
  readonly #traffic: Traffic
  #remote: HybridCache | null
  readonly #local: HybridCache | null
  #promptTokens = 0
  #hitTokens = 0
  #references = 0
  #hitBlocks = 0
  #transfersOutside = 0
  /** Of pools that are gone. */
  #evictionsBefore = 0

  /** Throws INVALID_REQUEST when requests have no block ids. */
  constructor(options: CacheOptions, traffic: Traffic) {
    if (traffic.blockIds === null) {
      throw new MembraneError(
        'INVALID_REQUEST',
        'A prefix cache needs requests with block ids, found requests without.',
        {
          remedy: 'Replay a trace with block ids (hash_ids), or let agents make the requests.',
        },
      )
    }
    this.#options = options
    this.#traffic = traffic
    this.#local = openCache(options, options.localBlocks)
    this.#remote = this.isShared ? this.#local : openCache(options, options.remoteBlocks)
  }

  get isCopiedAcross(): boolean {
    return this.#options.isCopiedAcross
  }

  /** One pool for both clusters: what one holds, the other does. */
  get isShared(): boolean {
    return this.#options.scope === 'shared'
  }

  /** l_prfaas or l_pd: the leading tokens of a job's prompt that a cluster holds. */
  cachedTokens(jobs: JobTable, job: number, isRemote: boolean): number {
    const cache = isRemote ? this.#remote : this.#local
    const { blockIds, blockTokens } = this.#traffic
    if (cache === null || blockIds === null) return 0
    const blocks = cache.matchBlocks(blockIds, jobs.blockStart[job] ?? 0, jobs.blockEnd[job] ?? 0)
    return Math.min(blocks * blockTokens, jobs.promptTokens[job] ?? 0)
  }

  /** A request is routed, with so many of its tokens taken from a cache. */
  routed(jobs: JobTable, job: number, hitTokens: number): void {
    this.#promptTokens += jobs.promptTokens[job] ?? 0
    this.#hitTokens += hitTokens
    this.#references += (jobs.blockEnd[job] ?? 0) - (jobs.blockStart[job] ?? 0)
    this.#hitBlocks += Math.ceil(hitTokens / this.#traffic.blockTokens)
    if (this.isShared) this.#admit(this.#local, jobs, job)
  }

  /** The KV of a prompt is complete in a cluster. */
  prefilled(jobs: JobTable, job: number, isRemote: boolean): void {
    if (this.isShared) return
    this.#admit(isRemote ? this.#remote : this.#local, jobs, job)
    if (this.#remote === null || jobs.isRemote[job] === 0) return
    // On its way out, KV takes room in the remote pool until it is complete where it is decoded.
    if (isRemote) this.#holdTransfer(this.#remote, jobs, job)
    else this.abandonTransfer(jobs, job)
  }

  /** KV that is complete where it is decoded, or will never be, takes no room in the remote pool. */
  abandonTransfer(jobs: JobTable, job: number): void {
    this.#remote?.releaseTransfer(jobs.transferBlocks[job] ?? 0)
    jobs.transferBlocks[job] = 0
  }

  /** A prefix has been copied to a cluster. */
  copied(jobs: JobTable, job: number, isRemote: boolean): void {
    this.#admit(isRemote ? this.#remote : this.#local, jobs, job)
  }

  /** The remote cluster is gone with all that its pool held; it comes back with an empty one. */
  remoteLost(jobs: JobTable): void {
    if (this.isShared) return
    this.#evictionsBefore += evictionsOf(this.#remote)
    this.#remote = openCache(this.#options, this.#options.remoteBlocks)
    jobs.transferBlocks.fill(0)
  }

  data(): CacheData {
    return {
      promptTokens: this.#promptTokens,
      hitTokens: this.#hitTokens,
      references: this.#references,
      hitBlocks: this.#hitBlocks,
      evictions: this.#evictionsBefore + evictionsOf(this.#local) + (this.isShared ? 0 : evictionsOf(this.#remote)),
      transfersOutside: this.#transfersOutside,
    }
  }

  #admit(cache: HybridCache | null, jobs: JobTable, job: number): void {
    const { blockIds } = this.#traffic
    if (cache === null || blockIds === null) return
    const [start, end] = [jobs.blockStart[job] ?? 0, jobs.blockEnd[job] ?? 0]
    // Only states ask what was matched.
    if (this.#options.stateBlocks === 0) cache.admit(blockIds, start, end, 0)
    else cache.admit(blockIds, start, end)
  }

  #holdTransfer(cache: HybridCache, jobs: JobTable, job: number): void {
    const blocks = Math.ceil((jobs.uncachedTokens[job] ?? 0) / this.#traffic.blockTokens) + this.#options.stateBlocks
    const isInside = cache.reserveTransfer(blocks)
    jobs.transferBlocks[job] = isInside ? blocks : 0
    if (!isInside) this.#transfersOutside += 1
  }
}

function openCache(options: CacheOptions, capacityBlocks: number): HybridCache | null {
  return capacityBlocks === 0 ? null : new HybridCache({ ...options, capacityBlocks })
}

function evictionsOf(cache: HybridCache | null): number {
  return cache === null ? 0 : cache.blockEvictions + cache.stateEvictions
}
