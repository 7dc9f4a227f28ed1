/** The process that bench/http.ts reads from: a node's HTTP door, and a server that sends the same bytes without any protocol. Prints both ports. */
import { createServer } from 'node:net'
import pino from 'pino'
import { DEFAULT_TENANT } from '../src/core/ids.ts'
import { openServer } from '../src/doors/open-server.ts'
import { loadContentHashers } from '../src/hashing/content-hashers.ts'
import { DEFAULT_FABRIC_OPTIONS, openFabric } from '../src/server/fabric.ts'
import { Gate } from '../src/server/gate.ts'
import { createOperations } from '../src/server/operations.ts'
import { systemStopwatch } from '../src/server/system-time.ts'
import { openTenantQuotas } from '../src/server/tenant-quotas.ts'
import { MemoryStore } from '../src/store/memory.ts'

const PAYLOAD_BYTES = 4 * 1024 * 1024

const payload = Buffer.allocUnsafeSlow(PAYLOAD_BYTES).fill('membrane')
const clock = { nowMs: Date.now }
const { hashers } = await loadContentHashers()
const quotas = await openTenantQuotas(null)
const fabric = await openFabric({
  ...DEFAULT_FABRIC_OPTIONS,
  store: new MemoryStore(clock),
  tier: 'memory',
  hashers,
  clock,
  seed: 1,
})
const server = await openServer({
  operations: createOperations({
    fabric,
    quotas,
    engine: { kind: 'none' },
    gate: new Gate(null),
    clock,
    stopwatch: systemStopwatch,
    leaseMs: 5000,
    node: 'bench',
    log: pino({ level: 'silent' }),
    audit: { around: (_, act) => act() },
    scrub: null,
  }),
  version: 'bench',
  doors: [
    {
      name: 'http',
      address: { kind: 'tcp', host: '127.0.0.1', port: 0 },
      tls: null,
      authenticator: {
        anonymous: { tenant: DEFAULT_TENANT, role: 'admin', name: 'anonymous' },
        byToken: () => null,
        byCertificate: () => null,
      },
    },
  ],
  log: pino({ level: 'silent' }),
  bodyBytesMax: 2 ** 26,
  payloadBytesMax: 2 ** 26,
  connectionsMax: 16,
})
const address = server.doors[0]?.address
const httpPort = address?.kind === 'tcp' ? address.port : 0
await fetch(`http://127.0.0.1:${httpPort}/v1/fragments/opaque/=4mb`, { method: 'PUT', body: payload })

/** The same shape as an answer: a head that ends as one of HTTP does, and the bytes. */
const head = Buffer.from(`content-length: ${PAYLOAD_BYTES}\r\n\r\n`)
const bare = createServer({ noDelay: true }, (socket) => {
  socket.on('data', () => {
    socket.cork()
    socket.write(head)
    socket.write(payload)
    socket.uncork()
  })
  socket.on('error', () => {})
})
bare.listen(0, '127.0.0.1', () => {
  const bound = bare.address()
  const tcpPort = typeof bound === 'object' && bound !== null ? bound.port : 0
  process.stdout.write(`${JSON.stringify({ httpPort, tcpPort })}\n`)
})
// Whoever started it has gone.
process.stdin.resume()
process.stdin.once('end', () => process.exit(0))
