import type { Command } from 'commander'
import { MembraneError } from '../core/errors.ts'
import { addressText } from '../doors/door.ts'
import { type RunningServer, startServer } from '../doors/start-server.ts'
import { type OpenLog, openLog } from '../server/log.ts'
import { readCredentialsFile } from './credentials-file.ts'
import { printJson, printText } from './print.ts'
import { onRun } from './run-command.ts'
import { addServeFlags, type ServeFlags } from './serve-flags.ts'
import { loadServerConfig } from './server-config-load.ts'
import { printServerConfig } from './server-config-print.ts'
import { packageVersion } from './version.ts'

export function defineServe(command: Command): void {
  addServeFlags(command.description('run a node: its memory, its engine, and doors for others'))
  onRun<ServeFlags>(command, async (flags) => {
    const effective = await loadServerConfig(flags, process.env)
    if (flags.printConfig === true) {
      printServerConfig(effective, flags)
      return
    }
    const { config, notes } = effective
    const log = openLog(config, { nodeId: config.nodeId })
    try {
      const running = await startServer(config, {
        log,
        version: packageVersion(),
        environment: process.env,
        readCredentials: readCredentialsFile,
      })
      for (const note of [...notes, ...running.notes]) log.log.warn(note)
      announce(running, flags)
      await untilStopped(running, log)
    } finally {
      await log.close()
    }
  })
}

/** On standard output, once all doors are open: whoever started it waits for that line, and reads free ports from it. */
function announce({ server }: RunningServer, flags: ServeFlags): void {
  const doors = server.doors.map(({ name, address, isTls }) => ({
    door: name,
    address: addressText(address),
    tls: isTls,
  }))
  if (flags.json === true) printJson({ ready: true, doors })
  else
    printText(`ready: ${doors.map(({ door, address, tls }) => `${door}${tls ? ' (TLS)' : ''} ${address}`).join(', ')}`)
}

/**
 * The first SIGTERM or SIGINT drains the server, a second one ends the process as it is. SIGHUP reads credentials and
 * certificates anew and opens the log file again.
 */
async function untilStopped(running: RunningServer, opened: OpenLog): Promise<void> {
  const { log } = opened
  const hangUp = (): void => {
    opened.reopen()
    running.reload().catch((error: unknown) => {
      const message = error instanceof MembraneError ? error.message : String(error)
      log.error(`nothing was read anew: ${message}`)
    })
  }
  process.on('SIGHUP', hangUp)
  const signal = await new Promise<NodeJS.Signals>((resolve) => {
    for (const name of ['SIGTERM', 'SIGINT'] as const) process.once(name, () => resolve(name))
  })
  log.info({ signal }, 'draining')
  const end = (): never => process.exit(1)
  process.on('SIGTERM', end).on('SIGINT', end)
  try {
    await running.stop()
  } finally {
    process.off('SIGTERM', end).off('SIGINT', end).off('SIGHUP', hangUp)
  }
  log.info('stopped')
}
