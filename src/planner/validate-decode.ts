import type { DecodeProfile } from './decode.ts'
import { EventSchedule } from './event-schedule.ts'
import { DecodeInstance } from './sim-decode.ts'
import { AreaTally, drive, Jobs, JobTally, streams } from './validate-run.ts'
import type { Batches, RunLength } from './validate-statistics.ts'
import { LOADS, rareEventCosts, type System, system } from './validate-system.ts'

/** Tokens of an answer, on average; geometric, so that long and short ones mix. A step takes the inverse. */
const TOKENS_MEAN = 10
const STEP_SECONDS = 1 / TOKENS_MEAN
/** At load 0.5 the instance is idle once in 20,000 arrivals: nearly every job waits for the step under way. */
const ERLANGS = 20

const DECODE: DecodeProfile = {
  batchMax: 1024,
  stepSeconds: { fixed: STEP_SECONDS, perSequence: 0, perContextToken: 0 },
  source: 'a step of constant time',
  origin: 'assumed',
}

interface DecodeBatches {
  readonly staySeconds: Batches
  readonly active: Batches
}

/**
 * A decode instance with slots for all and steps of constant time is M/G/infinity: a job stays for its steps and, since
 * it may come at any moment of the step under way, for half a step before them.
 */
export const unlimitedDecode: System = system({
  name: `M/G/infinity, decode, ${ERLANGS} x load erlangs`,
  loads: LOADS,
  costs: rareEventCosts(() => 1),
  rows: (load) => [
    {
      quantity: 'mean stay (s)',
      theory: (TOKENS_MEAN + 0.5) * STEP_SECONDS,
      read: (said: DecodeBatches) => said.staySeconds,
    },
    {
      quantity: 'mean number decoding',
      theory: ERLANGS * load * (TOKENS_MEAN + 0.5) * STEP_SECONDS,
      read: (said: DecodeBatches) => said.active,
    },
  ],
  run: ({ load, seed, length }) => runDecode(`decode at ${load}, seed ${seed}`, ERLANGS * load, length),
})

function runDecode(label: string, rateRps: number, length: RunLength): DecodeBatches {
  const { services, gap } = streams(label, { rateRps, burstiness: 1 })
  const schedule = new EventSchedule(2)
  const jobs = new Jobs()
  const firstTokens = new Float64Array(jobs.sizes.length)
  const instance = new DecodeInstance({ schedule, source: 1, decode: DECODE, firstTokenSeconds: () => firstTokens })
  const stay = new JobTally(length.batches)
  const active = new AreaTally(instance.active, length.batches)
  const logOfGoingOn = Math.log(1 - 1 / TOKENS_MEAN)
  drive({
    schedule,
    jobs,
    gap,
    length,
    areas: [active],
    arrive: (batch, now) => {
      const job = jobs.enter(batch, now)
      const tokens = 1 + Math.floor(Math.log(1 - services()) / logOfGoingOn)
      jobs.sizes[job] = tokens
      instance.join(job, 0, tokens, now)
    },
    fire: (_, now) => {
      const job = instance.nextToLeave()
      instance.finish(jobs.sizes[job] ?? 0, now)
      stay.add(jobs.batch(job), jobs.ageSeconds(job, now), 1)
      jobs.leave(job)
    },
  })
  return { staySeconds: stay.batches, active: active.batches }
}
