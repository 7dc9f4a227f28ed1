/** Why an address cannot be listened on, and what to do about it: the same words at every door. */
import { MembraneError } from '../core/errors.ts'
import { addressText, type ListenAddress } from './door.ts'

/** ADDRESS_UNAVAILABLE for what the system said. */
export function addressError(address: ListenAddress, cause: unknown): MembraneError {
  const systemCode = cause instanceof Error && 'code' in cause ? String(cause.code) : String(cause)
  const [found, remedy] = explain(address, systemCode)
  return new MembraneError('ADDRESS_UNAVAILABLE', `${addressText(address)} cannot be listened on: ${found}.`, {
    remedy,
    details: { systemCode },
    cause,
  })
}

function explain(address: ListenAddress, systemCode: string): readonly [string, string] {
  const isUnix = address.kind === 'unix'
  switch (systemCode) {
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
    case 'EAI_FAIL':
      return [
        `the host does not resolve to an address (${systemCode})`,
        'Name a host of this machine, such as 127.0.0.1, or 0.0.0.0 for all of its addresses.',
      ]
    case 'EADDRNOTAVAIL':
      return [
        'the host is no address of this machine (EADDRNOTAVAIL)',
        'Name a host of this machine, such as 127.0.0.1, or 0.0.0.0 for all of its addresses.',
      ]
    case 'EACCES':
    case 'EPERM':
      return [
        `permission is missing (${systemCode})`,
        isUnix
          ? 'Name a socket in a directory that this user may write in.'
          : 'Choose a port from 1024 on, or 0 for a free one.',
      ]
    case 'EADDRINUSE':
      return [
        'another program has it (EADDRINUSE)',
        isUnix ? 'Name another socket.' : 'Choose another port, or 0 for a free one.',
      ]
    default:
      return [
        `the system says ${systemCode}`,
        isUnix ? 'Name another socket.' : 'Choose another port, or 0 for a free one.',
      ]
  }
}
