/**
 * Against pages in a browser, which reach a node of the same machine that asks for no credential. One can make a name of
 * its own mean 127.0.0.1 (DNS rebinding): the browser says that name in the Host header, so such a node answers to its
 * own names only. And one can send a POST without being asked whether it may: the browser says in the Origin header
 * where it comes from.
 */
import { isIP } from 'node:net'
import { MembraneError } from '../core/errors.ts'
import type { ListenAddress } from './door.ts'

const OWN_NAMES = new Set(['localhost', '127.0.0.1', '[::1]'])

/** Whether a door is so placed that its callers are known by where they are alone. */
export function isTrustingLoopback(address: ListenAddress, hasAnonymous: boolean): boolean {
  return hasAnonymous && address.kind === 'tcp' && isLoopback(address.host)
}

/** Throws FORBIDDEN for another name than the door's own. */
export function checkHost(host: string | undefined, address: ListenAddress): void {
  const name = (host ?? '').replace(/:\d*$/, '').toLowerCase()
  const own = address.kind === 'tcp' ? address.host.toLowerCase() : ''
  if (OWN_NAMES.has(name) || name === own || name === `[${own}]`) return
  throw new MembraneError('FORBIDDEN', 'A node without credentials answers to localhost and its own address only.', {
    remedy: 'Ask for localhost, or give the node credentials.',
    details: { host: name.slice(0, 100) },
  })
}

/** Throws FORBIDDEN for a request that a page of somebody else sends. What is no browser says no origin. */
export function checkOrigin(origin: string | undefined, host: string | undefined): void {
  if (origin === undefined) return
  const from = /^https?:\/\/(.+)$/i.exec(origin)?.[1]
  if (from !== undefined && from.toLowerCase() === host?.toLowerCase()) return
  throw new MembraneError('FORBIDDEN', 'A node without credentials takes nothing from pages of others.', {
    remedy: 'Leave the Origin header out, or give the node credentials.',
    details: { origin: origin.slice(0, 100) },
  })
}

function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || (isIP(host) === 4 && host.startsWith('127.'))
}
