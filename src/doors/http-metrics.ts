/** /metrics: Prometheus by default, and the object of version 0 for those who ask for JSON. */
import { z } from 'zod'
import { callerOf, type HttpRoutes } from './http-app.ts'
import { MetricsTexts } from './http-metrics-text.ts'

const OLD_METRICS = z
  .object({
    node_id: z.string(),
    load: z.number().describe('Share of the time, 0 to 1, in which the event loop had work since it was last asked.'),
    memory_used_bytes: z.number().describe('Resident bytes of the process.'),
    memory_limit_bytes: z.number().describe("Bytes of its control group's bound, or of the machine's memory."),
    fragment_count: z.number().int().describe("Fragments: the caller's, or, for who may observe, all."),
    primary_count: z.number().int().describe('Those that this node did not take over from another one as a replica.'),
  })
  .describe('What version 0 of the API said: bytes, fragments, a share of time.')

export const metricsRoutes: HttpRoutes = (app, { operations }) => {
  const { observe } = operations
  const texts = new MetricsTexts(observe)
  app.get(
    '/metrics',
    {
      schema: {
        tags: ['observation'],
        operationId: 'metrics',
        summary: 'Numbers of the node, or of the tenant that asks.',
        description: 'docs/metrics.md lists them. With Accept: application/json, the object of version 0.',
        response: {
          200: {
            description: 'Prometheus text, or the object of version 0.',
            content: {
              'text/plain': { schema: z.string().describe('Prometheus exposition format.') },
              'application/json': { schema: OLD_METRICS },
            },
          },
        },
      },
    },
    async (request, reply) => {
      const caller = callerOf(request)
      if (!/\bapplication\/json\b/.test(request.headers.accept ?? '')) {
        const { text, contentType } = await texts.textFor(caller)
        return reply.type(contentType).serializer(String).send(text)
      }
      const { node, load, fragments, replicas } = observe.heartbeat(caller)
      const old: z.infer<typeof OLD_METRICS> = {
        node_id: node,
        load: load.eventLoopRatio,
        memory_used_bytes: load.memoryBytes,
        memory_limit_bytes: load.memoryBytesMax,
        fragment_count: fragments,
        primary_count: fragments - replicas,
      }
      return reply.type('application/json; charset=utf-8').serializer(JSON.stringify).send(old)
    },
  )
}
