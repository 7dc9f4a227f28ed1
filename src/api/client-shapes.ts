/** Answers of a server, as this version reads them; what a later one adds is left out. */
import { z } from 'zod'

const COUNT = z.number().int().min(0)

export const PUT_RESULT = z.object({
  key: z.string(),
  contentHash: z.string(),
  payloadBytes: COUNT,
  outcome: z.enum(['stored', 'replaced', 'present']),
})
/** Under which key it is now; `present` when the same bytes were there. */
export type PutResult = Readonly<z.infer<typeof PUT_RESULT>>

export const PRESENCE = z.object({
  isPresent: z.array(z.boolean()),
  leadingPresent: COUNT,
  leasedUntilMs: z.number(),
})
/** One answer a key, in order; what is there stays until then, in milliseconds since 1970. */
export type Presence = Readonly<z.infer<typeof PRESENCE>>
