/** The addresses by which fleets name a Redis or Valkey, taken apart. */
import { MembraneError } from '../core/errors.ts'

/** How to reach it, and as whom. */
export interface RedisAddress {
  readonly kind: 'single' | 'cluster' | 'sentinel'
  /** At least one; a single server has one, and none when it is reached through a socket file. */
  readonly hosts: readonly RedisHost[]
  readonly socketPath: string | null
  readonly isTls: boolean
  readonly username: string | null
  readonly password: string | null
  readonly db: number
  /** The name under which sentinels know the master. */
  readonly masterName: string | null
  /** For messages: without name and password. */
  readonly text: string
}

interface RedisHost {
  readonly host: string
  readonly port: number
}

const SCHEMES: Readonly<Record<string, { readonly kind: RedisAddress['kind']; readonly isTls: boolean }>> = {
  redis: { kind: 'single', isTls: false },
  rediss: { kind: 'single', isTls: true },
  valkey: { kind: 'single', isTls: false },
  valkeys: { kind: 'single', isTls: true },
  unix: { kind: 'single', isTls: false },
  'redis-cluster': { kind: 'cluster', isTls: false },
  'rediss-cluster': { kind: 'cluster', isTls: true },
  'redis-sentinel': { kind: 'sentinel', isTls: false },
  'rediss-sentinel': { kind: 'sentinel', isTls: true },
}
const FORMS =
  'redis://[user:password@]host[:port][/db], unix:///path[?db=n], redis-cluster://host:port,…, ' +
  'redis-sentinel://host:port,…/master[?db=n]; rediss… for TLS'
const PORT = { single: 6379, cluster: 6379, sentinel: 26_379 } as const

/**
 * Reads `redis://`, `rediss://` (TLS), `valkey://`, `valkeys://`, `unix://`, `redis-cluster://`, `redis-sentinel://` and
 * the latter two with `rediss`. User and password are percent-encoded, and end at the last @. Throws INVALID_CONFIG, which quotes neither.
 */
export function parseRedisUrl(url: string): RedisAddress {
  const parts = /^([a-z-]+):\/\/(?:(.*)@)?([^/?]*)(\/[^?]*)?(?:\?(.*))?$/.exec(url)
  const [, scheme = '', credentials = '', hostsText = '', path = '', query = ''] = parts ?? []
  const known = Object.hasOwn(SCHEMES, scheme) ? SCHEMES[scheme] : undefined
  if (known === undefined) throw invalid(`it begins with ${Object.keys(SCHEMES).join(', ')}`, withoutCredentials(url))
  const { kind, isTls } = known
  const text = `${scheme}://${hostsText}${path}`
  const isSocket = scheme === 'unix'
  if (isSocket && (hostsText !== '' || path.length < 2)) throw invalid('a socket is named as unix:///path', text)
  const hosts = isSocket ? [] : hostsText.split(',').map((host) => parseHost(host, PORT[kind], text))
  if (kind === 'single' && hosts.length > 1)
    throw invalid('several hosts need redis-cluster:// or redis-sentinel://', text)

  const parameters = new URLSearchParams(query)
  const foreign = [...parameters.keys()].find((name) => name !== 'db')
  if (foreign !== undefined) throw invalid(`the one parameter is db, found ${JSON.stringify(foreign)}`, text)
  const inPath = isSocket || kind === 'sentinel' ? '' : path.slice(1)
  const dbText = parameters.get('db') ?? (inPath === '' ? '0' : inPath)
  const db = Number(dbText)
  if (!/^\d{1,9}$/.test(dbText)) throw invalid('a database is a number from 0 on', text)
  if (kind === 'cluster' && db !== 0) throw invalid('a cluster has database 0 only', text)
  const masterName = kind === 'sentinel' ? decode(path.slice(1), text) : null
  if (masterName === '') throw invalid('sentinels are asked for a master by its name', text)

  const colon = credentials.indexOf(':')
  const username = decode(colon === -1 ? credentials : credentials.slice(0, colon), text)
  const password = colon === -1 ? null : decode(credentials.slice(colon + 1), text)
  return {
    kind,
    hosts,
    socketPath: isSocket ? decode(path, text) : null,
    isTls,
    username: username === '' ? null : username,
    password,
    db,
    masterName,
    text,
  }
}

function parseHost(host: string, defaultPort: number, text: string): RedisHost {
  const [, bracketed, plain, portText] = /^(?:\[([0-9a-fA-F:.]+)\]|([^:[\]\s]+))(?::(\d{1,5}))?$/.exec(host) ?? []
  const name = bracketed ?? plain
  const port = portText === undefined ? defaultPort : Number(portText)
  if (name === undefined || port < 1 || port > 65_535) throw invalid('each host is a name and a port', text)
  return { host: name, port }
}

function decode(text: string, urlText: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    throw invalid('names and passwords are percent-encoded', urlText)
  }
}

function withoutCredentials(url: string): string {
  return url.replace(/^(.*?:\/\/)?.*@/s, '$1')
}

function invalid(expected: string, text: string): MembraneError {
  const found = JSON.stringify(text.length > 200 ? `${text.slice(0, 200)}…` : text)
  const message = `The address of a Redis cannot be used: ${expected}. Found ${found}.`
  return new MembraneError('INVALID_CONFIG', message, { remedy: `Write ${FORMS}.`, details: { url: text } })
}
