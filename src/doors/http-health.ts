/** Is the process alive, does it take requests. Both answer whoever asks, and tell nothing else. */
import { z } from 'zod'
import type { HttpRoutes } from './http-app.ts'

const STATUS = z.object({ status: z.enum(['ok', 'draining']) }).describe('How it is; has no units.')

export const healthRoutes: HttpRoutes = (app, { operations }) => {
  const config = { isOpen: true }
  app.get(
    '/livez',
    {
      config,
      schema: { tags: ['health'], operationId: 'liveness', summary: 'The process answers.', response: { 200: STATUS } },
    },
    () => ({ status: 'ok' }) as const,
  )
  app.get(
    '/readyz',
    {
      config,
      schema: {
        tags: ['health'],
        operationId: 'readiness',
        summary: 'The node takes requests.',
        response: { 200: STATUS, 503: STATUS },
      },
    },
    async (_request, reply) => {
      if (!operations.gate.isDraining) return reply.send({ status: 'ok' })
      return reply.code(503).send({ status: 'draining' })
    },
  )
}
