/** One connection that sends commands and reads answers into memory that it uses again: the same for every server. */
import { connect, type NetConnectOpts, type Socket } from 'node:net'

const READ_BYTES = 256 * 1024
const CR = 0x0d

/** Answers are one line, or one string. */
export interface BenchClient {
  /** Sends pieces and waits for `answers` answers. Gives the bytes of the last string, or the number of the last line. */
  ask(pieces: readonly Uint8Array[], answers: number): Promise<number>
  close(): void
}

export async function connectBench(where: NetConnectOpts): Promise<BenchClient> {
  const target = Buffer.alloc(64 * 1024 * 1024)
  let left = 0
  let stringLeft = -1
  let filled = 0
  let line = ''
  let last = 0
  let done: (() => void) | null = null
  const read = (bytes: number, buffer: Buffer): void => {
    let at = 0
    while (at < bytes) {
      if (stringLeft >= 0) {
        const some = Math.min(stringLeft, bytes - at)
        const kept = Math.min(some, Math.max(0, last - filled))
        if (kept > 0) buffer.copy(target, filled, at, at + kept)
        filled += kept
        stringLeft -= some
        at += some
        if (stringLeft > 0) return
        stringLeft = -1
        left -= 1
        continue
      }
      const end = buffer.indexOf(CR, at)
      if (end < 0 || end + 1 >= bytes) {
        line += buffer.toString('latin1', at, bytes)
        if (!line.endsWith('\r\n')) return
        at = bytes
      } else {
        line += buffer.toString('latin1', at, end)
        // A line that was cut between its two last bytes.
        at = end + 2
      }
      const text = line.trim()
      line = ''
      if (text.startsWith('-')) throw new Error(text)
      last = Number(text.slice(1))
      if (text.startsWith('$') && last >= 0) {
        stringLeft = last + 2
        filled = 0
      } else left -= 1
    }
    if (left === 0) {
      const resolve = done
      done = null
      resolve?.()
    }
  }
  const socket: Socket = connect({
    ...where,
    noDelay: true,
    onread: {
      buffer: Buffer.alloc(READ_BYTES),
      callback: (bytes: number, buffer: Uint8Array) => {
        read(bytes, buffer as Buffer)
        return true
      },
    },
  } as NetConnectOpts)
  await new Promise<void>((resolve, reject) => {
    socket.once('connect', resolve)
    socket.once('error', reject)
  })
  return {
    ask: (pieces, answers) =>
      new Promise((resolve) => {
        left = answers
        done = () => resolve(last)
        if (pieces.length > 1) socket.cork()
        for (const piece of pieces) socket.write(piece)
        if (pieces.length > 1) socket.uncork()
      }),
    close: () => socket.destroy(),
  }
}
