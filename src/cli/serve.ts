import type { Command } from 'commander'
import pino, { type Logger } from 'pino'
import { MembraneError } from '../core/errors.ts'
import { DEFAULT_TENANT } from '../core/ids.ts'
import { LIMITS } from '../core/limits.ts'
import { addressText } from '../doors/door.ts'
import { openServer } from '../doors/open-server.ts'
import type { AuditPort, NodeScrubReport } from '../server/admin-operations.ts'
import { Gate } from '../server/gate.ts'
import { createOperations } from '../server/operations.ts'
import { systemStopwatch } from '../server/system-time.ts'
import { type OpenedDataDir, withNewDataDir } from './data-dir.ts'
import { wholeNumberOf } from './numbers.ts'
import { type GlobalFlags, onRun } from './run-command.ts'

interface ServeFlags extends GlobalFlags {
  readonly port: number
  readonly dataDir?: string
}

/** What is under way may take so long after SIGTERM. */
const DRAIN_MS = 10_000

export function defineServe(command: Command): void {
  command
    .description('a node: its memory, its engine, and doors for others')
    .option('--port <n>', 'HTTP port; 0 takes a free one', wholeNumberOf(0), 8080)
    .requiredOption('--data-dir <dir>', 'directory of the store')
  onRun<ServeFlags>(command, async (flags) => {
    await withNewDataDir(flags, async (opened) => {
      const log = pino(pino.destination(2))
      const { fabric, quotas } = opened
      const server = await openServer({
        operations: createOperations({
          fabric,
          quotas,
          engine: { kind: 'none' },
          gate: new Gate(null),
          clock: { nowMs: Date.now },
          stopwatch: systemStopwatch,
          leaseMs: 5000,
          node: 'local',
          audit: auditTo(log),
          scrub: (signal) => scrub(opened, signal),
        }),
        authenticator: {
          anonymous: { tenant: DEFAULT_TENANT, role: 'admin', name: 'anonymous' },
          byToken: () => null,
          byCertificate: () => null,
        },
        doors: [{ name: 'http', address: { kind: 'tcp', host: '127.0.0.1', port: flags.port }, tls: null }],
        log,
        bodyBytesMax: 1024 ** 3,
        payloadBytesMax: LIMITS.payloadBytesMax,
        connectionsMax: 1024,
      })
      for (const door of server.doors) process.stdout.write(`${door.name} ${addressText(door.address)}\n`)
      await new Promise<void>((resolve) => {
        process.once('SIGTERM', resolve)
        process.once('SIGINT', resolve)
      })
      await server.close(DRAIN_MS)
    })
  })
}

/** Lines of their own, so that they can be told from the rest. */
function auditTo(log: Logger): AuditPort {
  return {
    around: async ({ caller, ...action }, act) => {
      const said = { ...action, caller: caller.name, tenant: caller.tenant }
      try {
        const result = await act()
        log.info({ audit: { ...said, outcome: 'done' } }, 'administrative action')
        return result
      } catch (error) {
        const outcome = error instanceof MembraneError ? error.code : 'INTERNAL'
        log.info({ audit: { ...said, outcome } }, 'administrative action')
        throw error
      }
    },
  }
}

async function scrub({ disk, fabric, quarantine }: OpenedDataDir, signal: AbortSignal): Promise<NodeScrubReport> {
  const report = await disk.scrub({ signal, quarantine })
  const lost = await fabric.dropLost()
  const { entries, payloadBytes, isComplete } = report
  return { entries, payloadBytes, isComplete, damaged: lost.length }
}
