import type { Handoff } from './sim-handoff.ts'
import type { JobTable } from './sim-jobs.ts'
import type { LocalInstances } from './sim-local.ts'
import type { PoolName } from './sim-options.ts'
import type { ServerPool } from './sim-pool.ts'
import type { SimulationRecord, StageRecord } from './sim-record.ts'

/** What of a simulation can be lost, and what has to know. */
export interface LossHost {
  readonly jobs: JobTable
  readonly record: SimulationRecord
  readonly remote: ServerPool
  readonly remoteServers: number
  readonly locals: LocalInstances
  /** The event source of a local instance's prefill server. */
  readonly firstLocalSource: number
  readonly handoff: Handoff
  /** What decode reads of a job's prompt. */
  contextTokens(job: number): number
  /** The whole remote cluster is gone. */
  remoteLost(): void
  /** What a job was at is lost: it starts again. */
  reroute(job: number): void
}

/** ASSUMPTION: lost-work. Instances of a pool are gone with all that they were at: unfinished prefills, sequences, transfers of a whole cluster. */
export class Losses {
  readonly #host: LossHost
  /** Remote servers that are lost. */
  readonly #remoteLost: number[] = []

  constructor(host: LossHost) {
    this.#host = host
  }

  lose(pool: PoolName, instances: number, nowSeconds: number): void {
    const orphans =
      pool === 'remotePrefill' ? this.#loseRemote(instances, nowSeconds) : this.#loseLocal(pool, instances, nowSeconds)
    for (const job of orphans) {
      this.#host.record.repeated += 1
      this.#host.reroute(job)
    }
  }

  /** Instances that were lost are back, with nothing to do yet. */
  restore(pool: PoolName, instances: number, nowSeconds: number): void {
    const { remote, locals } = this.#host
    if (pool === 'remotePrefill')
      for (const server of this.#remoteLost.splice(0, instances)) remote.openServer(server, nowSeconds)
    else for (const k of locals.ofRole(pool, true, instances)) locals.restore(k, nowSeconds)
  }

  #loseRemote(instances: number, nowSeconds: number): number[] {
    const { remote, remoteServers, record, handoff } = this.#host
    const orphans: number[] = []
    let left = instances
    for (let server = 0; server < remoteServers && left > 0; server++) {
      if (this.#remoteLost.includes(server)) continue
      left -= 1
      this.#remoteLost.push(server)
      this.#orphanPrefill(remote.lose(server, nowSeconds), orphans, record.remotePrefill, nowSeconds)
    }
    if (remote.openServers === 0) {
      this.#host.remoteLost()
      handoff.breakTransfers(orphans, nowSeconds)
    }
    return orphans
  }

  #loseLocal(role: 'localPrefill' | 'decode', instances: number, nowSeconds: number): number[] {
    const { locals, firstLocalSource, record, handoff } = this.#host
    const orphans: number[] = []
    for (const k of locals.ofRole(role, false, instances)) {
      handoff.staging.dropServer(firstLocalSource + k)
      this.#orphanPrefill(locals.lose(k, nowSeconds), orphans, record.localPrefill, nowSeconds)
      this.#orphanSequences(k, orphans, nowSeconds)
    }
    return orphans
  }

  /** What was not served of a prefill was not service. */
  #orphanPrefill(job: number, orphans: number[], stage: StageRecord, nowSeconds: number): void {
    if (job < 0) return
    const { jobs, handoff } = this.#host
    const servedSeconds = nowSeconds - (jobs.prefillStartSeconds[job] ?? 0)
    stage.serviceSecondsSum -= (jobs.prefillSeconds[job] ?? 0) - servedSeconds
    handoff.breakPrefill(job, nowSeconds)
    orphans.push(job)
  }

  #orphanSequences(k: number, orphans: number[], nowSeconds: number): void {
    const { jobs, record, locals } = this.#host
    const instance = locals.decoders[k]
    if (instance === undefined) return
    while (instance.batch > 0) {
      const job = instance.nextToLeave()
      const before = jobs.tokensDone[job] ?? 0
      const promptTokens = this.#host.contextTokens(job) + before
      const left = (jobs.outputTokens[job] ?? 0) - before
      // The last token is never done: with it the request would have left.
      const done = Math.min(left - 1, instance.breakOff(promptTokens, left, nowSeconds))
      record.decodeSecondsSum += nowSeconds - (jobs.joinSeconds[job] ?? 0)
      if (before === 0 && done > 0) record.keepFirst(jobs, job)
      jobs.tokensDone[job] = before + done
      orphans.push(job)
    }
  }
}
