/** Checks of `membrane doctor` over HTTP: the door, its certificate, its clock, and what the credential may do. */
import { randomBytes } from 'node:crypto'
import { connect } from 'node:tls'
import type { MembraneClient } from '../api/client.ts'
import { MembraneError } from '../core/errors.ts'
import { type Check, failed, type Finding, ok, warning } from './doctor-check.ts'
import { bytesText } from './units.ts'

const VALUE_BYTES = 4 * 1024 * 1024
/** The Date header has seconds, and an answer takes its time. */
const CLOCK_MS_MAX = 2000
const DAY_MS = 86_400_000
const EXPIRY_WARNING_DAYS = 30

export function serverChecks(client: MembraneClient, url: URL, ca: string | null): readonly Check[] {
  return [
    ...(url.protocol === 'https:' ? [{ name: 'TLS', run: (signal: AbortSignal) => certificate(url, ca, signal) }] : []),
    { name: 'HTTP door', run: (signal) => door(client, signal) },
    { name: 'clock', run: (signal) => clock(client, signal) },
    { name: 'credential', run: (signal) => credential(client, signal) },
  ]
}

/** Writes, reads back, compares and removes. */
async function door(client: MembraneClient, signal: AbortSignal): Promise<Finding> {
  const { status } = await client.admin.health({ signal })
  if (status === 'draining') return failed('It is shutting down.', 'Start it again, or ask another node.')
  const payload = randomBytes(VALUE_BYTES)
  const startMs = performance.now()
  const { key } = await client.put({ payload, ttlMs: 60_000, signal })
  try {
    const found = await client.get(key, { signal })
    if (found === null || !payload.equals(found.payload))
      return failed('GET gave other bytes than PUT took.', 'Do not use this server: report it.')
  } finally {
    await client.remove([key])
  }
  return ok(`${bytesText(VALUE_BYTES)} written, read back and equal in ${Math.round(performance.now() - startMs)} ms`)
}

async function clock(client: MembraneClient, signal: AbortSignal): Promise<Finding> {
  const { serverTimeMs, roundTripMs } = await client.admin.health({ signal })
  return clockFinding({ serverTimeMs, roundTripMs, ownTimeMs: Date.now() })
}

export function clockFinding(times: {
  readonly serverTimeMs: number | null
  readonly roundTripMs: number
  readonly ownTimeMs: number
}): Finding {
  const { serverTimeMs, roundTripMs, ownTimeMs } = times
  if (serverTimeMs === null) return warning('The server does not say its time.', 'Check that no proxy removes Date.')
  // The header has the beginning of its second.
  const offMs = Math.abs(ownTimeMs - roundTripMs / 2 - (serverTimeMs + 500))
  const found = `${(offMs / 1000).toFixed(1)} s between the server's clock and this one`
  return offMs <= CLOCK_MS_MAX + roundTripMs
    ? ok(found)
    : warning(found, 'Times of expiry are those of the server: set both clocks by NTP.')
}

async function credential(client: MembraneClient, signal: AbortSignal): Promise<Finding> {
  const may = async (what: string, act: () => Promise<unknown>): Promise<readonly string[]> => {
    try {
      await act()
      return [what]
    } catch (error) {
      if (error instanceof MembraneError && error.code === 'FORBIDDEN') return []
      throw error
    }
  }
  const { tenant } = await client.admin.usage({ signal })
  const put = async (): Promise<void> => {
    const { key } = await client.put({ payload: randomBytes(16), ttlMs: 60_000, signal })
    await client.remove([key])
  }
  const allowed = [
    ...(await may('reads', () => client.has(['opaque/=membrane-doctor'], { leaseMs: 0, signal }))),
    ...(await may('writes', put)),
    ...(await may('administers', () => client.admin.tenants({ signal }))),
  ]
  const found = `tenant ${tenant}: ${allowed.length === 0 ? 'nothing' : allowed.join(', ')}`
  return allowed.includes('writes')
    ? ok(found)
    : warning(found, 'It cannot store: give a token of the role writer, made by `membrane token new`.')
}

async function certificate(url: URL, ca: string | null, signal: AbortSignal): Promise<Finding> {
  const host = url.hostname.replace(/^\[|\]$/g, '')
  const socket = connect({
    host,
    port: url.port === '' ? 443 : Number(url.port),
    ...(ca === null ? {} : { ca }),
    ...(/^[\d.]+$|:/.test(host) ? {} : { servername: host }),
  })
  signal.addEventListener('abort', () => socket.destroy(), { once: true })
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  socket.once('secureConnect', resolve).once('error', reject)
  try {
    await promise
    return expiryFinding(Date.parse(socket.getPeerCertificate().valid_to), Date.now(), socket.getProtocol())
  } catch (cause) {
    const reason = cause instanceof Error && 'code' in cause ? String(cause.code) : String(cause)
    throw new MembraneError('PEER_UNAVAILABLE', `No TLS with ${url.host}: ${reason}.`, {
      remedy:
        reason === 'CERT_HAS_EXPIRED'
          ? 'Renew the certificate of the server.'
          : "Name the authority that signed the server's certificate with --ca, and the host as it stands in it.",
      cause,
    })
  } finally {
    socket.destroy()
  }
}

export function expiryFinding(endsAtMs: number, nowMs: number, protocol: string | null): Finding {
  const days = Math.floor((endsAtMs - nowMs) / DAY_MS)
  const found = `${protocol ?? 'TLS'}, certificate good for ${days} days`
  if (days < 0) return failed(`The certificate ended ${-days} days ago.`, 'Renew the certificate of the server.')
  return days >= EXPIRY_WARNING_DAYS ? ok(found) : warning(found, 'Renew the certificate of the server.')
}
