/** Systems of the simulator's prefill pool: what theory says of each, and where the pool says it. */
import { erlangB, erlangC, metLoad, mg1WaitSeconds, mm1Blocking } from './queueing.ts'
import { streams } from './validate-run.ts'
import { EXPONENTIAL, type Service } from './validate-services.ts'
import { ABOUT, type PoolBatches, runPool } from './validate-stations.ts'
import type { Batches } from './validate-statistics.ts'
import { type Costs, LOADS, queueCosts, rareEventCosts, type Row, type System, system } from './validate-system.ts'

interface Pool {
  readonly name: string
  readonly loads?: readonly number[]
  readonly servers?: number
  /** Offered work at load 1; the servers unless said. */
  readonly erlangs?: number
  readonly insideMax?: number
  readonly service?: Service
  readonly burstiness?: number
  readonly costs?: Costs
  readonly longWaitSeconds?: (load: number) => number
  readonly longSojournSeconds?: (load: number) => number
  readonly rows: (load: number) => readonly Row<PoolBatches>[]
}

function pool(parts: Pool): System {
  const { name, loads = LOADS, servers = 1, erlangs = servers, insideMax = Number.POSITIVE_INFINITY } = parts
  const { service = EXPONENTIAL, burstiness = 1, rows } = parts
  const never = () => Number.POSITIVE_INFINITY
  const { longWaitSeconds = never, longSojournSeconds = never } = parts
  return system({
    name,
    loads,
    costs: parts.costs ?? queueCosts(burstiness + service.secondMoment - 1, (load) => load),
    rows,
    run: ({ load, seed, length }) =>
      runPool({
        ...streams(`${name} at ${load}, seed ${seed}`, { rateRps: load * erlangs, burstiness }),
        length,
        servers,
        service,
        insideMax,
        longWaitSeconds: longWaitSeconds(load),
        longSojournSeconds: longSojournSeconds(load),
      }),
  })
}

export const singleServer = pool({
  name: 'M/M/1',
  longSojournSeconds: (load) => Math.LN10 / (1 - load),
  rows: (load) => [
    { quantity: 'mean wait (s)', theory: load / (1 - load), read: (said) => said.waitSeconds },
    {
      quantity: 'P90 of the sojourn (s)',
      theory: Math.LN10 / (1 - load),
      read: (said) => sampleQuantile(said, { share: 0.9, nearSeconds: Math.LN10 / (1 - load) }),
    },
    { quantity: 'mean number inside', theory: load / (1 - load), read: (said) => said.inside },
    seenByArrivals(load, 1),
  ],
})

/**
 * A quantile of the sample in one step: from a place near it, by the share of jobs beyond that place and the density
 * of jobs around it. Linear in what is counted, so that its error is as honest as a mean's.
 */
function sampleQuantile(
  { stayedLong, stayedAbout }: PoolBatches,
  { share, nearSeconds }: { readonly share: number; readonly nearSeconds: number },
): Batches {
  const weights = stayedAbout.sums.map((jobs) => jobs / (2 * ABOUT * nearSeconds))
  const sums = weights.map(
    (density, k) => (stayedLong.sums[k] ?? 0) - (1 - share) * (stayedLong.weights[k] ?? 0) + nearSeconds * density,
  )
  return { sums, weights }
}

/**
 * PASTA: Poisson arrivals see time averages; others see more or less. Area times rate rather than area over time: a
 * batch that was short by chance is also full, so that a mean of its quotients would lean to one side.
 */
function seenByArrivals(rateRps: number, theory: number): Row<PoolBatches> {
  return {
    quantity: 'number inside: seen by arrivals / time average',
    theory,
    read: ({ seen, inside }) => ({ sums: seen.sums, weights: inside.sums.map((area) => rateRps * area) }),
  }
}

export function manyServers(servers: number): System {
  const waiting = (load: number) => erlangC(servers, servers * load)
  return pool({
    name: `M/M/${servers}`,
    servers,
    costs: queueCosts(2, waiting),
    longWaitSeconds: (load) => 1 / (servers * (1 - load)),
    rows: (load) => [
      { quantity: 'P(wait)', theory: waiting(load), read: (said) => said.waited },
      { quantity: 'mean wait (s)', theory: waiting(load) / (servers * (1 - load)), read: (said) => said.waitSeconds },
      { quantity: 'P(wait > 1 / (c - a))', theory: waiting(load) / Math.E, read: (said) => said.waitedLong },
      { quantity: 'mean servers busy', theory: servers * load, read: (said) => said.busy },
    ],
  })
}

export function pollaczekKhinchine(service: Service): System {
  const { secondMoment } = service
  return pool({
    name: `M/${service.name}/1`,
    service,
    rows: (load) => [
      {
        quantity: 'mean wait (s)',
        theory: mg1WaitSeconds({ rateRps: load, meanSeconds: 1, secondMoment }),
        read: (said) => said.waitSeconds,
      },
    ],
  })
}

export function burstyArrivals(burstiness: number): System {
  return pool({
    name: `GI/M/1, gamma gaps of squared variation ${burstiness}`,
    burstiness,
    rows: (load) => {
      const sigma = metLoad(load, burstiness)
      return [
        { quantity: 'P(wait)', theory: sigma, read: (said) => said.waited },
        { quantity: 'mean wait (s)', theory: sigma / (1 - sigma), read: (said) => said.waitSeconds },
        seenByArrivals(load, sigma / load),
      ]
    },
  })
}

/** (1 - load) x mean wait tends to (ca2 + scv) / (2 c). */
export function heavyTraffic(
  parts: Pick<Pool, 'name' | 'servers' | 'burstiness' | 'service'>,
  theory: (load: number) => number,
): System {
  return pool({
    ...parts,
    name: `${parts.name}, heavy traffic`,
    loads: [0.98],
    rows: (load) => [
      {
        quantity: '(1 - load) x mean wait (s)',
        theory: theory(load),
        read: ({ waitSeconds: { sums, weights } }) => ({ sums: sums.map((sum) => (1 - load) * sum), weights }),
      },
    ],
  })
}

export function loss(service: Service): System {
  const servers = 4
  const lost = (load: number): number => erlangB(servers, servers * load)
  return pool({
    name: `M/${service.name}/4/4, loss`,
    servers,
    insideMax: servers,
    service,
    costs: rareEventCosts(lost),
    rows: (load) => [{ quantity: 'share lost, Erlang B', theory: lost(load), read: (said) => said.lost }],
  })
}

/** More servers than are ever asked for: Poisson(2 x load) are inside, whatever the service. */
export function unlimited(service: Service): System {
  const erlangs = 2
  const empty = (load: number): number => Math.exp(-erlangs * load)
  return pool({
    name: `M/${service.name}/infinity, ${erlangs} x load erlangs`,
    servers: 64,
    erlangs,
    service,
    costs: rareEventCosts(empty),
    rows: (load) => [
      { quantity: 'mean number inside', theory: erlangs * load, read: (said) => said.inside },
      { quantity: 'P(arrival finds it empty)', theory: empty(load), read: (said) => said.seenEmpty },
    ],
  })
}

/** Room for four, the one in service included. */
export const finiteRoom = pool({
  name: 'M/M/1/4',
  insideMax: 4,
  costs: rareEventCosts((load) => mm1Blocking(load, 4)),
  rows: (load) => [{ quantity: 'share blocked', theory: mm1Blocking(load, 4), read: (said) => said.lost }],
})
