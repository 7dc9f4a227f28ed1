/** Server-sent events: a body that grows while something happens. */
import type { FastifyReply, FastifyRequest } from 'fastify'

/** Nothing is sent before `open`; until then the answer can still be an error with its own status. */
export class EventStream {
  readonly #request: FastifyRequest
  readonly #reply: FastifyReply
  #isOpen = false

  constructor(request: FastifyRequest, reply: FastifyReply) {
    this.#request = request
    this.#reply = reply
  }

  get isOpen(): boolean {
    return this.#isOpen
  }

  /** Whether it was this call that opened it. */
  open(): boolean {
    if (this.#isOpen) return false
    this.#isOpen = true
    this.#reply.hijack()
    this.#reply.raw.writeHead(200, {
      'content-type': 'text/event-stream; charset=utf-8',
      'cache-control': 'no-store',
      // Proxies that collect an answer before they pass it on would hold a stream back.
      'x-accel-buffering': 'no',
      'x-request-id': this.#request.id,
    })
    return true
  }

  /** One event; a reader that has gone away is not told. */
  data(value: object, name: string | null = null): void {
    const event = name === null ? '' : `event: ${name}\n`
    this.#reply.raw.write(`${event}data: ${JSON.stringify(value)}\n\n`)
  }

  /** `last` is the text of a last event, as it is. */
  end(last: string | null = null): void {
    this.open()
    this.#reply.raw.end(last === null ? '' : `data: ${last}\n\n`)
  }
}
