/** The operations of a node, for tests that open one door by themselves. */
import pino, { type Logger } from 'pino'
import type { Clock } from '../src/core/ports.ts'
import type { AdminAudit } from '../src/server/admin-operations.ts'
import type { AuditEntry } from '../src/server/audit.ts'
import { MembraneError } from '../src/core/errors.ts'
import type { Engine } from '../src/server/compute-operations.ts'
import type { Fabric } from '../src/server/fabric.ts'
import { Gate } from '../src/server/gate.ts'
import { createOperations, type Operations } from '../src/server/operations.ts'
import { systemStopwatch } from '../src/server/system-time.ts'
import { openTenantQuotas } from '../src/server/tenant-quotas.ts'

/** An action, and how it ended: `ok`, or the code of its error. */
export type AuditedAction = AuditEntry & { readonly outcome: string }

export function auditInto(audited: AuditedAction[]): AdminAudit {
  return {
    around: async (entry, act) => {
      try {
        const result = await act()
        audited.push({ ...entry, outcome: 'ok' })
        return result
      } catch (error) {
        audited.push({ ...entry, outcome: error instanceof MembraneError ? error.code : 'INTERNAL' })
        throw error
      }
    },
  }
}

export interface TestOperations {
  readonly fabric: Fabric
  readonly clock: Clock
  readonly gate?: Gate
  readonly engine?: Engine
  readonly audited?: AuditedAction[]
  readonly allowedPeers?: readonly string[]
  readonly answersBytesMax?: number
  readonly transfersDirectory?: string
  readonly log?: Logger
}

export async function operationsOn({
  gate = new Gate(null),
  engine = { kind: 'none' },
  audited = [],
  ...parts
}: TestOperations): Promise<Operations> {
  return createOperations({
    log: pino({ level: 'silent' }),
    ...parts,
    gate,
    engine,
    stopwatch: systemStopwatch,
    leaseMs: 5000,
    node: 'test',
    quotas: await openTenantQuotas(null),
    audit: auditInto(audited),
    scrub: null,
  })
}
