/** New certificates for a listener that is open: connections that there are keep theirs. */
import type { Server as PlainServer } from 'node:net'
import { Server as TlsServer } from 'node:tls'
import type { DoorTls } from './door.ts'

/** False when it speaks plain text. */
export function renewTls(server: PlainServer, { cert, key, clientCa }: DoorTls): boolean {
  if (!(server instanceof TlsServer)) return false
  server.setSecureContext({ cert, key, ...(clientCa === null ? {} : { ca: clientCa }) })
  return true
}
