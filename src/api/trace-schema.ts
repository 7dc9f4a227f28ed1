import { z } from 'zod'
import { LIMITS } from '../core/limits.ts'

/**
 * One line of Membrane's own trace format (JSON Lines), for publication. The planner's streaming reader checks the
 * same by hand, because it stays free of packages and names the column of a mistake.
 */
export const traceLineSchema = z
  .strictObject({
    atSeconds: z
      .number()
      .nonnegative()
      .optional()
      .describe('Arrival, seconds; ascending over the file, in all lines or in none.'),
    inputTokens: z.int().positive().max(LIMITS.requestTokensMax).describe('Prompt length.'),
    outputTokens: z
      .int()
      .nonnegative()
      .max(LIMITS.requestTokensMax)
      .optional()
      .describe('Generated tokens; in all lines or in none.'),
    blockIds: z
      .array(
        z
          .int()
          .nonnegative()
          .max(2 ** 31 - 1),
      )
      .optional()
      .describe(
        'Ids of the prompt prefix blocks, ceil(inputTokens / blockTokens) of them; an id names its block and everything before it.',
      ),
  })
  .describe('One request.')
