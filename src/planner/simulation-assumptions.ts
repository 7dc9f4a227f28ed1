import { type Assumption, type AssumptionId, assumption } from './assumptions.ts'
import type { SimulationOptions } from './sim-options.ts'

/** What simulated runs rest on beside their scenario. */
export function simulationAssumptions(runs: readonly SimulationOptions[]): Assumption[] {
  const isAny = (of: (run: SimulationOptions) => boolean): boolean => runs.some(of)
  const ids: AssumptionId[] = ['queue-bound']
  if (isAny(({ scheduler }) => scheduler === 'on'))
    ids.push('threshold-control', 'scheduler-clock', 'reallocation-rules', 'decode-headroom', 'role-change')
  if (isAny(({ scheduler }) => scheduler === 'off')) ids.push('blind-routing')
  if (isAny(({ caches }) => caches?.isCopiedAcross === true)) ids.push('regime-bounds')
  if (isAny(({ transfer }) => transfer?.mode === 'layerwise')) ids.push('layerwise-transfer')
  if (isAny(({ events = [] }) => events.some(({ kind }) => kind === 'lose'))) ids.push('loss-detection', 'lost-work')
  return ids.map(assumption)
}
