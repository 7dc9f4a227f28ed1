/** Why prompts go where they go, in sentences with numbers. Pure. */
import { gbpsFromBytesPerSecond } from '../core/units.ts'
import type { PlanChange } from '../planner/long-term-plan.ts'
import type { Congestion } from '../policy/threshold.ts'
import type { LiveDeployment, LocalNode } from './live-deployment.ts'
import type { LivePlanState } from './live-plan.ts'
import type { ProposedRole } from './live-roles.ts'
import { kvBytesOf, linkBytesPerSecond, nodesOf, pooledSeconds, type RoutedModel } from './live-scenario.ts'

/** What the links carry, and what either side computes, in tokens a second of prompts of this length. */
export function capacityText({ sites, prefilling }: LiveDeployment, model: RoutedModel, tokens: number): string {
  const names = sites.map(({ datacentre, isMeasured }) =>
    isMeasured ? datacentre : `${datacentre} (not measured yet)`,
  )
  const bytesPerSecond = linkBytesPerSecond(sites)
  const carried = (bytesPerSecond * tokens) / kvBytesOf(model.kv, tokens)
  const remoteRate = sites.reduce((sum, { nodes }) => sum + (nodes.length * tokens) / pooledSeconds(nodes, tokens), 0)
  const localRate = (prefilling.length * tokens) / pooledSeconds(prefilling, tokens)
  const link = names.length === 1 ? `the link to ${names[0]} carries` : `the links to ${names.join(' and ')} carry`
  return (
    `${link} ${gbpsText(bytesPerSecond)}, ${countText(carried)} tokens/s of KV for prompts of ${countText(tokens)} tokens; ` +
    `${nodesText(nodesOf(sites))} there prefill ${countText(remoteRate)} tokens/s, ${prefilling.length} here ${countText(localRate)} tokens/s`
  )
}

/** Before there is a plan: what is sooner for one prompt alone. */
export function crossingText(thresholdTokens: number, { promptTokensMax }: RoutedModel, seen: string): string {
  const until = `(of the prompts that a plan needs, ${seen} were seen)`
  if (thresholdTokens >= promptTokensMax)
    return `a prompt of any length is sooner computed here than there and sent ${until}`
  if (thresholdTokens <= 0)
    return `a prompt of any length is sooner computed there and sent than computed here ${until}`
  return `above ${countText(thresholdTokens)} uncached tokens a prompt is sooner computed there and sent than computed here ${until}`
}

/** What was planned last, and for what. */
export function planText({ change, plannedTokens, rateRps, offloadedRatio }: LivePlanState): string {
  if (change === null) return `t of ${countText(plannedTokens)} tokens: no plan carries anything`
  const { ttftSecondsP90, headroom } = change.plan.prediction
  const expected =
    ttftSecondsP90 === null
      ? `no threshold keeps up, this one carries ${countText(headroom * 100)} % of them`
      : `expected TTFT P90 ${secondsText(ttftSecondsP90)}`
  const roles = change.kind === 'roles' ? `, with ${change.plan.roles.localPrefill} nodes here prefilling` : ''
  return `t of ${countText(plannedTokens)} tokens is best for ${rateText(rateRps)} prompts/s and offloads ${countText(offloadedRatio * 100)} % of them${roles}: ${expected}`
}

/** Who changes, and what for. */
export function rolesText(
  locals: readonly LocalNode[],
  roles: readonly ProposedRole[],
  { asItIs, plan }: PlanChange,
): string {
  const before = new Set(locals.filter(({ isPrefill }) => isPrefill).map(({ node }) => node))
  const moves = roles
    .filter(({ node, role }) => before.has(node) !== (role === 'prefill'))
    .map(({ node, role }) => `${node} is to ${role}`)
  const [p90Before, p90After] = [asItIs.prediction.ttftSecondsP90, plan.prediction.ttftSecondsP90]
  const gain =
    p90Before === null || p90After === null
      ? `they then carry ${countText(100 * plan.prediction.headroom)} % of the load instead of ${countText(100 * asItIs.prediction.headroom)} %`
      : `TTFT P90 falls from ${secondsText(p90Before)} to ${secondsText(p90After)}`
  const counts = `${before.size} of ${locals.length} nodes here prefill, ${plan.roles.localPrefill} should`
  return sentence([`${counts}: ${moves.join(', ')}`, gain])
}

/** How the short term moved the threshold away from the planned one, or null where it hardly did. */
export function congestionText(thresholdTokens: number, congestion: Congestion): string | null {
  const { plannedTokens, egressUtilisation, remoteDelaySeconds, localDelaySeconds } = congestion
  const ratio = thresholdTokens / plannedTokens
  if (!(Math.abs(ratio - 1) > 0.01)) return null
  return (
    `${ratio > 1 ? 'raised' : 'lowered'} from ${countText(plannedTokens)} to ${countText(thresholdTokens)} tokens: the link is ${countText(egressUtilisation * 100)} % used, ` +
    `a prompt waits ${secondsText(remoteDelaySeconds)} there and ${secondsText(localDelaySeconds)} here`
  )
}

/** Parts that are there, as one sentence. */
export function sentence(parts: readonly (string | null)[]): string {
  const text = parts.filter((part) => part !== null).join('; ')
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}.`
}

function countText(value: number): string {
  return value >= 100 ? Math.round(value).toLocaleString('en-US') : String(Number(value.toPrecision(2)))
}

function gbpsText(bytesPerSecond: number): string {
  return `${Number(gbpsFromBytesPerSecond(bytesPerSecond).toPrecision(3))} Gbps`
}

function rateText(rateRps: number): string {
  return String(Number(rateRps.toPrecision(3)))
}

function secondsText(seconds: number): string {
  return seconds < 0.0995 ? `${Number((seconds * 1000).toPrecision(2))} ms` : `${Number(seconds.toPrecision(3))} s`
}

function nodesText(count: number): string {
  return count === 1 ? '1 node' : `${count} nodes`
}
