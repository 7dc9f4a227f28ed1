/**
 * Answers of one connection, in order. Short ones are gathered until they are flushed; a value of the store goes out as
 * it lies there, or chunk by chunk as it is read.
 */
import { RESP_COPIED_BYTES_MAX, type RespReply, RespReplyWriter, type RespVersion } from '../api/resp-codec-replies.ts'
import type { RespOutput } from './resp-output.ts'
import type { RespPart, RespStoredValue } from './resp-parts.ts'

const NOTHING = new Uint8Array(0)

export class RespAnswers {
  readonly #output: RespOutput
  readonly #brokeOff: (error: unknown) => void
  readonly #writer = new RespReplyWriter()

  /** `brokeOff` is called when a value ends before its last byte: its length has been said, so nothing can follow. */
  constructor(output: RespOutput, brokeOff: (error: unknown) => void) {
    this.#output = output
    this.#brokeOff = brokeOff
  }

  set version(version: RespVersion) {
    this.#writer.version = version
  }

  /** HOT: what to wait for, if anything: nearly always nothing, and a turn of the queue costs as much as a small command. */
  answer(reply: RespReply | RespStoredValue): Promise<void> | null {
    if (reply.kind !== 'value') {
      this.#writer.write(reply)
      return null
    }
    const { payload, chunks, ended } = reply
    if (chunks !== null) return this.#answerChunks(reply, chunks)
    // A view for this answer alone: one value may be asked for twice in a pipeline.
    const bytes = payload?.subarray() ?? NOTHING
    this.#writer.write({ kind: 'bytes', bytes })
    // Short bytes were copied.
    if (bytes.length <= RESP_COPIED_BYTES_MAX) ended(true)
    else this.#output.whenEnded(bytes, ended)
    return null
  }

  /** Sends a part of an answer and ends when there is room for more. */
  async send(part: RespPart): Promise<void> {
    if (part.kind === 'arrayStart') this.#writer.arrayStart(part.items)
    else await this.answer(part)
    this.flush()
    await this.#output.room()
  }

  flush(): void {
    const pieces = this.#writer.take()
    if (pieces.length > 0) this.#output.push(pieces)
  }

  /** A chunk is read when the one before it has nearly gone. */
  async #answerChunks({ bytes, ended }: RespStoredValue, chunks: AsyncIterable<Uint8Array>): Promise<void> {
    this.#writer.bytesStart(bytes)
    this.flush()
    try {
      for await (const chunk of chunks) {
        // The chunk's memory is the store's again once the next one is asked for.
        this.#output.push([chunk.slice()])
        await this.#output.room()
        if (this.#output.isClosed) return
      }
      this.#writer.bytesEnd()
    } catch (error) {
      this.#brokeOff(error)
    } finally {
      ended(true)
    }
  }
}
