/** What is there: many keys or a whole prompt in one call, with a lease. */
import { z } from 'zod'
import { packBlockHashes } from '../core/block-hashes.ts'
import { parseBlockHash, parseModelFingerprint } from '../core/ids.ts'
import { LIMITS } from '../core/limits.ts'
import { callerOf, type HttpRoutes, requestObject, TIME_MS } from './http-app.ts'

const LEASE_MS = z
  .number()
  .int()
  .min(0)
  .max(LIMITS.leaseMsMax)
  .optional()
  .describe('What is there stays for so long; 0 takes no lease.')

// Nodes that copy from this one renew leases with it, and may be of a later version: what is not known is ignored.
const HAS = z
  .object({
    keys: z.array(z.string()).min(1).max(LIMITS.lookUpKeysMax).describe('Keys of fragments.'),
    leaseMs: LEASE_MS,
  })
  .describe('Keys to look up; the lease in milliseconds.')
const HAS_ANSWER = z
  .object({
    isPresent: z.array(z.boolean()).describe('One answer a key, in order.'),
    leadingPresent: z.number().int().describe('How many are there before the first that is not.'),
    leasedUntilMs: TIME_MS,
  })
  .describe('Which keys are there. Times are milliseconds since 1970.')

const PREFIX = requestObject({
  model: z.string().describe('Model fingerprint: 64 hexadecimal digits.'),
  blockTokens: z.number().int().min(1).max(LIMITS.blockTokensMax).describe('Tokens of a block.'),
  blocks: z.array(z.string()).min(1).max(LIMITS.lookUpKeysMax).describe('Block hashes of the prompt, <chain>:<hex>.'),
  leaseMs: LEASE_MS,
}).describe('A prompt by its block hashes; the lease in milliseconds.')
const PREFIX_ANSWER = z
  .object({
    blocks: z.number().int().describe('Leading blocks that are here.'),
    tokens: z.number().int().describe('Their tokens.'),
    fragments: z.array(
      z.object({
        key: z.string(),
        start: z.number().int().describe('The first token.'),
        end: z.number().int().describe('The token after the last.'),
      }),
    ),
    leasedUntilMs: TIME_MS,
  })
  .describe('What covers the leading blocks, in tokens. Times are milliseconds since 1970.')

export const lookUpRoutes: HttpRoutes = (app, { operations }) => {
  const { fragments } = operations
  app.post(
    '/v1/has',
    {
      schema: {
        tags: ['look-up'],
        operationId: 'hasFragments',
        summary: 'Which of many keys are there.',
        body: HAS,
        response: { 200: HAS_ANSWER },
      },
    },
    async (request) => {
      const { keys, leaseMs } = request.body
      const { isPresent, leasedUntilMs } = await fragments.has(callerOf(request), keys, leaseMs)
      const firstMissing = isPresent.indexOf(false)
      const leadingPresent = firstMissing < 0 ? isPresent.length : firstMissing
      return { isPresent: [...isPresent], leadingPresent, leasedUntilMs }
    },
  )
  app.post(
    '/v1/longest-prefix',
    {
      schema: {
        tags: ['look-up'],
        operationId: 'longestPrefix',
        summary: 'The leading blocks of a prompt that are here.',
        body: PREFIX,
        response: { 200: PREFIX_ANSWER },
      },
    },
    async (request) => {
      const { model, blocks, blockTokens, leaseMs } = request.body
      const prompt = {
        model: parseModelFingerprint(model),
        hashes: packBlockHashes(blocks.map(parseBlockHash)),
        blockTokens,
      }
      const held = await fragments.longestPrefix(callerOf(request), prompt, leaseMs)
      const found = held.fragments.map(({ key, description }) => ({ key, ...description.signature.tokens }))
      return { blocks: held.blocks, tokens: held.tokens, fragments: found, leasedUntilMs: held.leasedUntilMs }
    },
  )
}
