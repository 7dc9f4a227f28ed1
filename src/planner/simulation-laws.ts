import { assert } from '../core/errors.ts'
import type { Simulation } from './simulate.ts'

/** Sums of a million rounded numbers agree to about this. */
const ROUNDING = 1e-6

/**
 * What holds on every finished run whatever the model, from accumulators that know nothing of each other: time
 * averages that are kept by the stations against sums that are kept by the jobs. A run that breaks one is a bug.
 */
export function checkLaws(simulation: Simulation): void {
  const { record, remote, local, link, reverseLink, locals, nowSeconds, traffic } = simulation
  const { requests } = traffic
  assert(record.completed === requests && simulation.inSystem === 0, 'injected = completed, and nothing is left')
  // Little: the area under the number in the system is the sum of the sojourns.
  equal('Little, whole system', record.inSystem.area(nowSeconds), record.sojournSecondsSum)
  equal('Little, remote prefill', remote.inSystem.area(nowSeconds), sojournsOf(record.remotePrefill))
  equal('Little, local prefill', local.inSystem.area(nowSeconds), sojournsOf(record.localPrefill))
  const decodeArea = locals.decoders.reduce((area, instance) => area + instance.active.area(nowSeconds), 0)
  equal('Little, decode', decodeArea, record.decodeSecondsSum)
  // Utilisation: busy servers hold exactly the service given.
  equal('utilisation, remote prefill', remote.busy.area(nowSeconds), record.remotePrefill.serviceSecondsSum)
  equal('utilisation, local prefill', local.busy.area(nowSeconds), record.localPrefill.serviceSecondsSum)
  // Conservation of bytes; nothing is carried beyond what the link could.
  const carried = link.carried.area(nowSeconds) + reverseLink.carried.area(nowSeconds)
  // In megabytes: what is left of gigabytes that were broken off again is rounding.
  equal('bytes over the link', carried / 1e6, (record.bytesSent + record.bytesCopied) / 1e6)
  assert(link.carried.area(nowSeconds) <= link.capacity.area(nowSeconds) * (1 + ROUNDING), 'no more than the bandwidth')
  // Forced flow: who is prefilled once more was lost once.
  const prefills = record.remotePrefill.waitSeconds.count + record.localPrefill.waitSeconds.count
  assert(prefills >= requests && prefills <= requests + record.repeated, 'every request is prefilled once')
  const flows = link.flows.area(nowSeconds) + reverseLink.flows.area(nowSeconds)
  equal('Little, link', flows, record.transfer.serviceSecondsSum + record.copySecondsSum)
  if (record.repeated === 0) {
    assert(
      record.transfer.waitSeconds.count === record.remotePrefill.waitSeconds.count,
      'what is prefilled remotely is sent',
    )
  }
  // Causality and order.
  assert(record.firstToken.sum >= record.ttft.sum, 'no token before its KV')
  assert(record.e2e.sum >= record.firstToken.sum, 'no end before the first token')
  assert(record.transferSecondsSum >= -ROUNDING * Math.max(1, record.ttft.sum), 'no KV before its prefill')
  for (const histogram of [record.ttft, record.firstToken, record.tpot, record.e2e]) {
    const [p50, p90, p99] = [histogram.quantile(0.5), histogram.quantile(0.9), histogram.quantile(0.99)]
    assert(p50 <= p90 && p90 <= p99 && p99 <= histogram.max, 'percentiles ascend')
  }
}

interface Stage {
  readonly waitSeconds: { readonly sum: number }
  readonly serviceSecondsSum: number
  readonly withdrawnSecondsSum: number
}

function sojournsOf({ waitSeconds, serviceSecondsSum, withdrawnSecondsSum }: Stage): number {
  return waitSeconds.sum + serviceSecondsSum + withdrawnSecondsSum
}

function equal(law: string, a: number, b: number): void {
  assert(Math.abs(a - b) <= ROUNDING * Math.max(1, Math.abs(a), Math.abs(b)), `${law}: ${a} against ${b}`)
}
