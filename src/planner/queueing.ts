/** Queueing in closed form. Rates per second, times in seconds, `load` is a = lambda E[S] in erlangs. */

/** Probability that all `servers` of a loss system are busy: Erlang B, by its stable recursion. Insensitive to the service distribution. */
export function erlangB(servers: number, load: number): number {
  let blocking = 1
  for (let k = 1; k <= servers; k++) blocking = (load * blocking) / (k + load * blocking)
  return blocking
}

/** Probability that an arrival waits in M/M/c: Erlang C. 1 when the load is not below the number of servers. */
export function erlangC(servers: number, load: number): number {
  if (load >= servers) return 1
  const blocking = erlangB(servers, load)
  const rho = load / servers
  return blocking / (1 - rho + rho * blocking)
}

/** Probability that M/M/1 with room for `insideMax` jobs, the one in service included, turns an arrival away. */
export function mm1Blocking(rho: number, insideMax: number): number {
  return rho === 1 ? 1 / (insideMax + 1) : ((1 - rho) * rho ** insideMax) / (1 - rho ** (insideMax + 1))
}

/** Mean wait in M/G/1, Pollaczek-Khinchine. Infinite at or above saturation. */
export function mg1WaitSeconds(options: {
  readonly rateRps: number
  readonly meanSeconds: number
  readonly secondMoment: number
}): number {
  const rho = options.rateRps * options.meanSeconds
  return rho >= 1 ? Number.POSITIVE_INFINITY : (options.rateRps * options.secondMoment) / (2 * (1 - rho))
}

/** A queue: servers, arrivals and service times. */
export interface QueueInput {
  readonly servers: number
  readonly rateRps: number
  /** E[S]. */
  readonly meanSeconds: number
  /** E[S^2]. */
  readonly secondMoment: number
  /** Squared coefficient of variation of the inter-arrival times, above 0; 1 is Poisson. */
  readonly burstiness: number
}

/** A wait with an atom at zero and an exponential tail: P(W > x) = probability exp(-decayPerSecond x). */
export interface Wait {
  readonly probability: number
  readonly decayPerSecond: number
}

/**
 * G/G/c: M/M/c by Erlang C, with two corrections that leave it and GI/M/1 exact. Bursty arrivals wait more often and
 * for longer: the load that an arrival meets is the root sigma of gamma arrivals (the load itself for Poisson ones).
 * Services scale the wait by (ca2 + scv) / (ca2 + 1), as Allen and Cunneen do. Null at or above saturation.
 * ASSUMPTION: queue-waits.
 */
export function allenCunneen({ servers, rateRps, meanSeconds, secondMoment, burstiness }: QueueInput): Wait | null {
  const load = rateRps * meanSeconds
  if (load >= servers) return null
  const squaredVariation = Math.max(0, secondMoment / (meanSeconds * meanSeconds) - 1)
  const sigma = metLoad(load / servers, burstiness)
  return {
    probability: erlangC(servers, servers * sigma),
    decayPerSecond: ((servers * (1 - sigma)) / meanSeconds) * ((burstiness + 1) / (burstiness + squaredVariation)),
  }
}

/**
 * The load that arrivals meet: the chance that one waits in GI/M/1 with gamma gaps. The root in (0, 1) of
 * sigma = (1 + ca2 (1 - sigma) / rho)^(-1 / ca2), by bisection.
 */
export function metLoad(rho: number, burstiness: number): number {
  if (burstiness === 1 || rho <= 0) return rho
  let [low, high] = [0, 1 - 1e-12]
  while (high - low > 1e-12) {
    const middle = (low + high) / 2
    if ((1 + (burstiness * (1 - middle)) / rho) ** (-1 / burstiness) > middle) low = middle
    else high = middle
  }
  return (low + high) / 2
}

/** E[W] of a wait, seconds. */
export function meanWaitSeconds(wait: Wait): number {
  return wait.probability / wait.decayPerSecond
}

/** P(W > seconds); certain below zero. */
export function waitTail(wait: Wait, seconds: number): number {
  if (seconds < 0) return 1
  return seconds === 0 ? wait.probability : wait.probability * Math.exp(-wait.decayPerSecond * seconds)
}
