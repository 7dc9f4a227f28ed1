import { BITS_PER_GIGABIT, SECONDS_PER_MONTH } from '../core/units.ts'
import type { Scenario } from './scenario.ts'
import type { Roles } from './split.ts'

/** GPUs of a deployment, with the arithmetic that gives them. */
export interface GpuCount {
  readonly remote: number
  readonly local: number
  readonly total: number
  /** For example "4x8 + 8x8". */
  readonly arithmetic: string
}

export function gpuCount(scenario: Scenario, roles: Roles): GpuCount {
  const remotePer = scenario.remote.profile.data.gpusPerInstance
  const localPer = scenario.local.profile.data.gpusPerInstance
  const localInstances = roles.localPrefill + roles.decode
  const remote = roles.remotePrefill * remotePer
  const local = localInstances * localPer
  const parts = [...(remote > 0 ? [`${roles.remotePrefill}x${remotePer}`] : []), `${localInstances}x${localPer}`]
  return { remote, local, total: remote + local, arithmetic: parts.join(' + ') }
}

/** What running a deployment at a rate costs, in the currency of the prices. */
export interface Cost {
  readonly perHour: number
  readonly egressPerHour: number
  /** Prompt and output tokens alike. */
  readonly perMillionTokens: number
}

/** Null unless every pool in use has a price. Egress counts when it has one. */
export function costAt(
  scenario: Scenario,
  roles: Roles,
  load: { readonly rateRps: number; readonly egressGbps: number },
): Cost | null {
  const gpus = gpuCount(scenario, roles)
  const gpuPerHour =
    priced(gpus.remote, scenario.remote.pricePerGpuHour) + priced(gpus.local, scenario.local.pricePerGpuHour)
  if (Number.isNaN(gpuPerHour) || load.rateRps <= 0) return null
  const gigabytesPerHour = ((load.egressGbps * BITS_PER_GIGABIT) / 8 / 1e9) * 3600
  const egressPerHour = gigabytesPerHour * (scenario.link.pricePerGigabyte ?? 0)
  const tokensPerHour = load.rateRps * 3600 * (scenario.promptTokensMean + scenario.outputTokens)
  const perHour = gpuPerHour + egressPerHour
  return { perHour, egressPerHour, perMillionTokens: (perHour / tokensPerHour) * 1e6 }
}

function priced(gpus: number, price: number | null): number {
  return gpus === 0 ? 0 : gpus * (price ?? Number.NaN)
}

/** 10^12 bytes that a steady rate of Gbps moves in an average month. */
export function terabytesPerMonth(gbps: number): number {
  return ((gbps * BITS_PER_GIGABIT) / 8 / 1e12) * SECONDS_PER_MONTH
}
