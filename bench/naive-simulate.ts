/**
 * The simulator that one writes first: an object for each event in a heap, an object for each request, arrays as queues,
 * every latency kept and sorted at the end. The same system as the planner's: routing by a threshold, two pools that
 * serve first come first, a link that its transfers share, continuous batching that ends requests at step boundaries.
 */
import type { Scenario } from '../src/planner/scenario.ts'
import type { Roles } from '../src/planner/split.ts'
import type { Traffic } from '../src/planner/sim-traffic.ts'
import { EventQueue } from './naive-events.ts'

/** `jump`: where a step always takes as long, the end of a sequence is known when it joins. `step`: an event a step. */
export type NaiveDecode = 'jump' | 'step'

export interface NaiveOptions {
  readonly roles: Roles
  readonly thresholdTokens: number
  readonly decode: NaiveDecode
}

export interface NaiveResult {
  readonly ttftSecondsMean: number
  readonly ttftSecondsP90: number
  readonly tpotSecondsMean: number
  readonly e2eSecondsMean: number
}

interface Request {
  readonly number: number
  readonly arrivedSeconds: number
  readonly promptTokens: number
  readonly outputTokens: number
  kvReadySeconds: number
  firstTokenSeconds: number
  tokensLeft: number
}

interface Instance {
  running: Request[]
  /** Those that begin at the next step boundary. */
  joining: Request[]
  startedSeconds: number
}

/** Latencies leave the first requests out, as the planner's do. */
const WARM_UP = 0.02

export function simulateNaively(scenario: Scenario, traffic: Traffic, options: NaiveOptions): NaiveResult {
  const { remote, local, link, decode, decodeBatch } = scenario
  const events = new EventQueue()
  const ttft: number[] = []
  const tpot: number[] = []
  const e2e: number[] = []
  let arrived = 0

  function arrive(): void {
    const { promptTokens, outputTokens } = traffic.head
    const arrivedSeconds = events.nowSeconds
    const request = { number: arrived++, arrivedSeconds, promptTokens, outputTokens, tokensLeft: outputTokens }
    const isRemote = promptTokens > options.thresholdTokens
    const pool = isRemote ? remotePool : localPool
    pool.enter({ ...request, kvReadySeconds: 0, firstTokenSeconds: 0 })
    if (traffic.next()) events.schedule(traffic.head.atSeconds, arrive)
  }

  function createPool(servers: number, seconds: (tokens: number) => number, done: (request: Request) => void) {
    const queue: Request[] = []
    let idle = servers
    const start = (request: Request): void => {
      idle -= 1
      events.schedule(events.nowSeconds + seconds(request.promptTokens), () => {
        idle += 1
        const next = queue.shift()
        if (next !== undefined) start(next)
        done(request)
      })
    }
    return {
      enter: (request: Request): void => {
        if (idle > 0) start(request)
        else queue.push(request)
      },
    }
  }

  const bytesLeft = new Map<Request, number>()
  let carriedSeconds = 0
  let plan = 0

  function send(request: Request): void {
    carry()
    bytesLeft.set(request, remote.profile.kvBytes.at(request.promptTokens))
    planTransfers()
  }

  /** Takes off what every transfer has been given since the last change. */
  function carry(): void {
    const bytes = ((events.nowSeconds - carriedSeconds) * link.bytesPerSecond) / bytesLeft.size
    for (const [request, left] of bytesLeft) bytesLeft.set(request, left - bytes)
    carriedSeconds = events.nowSeconds
  }

  /** The next transfer to end; an event that was planned before a change does nothing. */
  function planTransfers(): void {
    plan += 1
    const current = plan
    let first: Request | null = null
    for (const [request, left] of bytesLeft) {
      if (first === null || left < (bytesLeft.get(first) ?? 0)) first = request
    }
    const ends = first
    if (ends === null) return
    const seconds = ((bytesLeft.get(ends) ?? 0) * bytesLeft.size) / link.bytesPerSecond
    events.schedule(events.nowSeconds + Math.max(0, seconds), () => {
      if (current !== plan) return
      carry()
      bytesLeft.delete(ends)
      planTransfers()
      kvReady(ends)
    })
  }

  const instances = Array.from(
    { length: options.roles.decode },
    (): Instance => ({ running: [], joining: [], startedSeconds: 0 }),
  )
  const waiting: Request[] = []

  function kvReady(request: Request): void {
    request.kvReadySeconds = events.nowSeconds
    waiting.push(request)
    admit()
  }

  function admit(): void {
    while (waiting.length > 0) {
      const instance = instances.reduce((best, other) => (batchOf(other) < batchOf(best) ? other : best))
      if (batchOf(instance) >= decodeBatch.batch) return
      const request = waiting.shift()
      if (request !== undefined) join(instance, request)
    }
  }

  function join(instance: Instance, request: Request): void {
    const now = events.nowSeconds
    const { fixed } = decode.stepSeconds
    if (options.decode === 'step') {
      instance.joining.push(request)
      if (batchOf(instance) === 1) beginStep(instance)
      return
    }
    if (batchOf(instance) === 0) instance.startedSeconds = now
    instance.running.push(request)
    // The next boundary, unless this is one.
    const steps = Math.ceil(((now - instance.startedSeconds) / fixed) * (1 - 1e-12))
    const begins = instance.startedSeconds + steps * fixed
    request.firstTokenSeconds = begins + fixed
    events.schedule(begins + request.outputTokens * fixed, () => {
      instance.running.splice(instance.running.indexOf(request), 1)
      finish(request)
      admit()
    })
  }

  function beginStep(instance: Instance): void {
    instance.running.push(...instance.joining)
    instance.joining = []
    if (instance.running.length === 0) return
    const { fixed, perSequence, perContextToken } = decode.stepSeconds
    const contextTokens = instance.running.reduce(
      (sum, { promptTokens, outputTokens, tokensLeft }) => sum + promptTokens + outputTokens - tokensLeft,
      0,
    )
    const seconds = fixed + perSequence * instance.running.length + perContextToken * contextTokens
    events.schedule(events.nowSeconds + seconds, () => {
      for (const request of instance.running) {
        if (request.tokensLeft === request.outputTokens) request.firstTokenSeconds = events.nowSeconds
        request.tokensLeft -= 1
        if (request.tokensLeft === 0) finish(request)
      }
      instance.running = instance.running.filter(({ tokensLeft }) => tokensLeft > 0)
      // Who joins an empty instance begins its next step; else it begins with all of them.
      const wasEmpty = batchOf(instance) === 0
      admit()
      if (!wasEmpty) beginStep(instance)
    })
  }

  function finish({ number, arrivedSeconds, kvReadySeconds, firstTokenSeconds, outputTokens }: Request): void {
    if (number < Math.floor(traffic.requests * WARM_UP)) return
    ttft.push(kvReadySeconds - arrivedSeconds)
    e2e.push(events.nowSeconds - arrivedSeconds)
    if (outputTokens > 1) tpot.push((events.nowSeconds - firstTokenSeconds) / (outputTokens - 1))
  }

  const remotePool = createPool(options.roles.remotePrefill, (tokens) => remote.profile.prefillSeconds.at(tokens), send)
  const localPool = createPool(options.roles.localPrefill, (tokens) => local.profile.prefillSeconds.at(tokens), kvReady)
  if (traffic.next()) events.schedule(traffic.head.atSeconds, arrive)
  events.run()
  const [, ttftSecondsP90 = 0] = percentiles(ttft)
  percentiles(tpot)
  percentiles(e2e)
  return { ttftSecondsMean: mean(ttft), ttftSecondsP90, tpotSecondsMean: mean(tpot), e2eSecondsMean: mean(e2e) }
}

function batchOf({ running, joining }: Instance): number {
  return running.length + joining.length
}

function percentiles(values: readonly number[]): number[] {
  const sorted = Float64Array.from(values).sort()
  return [0.5, 0.9, 0.99].map((probability) => sorted[Math.ceil(probability * sorted.length) - 1] ?? 0)
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length
}
