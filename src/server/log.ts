/** The log of a server: a line of JSON each, or text for a reader, with request ids and without credentials. */
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { closeSync, openSync } from 'node:fs'
import { type DestinationStream, type Logger, pino } from 'pino'
import type { ServerConfig } from '../api/server-schema.ts'
import { MembraneError } from '../core/errors.ts'
import { redactLine } from './log-redact.ts'
import { textOfLogLine } from './log-text.ts'

/** A log that is open. */
export interface OpenLog {
  readonly log: Logger
  /** Opens the file anew, after it was renamed; nothing for standard error. */
  reopen(): void
  /** Writes what is waiting. */
  close(): Promise<void>
}

/** Where lines of standard error go: the process's own, or a test's. */
export interface LogTerminal extends DestinationStream {
  readonly isTTY?: boolean
  readonly columns?: number
}

/** Throws FILE_UNREADABLE when the file cannot be opened. */
export function openLog(
  { logLevel, logFile, logFormat }: Pick<ServerConfig, 'logLevel' | 'logFile' | 'logFormat'>,
  { nodeId, terminal = process.stderr }: { readonly nodeId: string; readonly terminal?: LogTerminal },
): OpenLog {
  const file = logFile === null ? null : openLogFile(logFile, terminal)
  const isText = logFormat === 'text' || (logFormat === 'auto' && file === null && terminal.isTTY === true)
  const target = file ?? terminal
  const destination: DestinationStream = isText
    ? { write: (line) => target.write(textOfLogLine(line, { isColorful: file === null && terminal.isTTY === true })) }
    : target
  const log = pino(
    {
      level: logLevel,
      base: { node: nodeId },
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      messageKey: 'message',
      errorKey: 'error',
      serializers: { error: pino.stdSerializers.err },
      hooks: { streamWrite: redactLine },
    },
    destination,
  )
  return {
    log,
    reopen: () => file?.reopen(),
    close: async () => {
      if (file === null) return
      const closed = Promise.race([once(file, 'close'), once(file, 'error')])
      file.end()
      await closed.catch(() => {})
    },
  }
}

function openLogFile(path: string, terminal: LogTerminal) {
  try {
    // What cannot be opened is found now, not at the first line.
    closeSync(openSync(path, 'a', 0o600))
  } catch (cause) {
    throw new MembraneError('FILE_UNREADABLE', `The log file ${path} cannot be written.`, {
      remedy: 'Check the path and its permissions.',
      details: { path },
      cause,
    })
  }
  const file = pino.destination({ dest: path, append: true, sync: false, mode: 0o600 })
  let isFailing = false
  // A full disk must not end a server whose log it was, nor go unnoticed.
  file.on('error', (error: Error) => {
    if (!isFailing) terminal.write(`membrane: the log file ${path} cannot be written: ${error.message}\n`)
    isFailing = true
  })
  file.on('drain', () => {
    isFailing = false
  })
  return file
}

/** The id of a request: what the client calls it, if that is 1 to 64 harmless characters, or 16 random digits. */
export function requestIdOf(given: string | null): string {
  return given !== null && /^[A-Za-z0-9._:-]{1,64}$/.test(given) ? given : randomBytes(8).toString('hex')
}
