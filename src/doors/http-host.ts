/**
 * Against DNS rebinding: a page in a browser can make a name of its own mean 127.0.0.1 and then speak to a node that
 * asks for no credential. The browser says that name in the Host header, so such a node answers to its own names only.
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

function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || (isIP(host) === 4 && host.startsWith('127.'))
}
