/** How this node is, told to the others every few seconds. */
import type { Alarm } from '../core/ports.ts'
import type { LinkReport, PrefillReport, Telemetry } from '../cluster/member.ts'
import type { Membership } from '../cluster/membership.ts'
import type { MeasuredRates } from '../policy/measured-rates.ts'
import type { Engine } from './compute-operations.ts'
import type { Fabric } from './fabric.ts'
import { NodeLoad } from './node-load.ts'

export interface ClusterTelemetryParts {
  readonly membership: Pick<Membership, 'report'>
  readonly fabric: Fabric
  readonly engine: Engine
  /** Of the engine; null without one. */
  readonly rates: MeasuredRates | null
  readonly links: () => readonly LinkReport[]
  readonly alarm: Alarm
}

/** What is older than that is no help in choosing a node, and more often costs more than it says. */
const REPORT_SECONDS = 1

/** Reports from now on; what it gives ends it. */
export function reportTelemetry(parts: ClusterTelemetryParts): () => void {
  const load = new NodeLoad()
  let cancel = (): void => undefined
  const report = (): void => {
    parts.membership.report({ telemetry: telemetryOf(parts, load.load().eventLoopRatio) })
    cancel = parts.alarm.after(REPORT_SECONDS, report)
  }
  report()
  return () => cancel()
}

function telemetryOf({ fabric, engine, rates, links }: ClusterTelemetryParts, eventLoopRatio: number): Telemetry {
  const { fragments, contentBytes } = fabric.stats()
  const resident = engine.kind === 'node' ? engine.node.stats().resident : null
  return {
    storedBytes: contentBytes,
    fragments,
    eventLoopRatio,
    running: resident?.contextsInUse ?? 0,
    prefill: prefillReport(engine, rates),
    links: links(),
  }
}

/** What this node's engine takes, as others plan by it; null without one. */
export function prefillReport(engine: Engine, rates: MeasuredRates | null): PrefillReport | null {
  if (engine.kind !== 'node' || rates === null) return null
  const { backend, waitSeconds } = engine.node
  return { model: backend.model.fingerprint, ...rates.prefillCosts, waitSeconds }
}
