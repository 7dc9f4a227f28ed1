import { exponential, type Random, seededRandom } from '../core/random.ts'
import { arrivalGaps } from './arrivals.ts'
import { erlangB, erlangC, mg1WaitSeconds } from './queueing.ts'
import { EventSchedule } from './event-schedule.ts'
import { SharedLink } from './sim-link.ts'
import { ServerPool } from './sim-pool.ts'

/** A quantity that theory gives exactly, beside the simulator's own stations. */
export interface ValidationRow {
  readonly system: string
  readonly load: number
  readonly quantity: string
  readonly theory: number
  readonly simulated: number
  readonly standardError: number
  /** (simulated - theory) / standardError. */
  readonly z: number
}

export interface ValidationOptions {
  readonly seed: number
  /** Arrivals of each run. The error falls with their square root, and grows with 1 / (1 - load). */
  readonly arrivals: number
}

/** Every unit of load is per server and every mean service is one second, so that waits read as multiples of it. */
interface System {
  readonly name: string
  readonly loads: readonly number[]
  run(load: number, options: ValidationOptions): readonly Measured[]
}

interface Measured {
  readonly quantity: string
  readonly theory: number
  /** Means of consecutive batches. */
  readonly batches: Float64Array
}

const LOADS = [0.5, 0.7, 0.8, 0.9, 0.95]
const BATCHES = 40

/** One row for every system, load and quantity. */
export function validationRows(options: ValidationOptions): ValidationRow[] {
  return SYSTEMS.flatMap((system) =>
    system.loads.flatMap((load) => system.run(load, options).map((measured) => rowOf(system.name, load, measured))),
  )
}

function rowOf(system: string, load: number, { quantity, theory, batches }: Measured): ValidationRow {
  const simulated = batches.reduce((sum, value) => sum + value, 0) / batches.length
  const variance = batches.reduce((sum, value) => sum + (value - simulated) ** 2, 0) / (batches.length - 1)
  const standardError = Math.sqrt(variance / batches.length)
  return { system, load, quantity, theory, simulated, standardError, z: (simulated - theory) / standardError }
}

type Service = (random: Random) => number

const SERVICES = {
  M: exponential,
  D: () => 1,
  E4: (random) => (exponential(random) + exponential(random) + exponential(random) + exponential(random)) / 4,
  /** Nine in ten short, one in ten long: squared variation 4.92. */
  H2: (random) => (random() < 0.9 ? 0.5 : 5.5) * exponential(random),
} as const satisfies Record<string, Service>

/** E[S^2] with E[S] = 1. */
const SECOND_MOMENTS = { M: 2, D: 1, E4: 1.25, H2: 0.9 * 2 * 0.25 + 0.1 * 2 * 30.25 } as const

const SYSTEMS: readonly System[] = [
  {
    name: 'M/M/1',
    loads: LOADS,
    run: (load, options) =>
      fcfs({ servers: 1, load, service: SERVICES.M }, options, (waits) => [
        { quantity: 'mean wait (s)', theory: load / (1 - load), batches: waits.wait },
        { quantity: 'P(sojourn > its theoretical P90)', theory: 0.1, batches: waits.late(Math.LN10 / (1 - load)) },
      ]),
  },
  ...([2, 4, 8] as const).map(
    (servers): System => ({
      name: `M/M/${servers}`,
      loads: LOADS,
      run: (load, options) =>
        fcfs({ servers, load, service: SERVICES.M }, options, (waits) => [
          {
            quantity: 'mean wait (s)',
            theory: erlangC(servers, load * servers) / (servers * (1 - load)),
            batches: waits.wait,
          },
          { quantity: 'P(wait)', theory: erlangC(servers, load * servers), batches: waits.waited },
        ]),
    }),
  ),
  ...(['D', 'E4', 'H2'] as const).map(
    (kind): System => ({
      name: `M/${kind}/1`,
      loads: LOADS,
      run: (load, options) =>
        fcfs({ servers: 1, load, service: SERVICES[kind] }, options, (waits) => [
          {
            quantity: 'mean wait (s), Pollaczek-Khinchine',
            theory: mg1WaitSeconds({ rateRps: load, meanSeconds: 1, secondMoment: SECOND_MOMENTS[kind] }),
            batches: waits.wait,
          },
        ]),
    }),
  ),
  ...([0.5, 4] as const).map(
    (burstiness): System => ({
      name: `GI/M/1, gamma arrivals, ca2 = ${burstiness}`,
      loads: LOADS,
      run: (load, options) =>
        fcfs({ servers: 1, load, service: SERVICES.M, burstiness }, options, (waits) => [
          { quantity: 'mean wait (s)', theory: giM1Wait(load, burstiness), batches: waits.wait },
        ]),
    }),
  ),
  { name: 'M/M/1 -> M/M/1 (Burke)', loads: LOADS, run: tandem },
  ...(['M', 'H2'] as const).map(
    (kind): System => ({
      name: `M/${kind}/1, processor sharing`,
      loads: LOADS,
      run: (load, options) => sharing(load, SERVICES[kind], options),
    }),
  ),
  { name: 'M/H2/4/4, loss', loads: LOADS, run: loss },
  { name: 'M/H2/infinity', loads: [0.5, 0.9], run: unlimited },
]

interface Queue {
  readonly servers: number
  readonly load: number
  readonly service: Service
  readonly burstiness?: number
}

interface Waits {
  readonly wait: Float64Array
  readonly waited: Float64Array
  late(sojournSeconds: number): Float64Array
}

/** A first-come-first-served pool; what a job saw falls into the batch of its arrival number. */
function fcfs(
  queue: Queue,
  options: ValidationOptions,
  read: (waits: Waits) => readonly Measured[],
): readonly Measured[] {
  const { servers, load, service, burstiness = 1 } = queue
  const { random, gap } = streams({ rate: load * servers, burstiness }, options.seed)
  const schedule = new EventSchedule(1 + servers)
  const pool = new ServerPool({ schedule, firstSource: 1, servers })
  const waits = new Float64Array(options.arrivals)
  const sojourns = new Float64Array(options.arrivals)
  const arrivedAt = new Float64Array(options.arrivals)
  const start = (job: number, now: number): void => {
    const seconds = service(random)
    waits[job] = now - (arrivedAt[job] ?? 0)
    sojourns[job] = (waits[job] ?? 0) + seconds
    pool.start(job, seconds, now)
  }
  drive(schedule, options.arrivals, gap, {
    arrive: (job, now) => {
      arrivedAt[job] = now
      if (pool.arrive(job, now)) start(job, now)
    },
    fire: (source, now) => {
      pool.finish(source, now)
      const next = pool.nextWaiting()
      if (next >= 0) start(next, now)
    },
  })
  return read({
    wait: batchMeans(waits, (value) => value),
    waited: batchMeans(waits, (value) => (value > 0 ? 1 : 0)),
    late: (bound) => batchMeans(sojourns, (value) => (value > bound ? 1 : 0)),
  })
}

/** Two single servers in a row: by Burke's theorem the second sees Poisson arrivals too. */
function tandem(load: number, options: ValidationOptions): readonly Measured[] {
  const { random, gap } = streams({ rate: load, burstiness: 1 }, options.seed)
  const schedule = new EventSchedule(3)
  const pools = [1, 2].map((firstSource) => new ServerPool({ schedule, firstSource, servers: 1 }))
  const [first, second] = pools
  if (first === undefined || second === undefined) throw new Error('Bug: a tandem has two pools')
  const enteredAt = new Float64Array(options.arrivals)
  const waits = new Float64Array(options.arrivals)
  const enter = (pool: ServerPool, job: number, now: number): void => {
    enteredAt[job] = now
    if (pool.arrive(job, now)) start(pool, job, now)
  }
  const start = (pool: ServerPool, job: number, now: number): void => {
    if (pool === second) waits[job] = now - (enteredAt[job] ?? 0)
    pool.start(job, exponential(random), now)
  }
  drive(schedule, options.arrivals, gap, {
    arrive: (job, now) => {
      enter(first, job, now)
    },
    fire: (source, now) => {
      const pool = source === 1 ? first : second
      const job = pool.finish(source, now)
      const next = pool.nextWaiting()
      if (next >= 0) start(pool, next, now)
      if (pool === first) enter(second, job, now)
    },
  })
  return [
    {
      quantity: 'mean wait at the second server (s)',
      theory: load / (1 - load),
      batches: batchMeans(waits, (value) => value),
    },
  ]
}

/** The shared link: the mean sojourn does not depend on the shape of the sizes. */
function sharing(load: number, service: Service, options: ValidationOptions): readonly Measured[] {
  const { random, gap } = streams({ rate: load, burstiness: 1 }, options.seed)
  const schedule = new EventSchedule(2)
  const link = new SharedLink({ schedule, source: 1, bytesPerSecond: 1 })
  const arrivedAt = new Float64Array(options.arrivals)
  const sojourns = new Float64Array(options.arrivals)
  drive(schedule, options.arrivals, gap, {
    arrive: (job, now) => {
      arrivedAt[job] = now
      link.start(job, service(random), now)
    },
    fire: (_, now) => {
      const job = link.finish(now)
      sojourns[job] = now - (arrivedAt[job] ?? 0)
    },
  })
  return [{ quantity: 'mean transfer (s)', theory: 1 / (1 - load), batches: batchMeans(sojourns, (value) => value) }]
}

/** No queue: who finds all servers busy is turned away. Insensitive to the service distribution. */
function loss(load: number, options: ValidationOptions): readonly Measured[] {
  const servers = 4
  const { random, gap } = streams({ rate: load * servers, burstiness: 1 }, options.seed)
  const schedule = new EventSchedule(1 + servers)
  const pool = new ServerPool({ schedule, firstSource: 1, servers })
  const lost = new Float64Array(options.arrivals)
  drive(schedule, options.arrivals, gap, {
    arrive: (job, now) => {
      if (pool.busy.value === servers) lost[job] = 1
      else if (pool.arrive(job, now)) pool.start(job, SERVICES.H2(random), now)
    },
    fire: (source, now) => {
      pool.finish(source, now)
    },
  })
  return [
    {
      quantity: 'share lost, Erlang B',
      theory: erlangB(servers, load * servers),
      batches: batchMeans(lost, (value) => value),
    },
  ]
}

/** More servers than are ever asked for: the number in service is Poisson with the offered load as its mean. */
function unlimited(load: number, options: ValidationOptions): readonly Measured[] {
  const servers = 256
  const offered = load * 100
  const { random, gap } = streams({ rate: offered, burstiness: 1 }, options.seed)
  const schedule = new EventSchedule(1 + servers)
  const pool = new ServerPool({ schedule, firstSource: 1, servers })
  const seen = new Float64Array(options.arrivals)
  drive(schedule, options.arrivals, gap, {
    // Poisson arrivals see time averages (PASTA).
    arrive: (job, now) => {
      seen[job] = pool.busy.value
      if (pool.arrive(job, now)) pool.start(job, SERVICES.H2(random), now)
    },
    fire: (source, now) => {
      pool.finish(source, now)
    },
  })
  return [{ quantity: 'mean number in service', theory: offered, batches: batchMeans(seen, (value) => value) }]
}

/** E[W] = sigma / (1 - sigma) with sigma = A*(1 - sigma) the root in (0, 1), A* the transform of gamma gaps of mean 1 / load. */
function giM1Wait(load: number, burstiness: number): number {
  const shape = 1 / burstiness
  let sigma = 0.5
  for (let step = 0; step < 10_000; step++) sigma = (1 + (burstiness * (1 - sigma)) / load) ** -shape
  return sigma / (1 - sigma)
}

function streams(
  { rate, burstiness }: { readonly rate: number; readonly burstiness: number },
  seed: number,
): { readonly random: Random; readonly gap: () => number } {
  const kind = burstiness === 1 ? 'poisson' : 'gamma'
  return {
    random: seededRandom(seed),
    gap: arrivalGaps({ kind, rateRps: rate, burstiness }, seededRandom(seed + 0x5eed)),
  }
}

interface Handlers {
  readonly arrive: (job: number, nowSeconds: number) => void
  readonly fire: (source: number, nowSeconds: number) => void
}

function drive(schedule: EventSchedule, arrivals: number, gap: () => number, { arrive, fire }: Handlers): void {
  let arrived = 0
  schedule.set(0, gap())
  for (let source = schedule.nextSource(); source >= 0; source = schedule.nextSource()) {
    const now = schedule.nextSeconds()
    if (source !== 0) {
      fire(source, now)
      continue
    }
    arrive(arrived, now)
    arrived += 1
    schedule.set(0, arrived < arrivals ? now + gap() : Number.POSITIVE_INFINITY)
  }
}

/** The first batch fills the empty system and is left out. */
function batchMeans(values: Float64Array, of: (value: number) => number): Float64Array {
  const size = Math.floor(values.length / (BATCHES + 1))
  return Float64Array.from({ length: BATCHES }, (_, batch) => {
    let sum = 0
    for (let k = (batch + 1) * size; k < (batch + 2) * size; k++) sum += of(values[k] ?? 0)
    return sum / size
  })
}
