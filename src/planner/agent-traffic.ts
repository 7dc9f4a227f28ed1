import { MembraneError } from '../core/errors.ts'
import { LIMITS } from '../core/limits.ts'
import { exponential, seededRandom } from '../core/random.ts'
import { type ArrivalOptions, arrivalGaps } from './arrivals.ts'
import { KeyHeap } from './key-heap.ts'
import { type RateCurve, RateClock } from './rate-curve.ts'
import { ARRIVAL_SEED, type Traffic, TrafficHead } from './sim-traffic.ts'

/** Sessions of agents: each turn sends the whole conversation so far, and what a tool or a user added. */
export interface AgentWorkload {
  readonly kind: 'agents'
  /** Tokens that all sessions begin with. */
  readonly systemTokens: number
  /** Mean tokens that a session's first turn, and each later one, adds: exponential. */
  readonly firstTokens: number
  readonly turnTokens: number
  /** Mean tokens of an answer, which becomes part of the next prompt: exponential. */
  readonly outputTokens: number
  /** Mean turns of a session, geometric, from 1 to `LIMITS.agentTurnsMax`. */
  readonly turnsMean: number
  /** Mean time between the turns of a session: exponential. */
  readonly turnGapSeconds: number
  readonly blockTokens: number
  /** A session ends before its prompt is longer than this; above `systemTokens`, at most `LIMITS.agentPromptBlocksMax` blocks. */
  readonly promptTokensMax: number
}

export interface AgentTrafficOptions {
  /** Mean requests per second of all sessions together. */
  readonly rateRps: number
  readonly requests: number
  readonly seed: number
  /** Gaps between the beginnings of sessions; Poisson by default. */
  readonly arrivals?: Omit<ArrivalOptions, 'rateRps'> | undefined
  /** How the rate of beginning sessions changes over time; constant by default. */
  readonly curve?: RateCurve | null | undefined
}

/** What is left of the workload's prompts when every block seen before is cached: what the planner plans with. */
export function agentLengths(
  workload: AgentWorkload,
  options: AgentTrafficOptions,
): { readonly uncachedTokens: Float64Array; readonly promptTokensMean: number; readonly outputTokensMean: number } {
  const traffic = agentTraffic(workload, options)
  const { head } = traffic
  /** Blocks of each session's latest prompt, by where its ids begin: a session's prompts only grow. */
  const sessionBlocks = new Map<number, number>()
  const uncachedTokens = new Float64Array(options.requests)
  let [systemBlocks, promptTokens, outputTokens] = [0, 0, 0]
  for (let k = 0; traffic.next(); k++) {
    const hitBlocks = sessionBlocks.get(head.blockStart) ?? systemBlocks
    uncachedTokens[k] = Math.max(1, head.promptTokens - hitBlocks * workload.blockTokens)
    sessionBlocks.set(head.blockStart, head.blockEnd - head.blockStart)
    // Every prompt is longer than the system's: after the first, all of that is cached.
    systemBlocks = Math.floor(workload.systemTokens / workload.blockTokens)
    promptTokens += head.promptTokens
    outputTokens += head.outputTokens
  }
  return {
    uncachedTokens,
    promptTokensMean: promptTokens / options.requests,
    outputTokensMean: outputTokens / options.requests,
  }
}

const SESSIONS_DRAWN = 4000
/** Bounds the work for long sessions, a tenth of a second; the mean of 400 sessions is still good to 5 %. */
const TURNS_DRAWN_MAX = 4_000_000

/** Mean turns of a session as they come out: those that would outgrow the longest prompt end before. Drawn, because there is no closed form. */
function turnsOfSessions({
  systemTokens,
  firstTokens,
  turnTokens,
  outputTokens,
  turnsMean,
  promptTokensMax,
}: AgentWorkload): number {
  const random = seededRandom(0)
  let [turns, sessions] = [0, 0]
  for (; sessions < SESSIONS_DRAWN && turns < TURNS_DRAWN_MAX; sessions++) {
    let promptTokens = systemTokens + exponential(random) * firstTokens
    do {
      turns += 1
      promptTokens += exponential(random) * outputTokens + exponential(random) * turnTokens
    } while (random() >= 1 / turnsMean && promptTokens <= promptTokensMax)
  }
  return turns / sessions
}

function checkWorkload({ systemTokens, turnsMean, blockTokens, promptTokensMax }: AgentWorkload): void {
  const { agentPromptBlocksMax, agentTurnsMax } = LIMITS
  const fail = (message: string, remedy: string): never => {
    throw new MembraneError('INVALID_CONFIG', message, { remedy })
  }
  if (!(systemTokens < promptTokensMax)) {
    fail(
      `The agents' systemTokens must be below their promptTokensMax, found ${systemTokens} and ${promptTokensMax}.`,
      'Give a larger promptTokensMax: every prompt begins with the system tokens and adds to them.',
    )
  }
  if (!(turnsMean >= 1 && turnsMean <= agentTurnsMax)) {
    fail(
      `The agents' turnsMean must be from 1 to ${agentTurnsMax}, found ${turnsMean}.`,
      'Give the turns of one session.',
    )
  }
  if (Math.ceil(promptTokensMax / blockTokens) > agentPromptBlocksMax) {
    fail(
      `The agents' longest prompt must have at most ${agentPromptBlocksMax} blocks, found promptTokensMax ${promptTokensMax} and blockTokens ${blockTokens}.`,
      'Give larger blockTokens, or a smaller promptTokensMax.',
    )
  }
}

/** Block ids of all sessions grow by this many at first; then the array doubles. */
const FIRST_IDS = 65_536

/**
 * Requests of agents' sessions, in order of time. Gaps and curve are those of the sessions' beginnings; their later turns
 * follow when the agents are ready. Throws INVALID_CONFIG, or INVALID_REQUEST for gaps that cannot be drawn.
 */
export function agentTraffic(workload: AgentWorkload, options: AgentTrafficOptions): Traffic {
  checkWorkload(workload)
  const { rateRps, requests, seed } = options
  const random = seededRandom(seed)
  const arrivalRandom = seededRandom(seed + ARRIVAL_SEED)
  const { blockTokens, turnsMean } = workload
  const systemBlocks = Math.floor(workload.systemTokens / blockTokens)
  const blocksMax = Math.ceil(workload.promptTokensMax / blockTokens)
  const sessions = { promptTokens: new Map<number, number>(), start: new Map<number, number>() }
  const due = new KeyHeap()
  const head = new TrafficHead()
  let ids = new Int32Array(FIRST_IDS)
  let idsUsed = 0
  let nextId = systemBlocks
  let nextSession = 0
  let sent = 0
  const { kind, burstiness } = options.arrivals ?? { kind: 'poisson', burstiness: 1 }
  const gap = arrivalGaps({ kind, burstiness, rateRps: rateRps / turnsOfSessions(workload) }, arrivalRandom)
  const clock = options.curve === undefined || options.curve === null ? null : new RateClock(options.curve)
  const sessionAfter = (seconds: number): number => (clock === null ? seconds + gap() : clock.advance(gap()))
  let nextSessionSeconds = sessionAfter(0)
  const drawn = (mean: number): number => Math.max(1, Math.round(exponential(random) * mean))

  /** A session has a span of ids of its own: the system's blocks, then ids that nobody else has. */
  const openSession = (): number => {
    const session = nextSession
    nextSession += 1
    if (idsUsed + blocksMax > LIMITS.traceBlockIdsMax) {
      throw new MembraneError(
        'LIMIT_REACHED',
        `The agents' sessions have more than ${LIMITS.traceBlockIdsMax} prefix blocks, the most that is kept.`,
        { remedy: 'Simulate fewer requests in one run, or larger blocks.' },
      )
    }
    while (idsUsed + blocksMax > ids.length) {
      const larger = new Int32Array(2 * ids.length)
      larger.set(ids)
      ids = larger
    }
    for (let k = 0; k < blocksMax; k++) ids[idsUsed + k] = k < systemBlocks ? k : nextId + k - systemBlocks
    nextId += blocksMax - systemBlocks
    sessions.start.set(session, idsUsed)
    sessions.promptTokens.set(session, workload.systemTokens + drawn(workload.firstTokens))
    idsUsed += blocksMax
    return session
  }

  const traffic = {
    requests,
    head,
    blockTokens,
    get blockIds(): Int32Array {
      return ids
    },
    next: (): boolean => {
      if (sent === requests) return false
      sent += 1
      let session = due.minValue()
      if (due.minKey() < nextSessionSeconds) {
        head.atSeconds = due.minKey()
        due.pop()
      } else {
        head.atSeconds = nextSessionSeconds
        nextSessionSeconds = sessionAfter(nextSessionSeconds)
        session = openSession()
      }
      const promptTokens = Math.min(sessions.promptTokens.get(session) ?? 1, workload.promptTokensMax)
      const start = sessions.start.get(session) ?? 0
      head.promptTokens = promptTokens
      head.outputTokens = drawn(workload.outputTokens)
      head.blockStart = start
      head.blockEnd = start + Math.floor(promptTokens / blockTokens)
      const grown = promptTokens + head.outputTokens + drawn(workload.turnTokens)
      if (random() < 1 / turnsMean || grown > workload.promptTokensMax) {
        sessions.promptTokens.delete(session)
        sessions.start.delete(session)
      } else {
        sessions.promptTokens.set(session, grown)
        due.push(head.atSeconds + exponential(arrivalRandom) * workload.turnGapSeconds, session)
      }
      return true
    },
  }
  return traffic
}
