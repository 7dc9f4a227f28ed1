/** A fault as the error that callers see. What a stranger said is shown without keys, and in bounds. */
import { MembraneError } from '../core/errors.ts'
import { describeFault, judge, type ProviderFault } from './provider-fault.ts'
import { type AnswerHeaders, rateLimits, requestId, retryAfterMs } from './provider-headers.ts'
import type { ProviderSettings } from './provider-options.ts'

const SAID_CHARACTERS_MAX = 500
/** Shorter values of headers are words, not secrets. */
const SECRET_CHARACTERS_MIN = 8
/** Redacting looks at every place of a text; what is shown is a small part of this. */
const SEARCHED_CHARACTERS_MAX = 8 * SAID_CHARACTERS_MAX

/** `attempts` counts all, this one too. */
export function providerError(settings: ProviderSettings, fault: ProviderFault, attempts: number): MembraneError {
  const { provider, model } = settings
  const shown = 'said' in fault ? { ...fault, said: shownText(settings, fault.said) } : fault
  const { code } = judge(fault)
  const details = { provider, model, fault: fault.kind, attempts, ...answerDetails(settings, fault) }
  const times = attempts === 1 ? '' : ` (${attempts} attempts)`
  const message = `${model} of ${provider} ${describeFault(shown)}${times}.`
  const remedy = remedyFor(fault)
  // No cause: an SDK's errors carry requests, answers and headers.
  return new MembraneError(code, message, { details, ...(remedy === null ? {} : { remedy }) })
}

function answerDetails(settings: ProviderSettings, fault: ProviderFault): Readonly<Record<string, unknown>> {
  if (fault.kind === 'reported') return { status: fault.status }
  if (fault.kind !== 'status') return {}
  const headers = shownHeaders(settings, fault.headers)
  return {
    status: fault.status,
    requestId: requestId(headers),
    retryAfterMs: retryAfterMs(headers, settings.clock.nowMs()),
    rateLimits: rateLimits(headers),
  }
}

/** Headers as they may be shown. */
export function shownHeaders(settings: ProviderSettings, headers: AnswerHeaders): AnswerHeaders {
  return Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, shownText(settings, value)]))
}

function shownText({ apiKey, headers }: ProviderSettings, said: string): string {
  let text = said.slice(0, SEARCHED_CHARACTERS_MAX)
  for (const value of Object.values(headers)) {
    if (value.length >= SECRET_CHARACTERS_MIN) text = text.replaceAll(value, '[header]')
  }
  if (apiKey !== null) text = apiKey.redact(text)
  // Control characters of a stranger would reach a terminal.
  text = text.replaceAll(/[\p{Cc}\p{Cf}\s]+/gu, ' ').trim()
  return text.length > SAID_CHARACTERS_MAX ? `${text.slice(0, SAID_CHARACTERS_MAX)}…` : text.replace(/\.$/, '')
}

function remedyFor(fault: ProviderFault): string | null {
  if (fault.kind === 'unreachable') return 'Check the base URL, and that the service runs.'
  if (fault.kind === 'timeout') return 'Give it more time, or ask for fewer tokens.'
  if (fault.kind !== 'status') return null
  const { status } = fault
  if (status >= 300 && status < 400)
    return 'It redirects: give the base URL to which it does, redirects are not followed.'
  if (status === 401 || status === 403) return 'Check the key, and what it may be used for.'
  if (status === 404) return 'Check the base URL and the name of the model.'
  if (status === 429) return 'Send fewer requests, or wait as long as it says.'
  return null
}
