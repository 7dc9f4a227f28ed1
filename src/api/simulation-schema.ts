import { z } from 'zod'
import { LIMITS } from '../core/limits.ts'
import { ARRIVAL_KINDS } from '../planner/arrivals.ts'
import { EVICTION_POLICY_NAMES, POOL_NAMES, ROUTINGS, SCHEDULERS } from '../planner/sim-options.ts'
import { label } from './profile-schema.ts'
import { parseWith } from './schema-error.ts'

const positive = z.number().positive()
/** A length of simulated time. */
const seconds = positive.max(LIMITS.simulatedSecondsMax)
/** Of something that is done again and again. */
const periodSeconds = z.number().min(LIMITS.periodSecondsMin).max(LIMITS.simulatedSecondsMax)
const delaySeconds = z.number().nonnegative().max(LIMITS.delaySecondsMax)
const gbps = z.number().min(LIMITS.flowGbpsMin).max(LIMITS.linkGbpsMax)
const atSeconds = z
  .number()
  .nonnegative()
  .max(LIMITS.simulatedSecondsMax)
  .describe('Simulated time, seconds from the start.')
const instances = z.int().positive().max(LIMITS.poolInstancesMax)
const pool = z.enum(POOL_NAMES)
const tokens = positive.max(LIMITS.requestTokensMax)
const blocks = z.int().nonnegative().max(LIMITS.cacheBlocksMax)
const policy = z.enum(EVICTION_POLICY_NAMES)

const eventSchema = z.discriminatedUnion('kind', [
  z.strictObject({
    kind: z.literal('link'),
    atSeconds,
    gbps: gbps.describe('Bandwidth from then on, 10^9 bit/s.'),
  }),
  z.strictObject({ kind: z.literal('lose'), atSeconds, pool, instances }),
  z.strictObject({ kind: z.literal('restore'), atSeconds, pool, instances }),
])

const cachesSchema = z.strictObject({
  scope: z.enum(['cluster', 'shared']).default('cluster').describe('A pool in each cluster, or one that both see.'),
  remoteBlocks: blocks.default(0),
  localBlocks: blocks,
  stateBlocks: blocks.default(0).describe('Room of one recurrent state, in blocks; 0 for models without.'),
  checkpointBlocks: blocks.default(0).describe('A state every so many blocks; 0: only at the end of a prompt.'),
  policy: policy.default('lru'),
  isCopiedAcross: z.boolean().default(false).describe('Whether prefixes may be copied to the other cluster.'),
})

const agentsSchema = z
  .strictObject({
    systemTokens: z.number().nonnegative().max(LIMITS.requestTokensMax).describe('What all sessions begin with.'),
    firstTokens: tokens.describe('Mean tokens that the first turn adds.'),
    turnTokens: tokens.describe('Mean tokens that each later turn adds.'),
    outputTokens: tokens.describe('Mean tokens of an answer.'),
    turnsMean: z.number().min(1).max(LIMITS.agentTurnsMax).describe('Mean turns of a session.'),
    turnGapSeconds: seconds.describe('Mean time between the turns of a session.'),
    blockTokens: z.int().positive().max(65_536).default(512),
    promptTokensMax: tokens.describe(
      'A session ends before its prompt is longer; above systemTokens, 65,536 blocks at most.',
    ),
  })
  .describe('Sessions of agents, each turn with the whole conversation, in place of the scenario\u2019s lengths.')

export const simulationSchema = z
  .strictObject({
    name: label,
    description: label.optional(),
    preset: z.string().min(1).optional().describe('Hardware, link and traffic from a preset (default case-study).'),
    config: z.string().min(1).optional().describe('The same from a scenario file, relative to this one.'),
    rateRps: z
      .number()
      .min(LIMITS.rateRpsMin)
      .max(LIMITS.rateRpsMax)
      .optional()
      .describe('Mean arrivals, requests per second, over a whole period of the curve; this or load.'),
    load: positive.optional().describe('Mean arrivals as a share of the rate that the plan sustains; this or rateRps.'),
    durationSeconds: seconds.describe('Simulated time in which requests arrive, on average, in each replication.'),
    replications: z.int().min(1).max(LIMITS.replicationsMax).default(8),
    schedulers: z
      .array(z.enum(SCHEDULERS))
      .min(1)
      .default([...SCHEDULERS]),
    routing: z.enum(ROUTINGS).default('threshold'),
    thresholdTokens: tokens.optional().describe('Fixed t; the planner\u2019s by default.'),
    localPrefill: z.int().nonnegative().optional().describe('N_p at the start; the planner\u2019s by default.'),
    arrivals: z
      .strictObject({
        kind: z.enum(ARRIVAL_KINDS),
        burstiness: z.number().min(LIMITS.burstinessMin).max(LIMITS.burstinessMax).optional(),
      })
      .optional()
      .describe(
        'Gaps between requests, or agents\u2019 sessions; burstiness is their squared coefficient of variation.',
      ),
    curve: z
      .strictObject({
        stepSeconds: periodSeconds,
        rates: z.array(z.number().nonnegative()).min(1).max(LIMITS.rateCurveStepsMax),
      })
      .optional()
      .describe(
        'How the rate of requests, or of agents\u2019 sessions, changes over time, of any scale: rateRps or load is the mean of a whole period. It starts anew at its end.',
      ),
    transfer: z
      .strictObject({
        mode: z.enum(['after-prefill', 'layerwise']).default('after-prefill'),
        layers: z.int().min(1).max(1024).default(60),
        rttMs: z
          .number()
          .nonnegative()
          .max(1000 * LIMITS.delaySecondsMax)
          .default(0),
        flowGbpsMax: gbps.optional(),
      })
      .optional(),
    events: z.array(eventSchema).max(LIMITS.simulationEventsMax).default([]),
    caches: cachesSchema.optional(),
    agents: agentsSchema.optional(),
    stagingGigabytes: positive.optional().describe('Memory for KV that waits for a slot, 10^9 bytes.'),
    roleChangeSeconds: delaySeconds.optional(),
    controlSeconds: periodSeconds.optional().describe('Period of the short-term control.'),
    replanSeconds: periodSeconds.optional().describe('Period of the long-term control.'),
    detectionSeconds: delaySeconds.optional().describe('Until the loss of a cluster is noticed.'),
  })
  .describe('What happens to a deployment over time, and which schedulers to compare under it.')

/** A simulation file as it stands after its check. */
export type SimulationFile = z.infer<typeof simulationSchema>

/** Throws INVALID_CONFIG with the place, what was found and what was expected. */
export function parseSimulationFile(value: unknown, where: string): SimulationFile {
  return parseWith(simulationSchema, value, where, 'INVALID_CONFIG', 'simulation')
}
