import { assert } from '../core/errors.ts'
import type { Simulation, SimulationOptions } from './simulate.ts'

/** Sums of a million rounded numbers agree to about this. */
const ROUNDING = 1e-6

/**
 * What holds on every finished run whatever the model, from accumulators that know nothing of each other: time
 * averages that are kept by the stations against sums that are kept by the jobs. A run that breaks one is a bug.
 */
export function checkLaws(simulation: Simulation, { requests }: SimulationOptions): void {
  const { record, remote, local, link, instances, nowSeconds } = simulation
  assert(record.completed === requests && simulation.inSystem === 0, 'injected = completed, and nothing is left')
  // Little: the area under the number in the system is the sum of the sojourns.
  equal('Little, whole system', record.inSystem.area(nowSeconds), record.sojournSecondsSum)
  equal(
    'Little, remote prefill',
    remote.inSystem.area(nowSeconds),
    record.remotePrefill.waitSeconds.sum + record.remotePrefill.serviceSecondsSum,
  )
  equal(
    'Little, local prefill',
    local.inSystem.area(nowSeconds),
    record.localPrefill.waitSeconds.sum + record.localPrefill.serviceSecondsSum,
  )
  equal('Little, link', link.flows.area(nowSeconds), record.transfer.serviceSecondsSum)
  const decodeArea = instances.reduce((area, instance) => area + instance.active.area(nowSeconds), 0)
  equal('Little, decode', decodeArea, record.decodeSecondsSum)
  // Utilisation: busy servers hold exactly the service given.
  equal('utilisation, remote prefill', remote.busy.area(nowSeconds), record.remotePrefill.serviceSecondsSum)
  equal('utilisation, local prefill', local.busy.area(nowSeconds), record.localPrefill.serviceSecondsSum)
  // Conservation of bytes, and forced flow.
  equal('bytes over the link', link.carried.area(nowSeconds), record.bytesSent)
  assert(
    record.remotePrefill.waitSeconds.count + record.localPrefill.waitSeconds.count === requests,
    'every request is prefilled once',
  )
  assert(
    record.transfer.waitSeconds.count === record.remotePrefill.waitSeconds.count,
    'what is prefilled remotely is sent',
  )
  // Causality and order.
  assert(record.firstTokenSeconds.sum >= record.ttftSeconds.sum, 'no token before its KV')
  for (const histogram of [record.ttftSeconds, record.e2eSeconds]) {
    assert(
      histogram.quantile(0.5) <= histogram.quantile(0.9) && histogram.quantile(0.9) <= histogram.quantile(0.99),
      'percentiles ascend',
    )
  }
}

function equal(law: string, a: number, b: number): void {
  assert(Math.abs(a - b) <= ROUNDING * Math.max(1, Math.abs(a), Math.abs(b)), `${law}: ${a} against ${b}`)
}
