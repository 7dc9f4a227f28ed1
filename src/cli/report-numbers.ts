import type { Constraint } from '../planner/split.ts'

/** How reports and charts write numbers: three significant digits, and never without a unit. */

/** Far below anything that a planner's answer distinguishes; what is smaller is rounding. */
const ZERO = 1e-9

const THREE_DIGITS = new Intl.NumberFormat('en-US', { minimumSignificantDigits: 3, maximumSignificantDigits: 3 })

export function significant(value: number): string {
  return Math.abs(value) < ZERO ? '0' : THREE_DIGITS.format(value)
}

/** With its sign: what a change brings. */
export function signed(value: number): string {
  return Math.abs(value) < ZERO ? '0' : `${value > 0 ? '+' : ''}${THREE_DIGITS.format(value)}`
}

/** A gain below this share of the rate is what rounding and bisection leave. */
const NO_CHANGE = 5e-4

interface Gain {
  readonly gainRps: number
  readonly gainRatio: number
}

export function hasChanged({ gainRatio }: Gain): boolean {
  return Math.abs(gainRatio) >= NO_CHANGE
}

/** A change of a rate, in absolute terms and of what it was. */
export function gainText(gain: Gain): string {
  return hasChanged(gain) ? `${signed(gain.gainRps)} req/s (${signed(gain.gainRatio * 100)} %)` : 'no change'
}

export function requestsPerSecond(rateRps: number): string {
  return `${significant(rateRps)} req/s`
}

/** A share from 0 to 1, or more. */
export function percent(share: number): string {
  return `${significant(share * 100)} %`
}

export function whole(count: number): string {
  return Math.round(count).toLocaleString('en-US')
}

/** How many times as much. */
export function times(ratio: number): string {
  return `${ratio < 100 ? ratio.toFixed(2) : significant(ratio)}x`
}

/** For axes: no more digits than a round number needs. */
export function short(value: number): string {
  return Number(value.toPrecision(6)).toLocaleString('en-US', { maximumFractionDigits: 6 })
}

/** In the unit that people would say it in. */
export function durationText(seconds: number): string {
  const [unit, name] = seconds < 120 ? [1, 's'] : seconds < 3600 ? [60, 'min'] : [3600, 'h']
  return `${short(Number((seconds / unit).toPrecision(3)))}\u00a0${name}`
}

const CONSTRAINTS: Readonly<Record<Constraint, string>> = {
  'remote-prefill': 'remote prefill',
  egress: 'egress (the link)',
  'local-prefill': 'local prefill',
  decode: 'decode',
  slo: 'SLO (queueing)',
}

export function constraintName(constraint: Constraint): string {
  return CONSTRAINTS[constraint]
}
