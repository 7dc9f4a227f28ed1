import { type DisturbanceAnswer, type LoadAtSlo, type LoadPlan, type SimulatedLoad, ttftRatios } from './report-load.ts'
import { type Html, html, NOTHING } from './report-markup.ts'
import { durationText, percent, requestsPerSecond, short, significant } from './report-numbers.ts'
import { LAMBDA_MAX } from './report-symbols.ts'
import { gainSentence } from './simulate-print.ts'
import { plusMinus } from './simulation-tables.ts'

/** What the section "Under load" says in sentences, which must stay true whatever came out. */

/** "At 86 % of Lambda_max (2.79 req/s) P90 TTFT is 8.50 ± 0.30 s, 2.42 times the 3.51 s that contain no queueing." */
export function loadSentence(load: Pick<SimulatedLoad, 'options' | 'result' | 'lambdaMaxRps' | 'quoted'>): Html {
  const { options, result, lambdaMaxRps, quoted } = load
  const { p90, p90HalfWidth95 } = result.ttftSeconds
  const share = short(Math.round((100 * options.rateRps) / lambdaMaxRps))
  return html`At ${share} % of ${LAMBDA_MAX} (${requestsPerSecond(options.rateRps)}) P90 TTFT is ${plusMinus(p90, p90HalfWidth95)} s, ${significant(ttftRatios(load).p90)} times the ${significant(quoted.p90)} s that contain no queueing.${keptUpText(load)}`
}

/** Latencies of a system that does not keep up say how long the run was, and that is said. */
function keptUpText({ result: { verdict, capacityRps } }: Pick<SimulatedLoad, 'result'>): Html {
  if (verdict === 'stable') return NOTHING
  return verdict === 'overloaded'
    ? html` That is more than the ${requestsPerSecond(capacityRps.sustainableRps)} that the plan sustains by request: the longer it lasts, the larger TTFT becomes.`
    : html` A queue was still growing at the end: the longer this lasts, the larger TTFT becomes.`
}

/** Both readings of what the plan can serve. */
export function capacitySentence({ result: { capacityRps } }: Pick<SimulatedLoad, 'result'>): string {
  const { sustainableRps, equation6Rps } = capacityRps
  const excess = equation6Rps / sustainableRps - 1
  const byRequest = `Counted request by request the plan sustains ${requestsPerSecond(sustainableRps)}`
  return excess < 5e-4
    ? `${byRequest}, as Eq. (6) has it.`
    : `${byRequest}; Eq. (6), which replaces lengths by their means, says ${requestsPerSecond(equation6Rps)}, ${percent(excess)} more.`
}

/** Whether the rate that the closed form allows keeps the SLO when it is simulated. */
export function sloSentence({ boundSeconds, feasibleRps, result }: LoadAtSlo): string {
  const { p90, p90HalfWidth95 } = result.ttftSeconds
  const isClear = Math.abs(p90 - boundSeconds) > (p90HalfWidth95 ?? 0)
  const off = percent(Math.abs(p90 / boundSeconds - 1))
  const judged = !isClear
    ? `which the noise does not tell apart from the SLO of ${short(boundSeconds)} s`
    : `${off} ${p90 > boundSeconds ? 'above' : 'below'} the SLO of ${short(boundSeconds)} s`
  const growing = result.verdict === 'stable' ? '' : ' There the queues were still growing at the end.'
  return `At the planner's SLO-feasible rate of ${requestsPerSecond(feasibleRps)} simulated P90 TTFT is ${plusMinus(p90, p90HalfWidth95)} s, ${judged}.${growing}`
}

/** Below this a replication starts and ends empty for much of its time. */
const SHORT_SECONDS = 600

/** How much was simulated, and whether that was long. */
export function extentText({ options, result }: Pick<SimulatedLoad, 'options' | 'result'>): string {
  const seconds = result.requests / result.replications / options.rateRps
  const brief = seconds < SHORT_SECONDS ? ', which start empty: queues may not have had the time to build up' : ''
  return `${result.requests.toLocaleString('en-US')} requests in ${result.replications} replications of ${durationText(seconds)} each${brief}`
}

/** What the scheduler does about a disturbance, or that it does nothing. */
export function disturbanceSentence({ gain }: Pick<DisturbanceAnswer, 'gain'>): string {
  const isSame = gain.mean === 0 && (gain.halfWidth95 ?? 0) === 0
  return isSame ? 'The scheduler changes nothing about P90 TTFT.' : gainSentence('on', gain)
}

/** The plan in short. */
export function planText({ roles, thresholdTokens }: LoadPlan): string {
  return `${roles.remotePrefill} / ${roles.localPrefill} / ${roles.decode} instances, t = ${thresholdTokens.toLocaleString('en-US')} tokens`
}
