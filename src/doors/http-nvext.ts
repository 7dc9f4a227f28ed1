/**
 * Dynamo's `nvext` fields of a request, read as they are: clients that send them to a Dynamo front end may send them
 * here. What each does here stands in its description; fields that are not known are ignored, as Dynamo does.
 */
import { z } from 'zod'
import { LIMITS } from '../core/limits.ts'

export const NVEXT = z
  .object({
    agent_hints: z
      .object({
        priority: z.number().optional().describe('Read and not used: requests of this node are served in turn.'),
        strict_priority: z.number().optional().describe('Read and not used, as priority.'),
        osl: z.number().optional().describe('Expected tokens of the answer. Read and not used: maxTokens bounds it.'),
        latency_sensitivity: z.number().optional().describe('Seconds. Read and not used.'),
        speculative_prefill: z
          .boolean()
          .optional()
          .describe('Always so here: the KV of prompt and answer is kept, so the next turn finds its history.'),
      })
      .optional(),
    cache_control: z
      .object({
        type: z.string().optional().describe('ephemeral; another is ignored.'),
        ttl: z
          .union([z.string(), z.number()])
          .optional()
          .describe(
            `Such as 5m or 1h, or seconds; default 5m. Fragments of the prompt are not evicted for so long, ${LIMITS.leaseMsMax / 60_000} minutes at most.`,
          ),
      })
      .optional()
      .describe('Keeps the KV of the prompt.'),
  })
  .optional()
  .describe("Dynamo's fields, with its units: times in seconds or with m and h.")
/** What NVEXT takes. */
export type Nvext = z.infer<typeof NVEXT>

const DEFAULT_TTL_MS = 5 * 60_000
const UNIT_MS: Readonly<Record<string, number>> = { s: 1000, m: 60_000, h: 3_600_000 }

/** Milliseconds that the fragments of the prompt are to be kept; 0 when nothing asks for it. */
export function keepMsOf(nvext: Nvext): number {
  const control = nvext?.cache_control
  if (control === undefined || (control.type ?? 'ephemeral') !== 'ephemeral') return 0
  return Math.min(LIMITS.leaseMsMax, ttlMsOf(control.ttl))
}

function ttlMsOf(ttl: string | number | undefined): number {
  if (typeof ttl === 'number') return ttl > 0 ? ttl * 1000 : 0
  const match = /^(\d{1,9})(s|m|h)?$/.exec(ttl ?? '')
  return match === null ? DEFAULT_TTL_MS : Number(match[1]) * (UNIT_MS[match[2] ?? 's'] ?? 1000)
}
