import type { Command } from 'commander'
import pino from 'pino'
import { DEFAULT_TENANT } from '../core/ids.ts'
import { LIMITS } from '../core/limits.ts'
import { openServer } from '../doors/open-server.ts'
import { ComputeOperations } from '../server/compute-operations.ts'
import { FragmentOperations } from '../server/fragment-operations.ts'
import { Gate } from '../server/gate.ts'
import { systemStopwatch } from '../server/system-time.ts'
import { withNewDataDir } from './data-dir.ts'
import { wholeNumberOf } from './numbers.ts'
import { type GlobalFlags, onRun } from './run-command.ts'

interface ServeFlags extends GlobalFlags {
  readonly port: number
  readonly dataDir?: string
}

export function defineServe(command: Command): void {
  command
    .description('a node: its memory, its engine, and doors for others')
    .option('--port <n>', 'HTTP port; 0 takes a free one', wholeNumberOf(0), 8080)
    .requiredOption('--data-dir <dir>', 'directory of the store')
  onRun<ServeFlags>(command, async (flags) => {
    await withNewDataDir(flags, async ({ fabric }) => {
      const gate = new Gate(null)
      const clock = { nowMs: Date.now }
      const server = await openServer({
        operations: {
          gate,
          fragments: new FragmentOperations({ fabric, gate, clock, leaseMs: 5000 }),
          compute: new ComputeOperations({ engine: { kind: 'none' }, gate, stopwatch: systemStopwatch }),
        },
        authenticator: {
          anonymous: { tenant: DEFAULT_TENANT, role: 'admin', name: 'anonymous' },
          byToken: () => null,
          byCertificate: () => null,
        },
        doors: [{ name: 'http', address: { kind: 'tcp', host: '127.0.0.1', port: flags.port }, tls: null }],
        log: pino(pino.destination(2)),
        bodyBytesMax: 1024 ** 3,
        payloadBytesMax: LIMITS.payloadBytesMax,
        connectionsMax: 1024,
      })
      await new Promise<void>((resolve) => {
        process.once('SIGTERM', resolve)
        process.once('SIGINT', resolve)
      })
      await server.close(10_000)
    })
  })
}
