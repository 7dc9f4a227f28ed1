/** Prefills for other nodes over HTTP: a message in, a stream of frames out while the engine computes. */
import type { ServerResponse } from 'node:http'
import { z } from 'zod'
import { MembraneError } from '../core/errors.ts'
import { LIMITS } from '../core/limits.ts'
import { encodePrefillFrame } from '../cluster/prefill-frames.ts'
import { checkAllowed } from '../server/caller.ts'
import { PREFILL_PATH } from '../server/peer-connections.ts'
import { abortedWith, callerOf, type HttpRoutes } from './http-app.ts'
import { withBody } from './http-body.ts'
import { lateError } from './http-errors.ts'

const OCTETS = 'application/octet-stream'

export const prefillRoutes: HttpRoutes = (app, options) => {
  const { prefill } = options.operations
  const bounded = { ...options, payloadBytesMax: LIMITS.clusterMessageBytesMax }
  const { blake3 } = prefill
  app.post(
    PREFILL_PATH,
    {
      config: { hasRawBody: true },
      schema: {
        tags: ['cluster'],
        operationId: 'prefillForNode',
        summary: 'Compute a span of a prompt for another node.',
        description:
          'For nodes alone. Frames come while the engine computes: pieces of KV, then an end or an error. A node that goes away ends the computing.',
        body: z.unknown().describe('Bytes, as many as Content-Length says.'),
        consumes: [OCTETS],
        response: { 200: { content: { [OCTETS]: { schema: z.unknown().describe('Frames.') } } } },
      },
    },
    async (request, reply) => {
      const caller = callerOf(request)
      checkAllowed(caller, 'peer')
      const signal = abortedWith(reply)
      const message = await withBody({ request, reply }, bounded, async (body) => body.slice())
      const frames = prefill.stream(caller, message, { signal })
      // Until something has come, an error is an error of the request.
      const first = await frames.next()
      const { raw } = reply
      reply.hijack()
      raw.writeHead(200, { 'x-request-id': request.id, 'content-type': OCTETS, 'cache-control': 'no-store' })
      try {
        if (first.done !== true) await send(raw, first.value)
        for await (const bytes of frames) await send(raw, bytes)
      } catch (error) {
        const { code, message: sentence } = lateError(error, request)
        if (!raw.destroyed)
          for (const bytes of encodePrefillFrame({ kind: 'error', code, sentence }, blake3)) raw.write(bytes)
      } finally {
        await frames.return(undefined)
        raw.end()
      }
      return reply
    },
  )
}

/** Waits while the other node does not take what was sent. Throws ABORTED when it has gone, DEADLINE_EXCEEDED. */
async function send(raw: ServerResponse, bytes: Uint8Array): Promise<void> {
  if (raw.destroyed) throw new MembraneError('ABORTED', 'The other node has gone.')
  if (raw.write(bytes)) return
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  const gone = (): void => reject(new MembraneError('ABORTED', 'The other node has gone.'))
  const late = setTimeout(
    () => reject(new MembraneError('DEADLINE_EXCEEDED', 'The other node does not take what was computed for it.')),
    LIMITS.prefillStallMsMax,
  )
  raw.once('drain', resolve)
  raw.once('close', gone)
  try {
    await promise
  } finally {
    clearTimeout(late)
    raw.off('drain', resolve)
    raw.off('close', gone)
  }
}
