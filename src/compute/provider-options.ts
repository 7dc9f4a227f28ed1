/** What every provider is opened with, checked. */
import { type ErrorCode, MembraneError } from '../core/errors.ts'
import { LIMITS } from '../core/limits.ts'
import { checkCount } from './check-count.ts'
import type { Alarm, Clock } from '../core/ports.ts'
import type { Random } from '../core/random.ts'
import type { ApiKey, ProviderName } from './provider-key.ts'
import type { AnswerHeaders } from './provider-headers.ts'

/** When a request that failed is sent again. */
export interface ProviderRetries {
  /** Tries after the first, 0 to LIMITS.providerRetriesMax; default 2. */
  readonly retriesMax: number
  /** The n-th wait is a random time from 0 to `waitMsFirst` * 2^(n-1), at most `waitMsMax`; defaults 500 and 8,000. */
  readonly waitMsFirst: number
  readonly waitMsMax: number
  /**
   * A service that asks for a longer wait is not asked again: the call fails at once, and says how long. Default 60,000.
   * A shorter wait is kept to, with a random part of `waitMsFirst` on top, so that not all come back at once.
   */
  readonly retryAfterMsMax: number
}

/** What became of one attempt, for meters and logs. Nothing in it holds the key. */
export interface ProviderAttemptReport {
  readonly provider: ProviderName
  readonly model: string
  /** From 1. */
  readonly attempt: number
  /** `PROVIDER_…` or `ABORTED` (also when a stream was left early); null when it succeeded. */
  readonly code: ErrorCode | null
  /** Of the answer; null when none began. */
  readonly status: number | null
  readonly requestId: string | null
  /** The headers that say what is left of what the service allows, as received. */
  readonly rateLimits: AnswerHeaders
  readonly tookMs: number
  /** Milliseconds until the next attempt; null when there is none. */
  readonly retryInMs: number | null
}

/** What all three providers are opened with. */
export interface ProviderOptions {
  /** As the service names it. */
  readonly model: string
  /** http or https, without credentials, query or fragment. Default: the service's own address. */
  readonly baseUrl?: string
  /** Null for a server that wants none. */
  readonly apiKey: ApiKey | null
  /** Sent with every request beside the provider's own. Values count as secrets: they are not shown, nor is an answer that repeats them. */
  readonly headers?: Readonly<Record<string, string>>
  /** The longest time for one attempt, from its start to the end of its answer; default 600,000. A slow reader's time counts. */
  readonly timeoutMs?: number
  /** The longest wait between two events of a stream; default 60,000. Before the first one only `timeoutMs` counts: prefill takes long. */
  readonly silenceMsMax?: number
  readonly retries?: Partial<ProviderRetries>
  /** Called at the end of each attempt. */
  readonly onAttempt?: (report: ProviderAttemptReport) => void
  /** Default: the system's. */
  readonly clock?: Clock
  readonly alarm?: Alarm
  readonly random?: Random
}

/** What is not given is so. */
export const DEFAULT_PROVIDER_RETRIES: ProviderRetries = {
  retriesMax: 2,
  waitMsFirst: 500,
  waitMsMax: 8000,
  retryAfterMsMax: 60_000,
}
/** Milliseconds. */
export const DEFAULT_PROVIDER_TIMEOUTS = { timeoutMs: 600_000, silenceMsMax: 60_000 } as const

/** Checked, with all defaults. */
export interface ProviderSettings {
  readonly provider: ProviderName
  readonly model: string
  /** Without a slash at its end. */
  readonly baseUrl: string
  readonly apiKey: ApiKey | null
  readonly headers: Readonly<Record<string, string>>
  readonly timeoutMs: number
  readonly silenceMsMax: number
  readonly retries: ProviderRetries
  readonly onAttempt: (report: ProviderAttemptReport) => void
  readonly clock: Clock
  readonly alarm: Alarm
  readonly random: Random
}

const MODEL_CHARACTERS_MAX = 256

/** Throws INVALID_CONFIG. */
export function providerSettings(provider: ProviderName, baseUrl: string, options: ProviderOptions): ProviderSettings {
  const { model } = options
  if (model.trim() === '' || model.length > MODEL_CHARACTERS_MAX) {
    throw invalid(`model is the name of a model, 1 to ${MODEL_CHARACTERS_MAX} characters.`)
  }
  const settings = {
    provider,
    model,
    baseUrl: checkedUrl(options.baseUrl ?? baseUrl),
    apiKey: options.apiKey,
    headers: checkedHeaders(options.headers ?? {}),
    timeoutMs: options.timeoutMs ?? DEFAULT_PROVIDER_TIMEOUTS.timeoutMs,
    silenceMsMax: options.silenceMsMax ?? DEFAULT_PROVIDER_TIMEOUTS.silenceMsMax,
    retries: { ...DEFAULT_PROVIDER_RETRIES, ...options.retries },
    onAttempt: options.onAttempt ?? (() => undefined),
    clock: options.clock ?? SYSTEM_CLOCK,
    alarm: options.alarm ?? SYSTEM_ALARM,
    random: options.random ?? Math.random,
  }
  const { retriesMax, waitMsFirst, waitMsMax, retryAfterMsMax } = settings.retries
  checkCount('timeoutMs', settings.timeoutMs, 1, LIMITS.providerWaitMsMax)
  checkCount('silenceMsMax', settings.silenceMsMax, 1, LIMITS.providerWaitMsMax)
  checkCount('retriesMax', retriesMax, 0, LIMITS.providerRetriesMax)
  checkCount('waitMsFirst', waitMsFirst, 0, LIMITS.providerWaitMsMax)
  checkCount('waitMsMax', waitMsMax, 0, LIMITS.providerWaitMsMax)
  checkCount('retryAfterMsMax', retryAfterMsMax, 0, LIMITS.providerWaitMsMax)
  return settings
}

/** The address may hold a password, so that the message does not repeat it. */
function checkedUrl(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : null
  const isPlain = url !== null && url.username === '' && url.password === '' && url.search === '' && url.hash === ''
  if (url === null || !isPlain || !/^https?:$/.test(url.protocol)) {
    throw invalid('baseUrl is an http or https URL without credentials, query and fragment.')
  }
  return url.href.replace(/\/+$/, '')
}

function checkedHeaders(headers: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  const entries = Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value] as const)
  for (const [name, value] of entries) {
    if (!/^[a-z0-9!#$%&'*+.^_`|~-]+$/.test(name) || !/^[\t\x20-\x7e]*$/.test(value)) {
      throw invalid('headers are names of HTTP headers with values of printable ASCII.')
    }
    if (FRAMING.includes(name)) throw invalid(`The header ${name} belongs to the transport.`)
  }
  return Object.fromEntries(entries)
}

const FRAMING = ['accept-encoding', 'connection', 'content-length', 'expect', 'host', 'transfer-encoding', 'upgrade']

function invalid(message: string): MembraneError {
  return new MembraneError('INVALID_CONFIG', message)
}

const SYSTEM_CLOCK: Clock = { nowMs: () => Date.now() }

const SYSTEM_ALARM: Alarm = {
  after: (seconds, callback) => {
    const timer = setTimeout(callback, seconds * 1000)
    return () => clearTimeout(timer)
  },
}
