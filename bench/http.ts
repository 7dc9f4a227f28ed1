/** What HTTP costs: a stored value of 4 MB by GET, against the same bytes by plain TCP, into the same pooled buffer. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { connect } from 'node:net'
import { fileURLToPath } from 'node:url'
import type { Bench, Findings } from './bench.ts'
import { ratioOf } from './harness.ts'

const RUNS_OF_EACH = 15
const REQUESTS_OF_A_RUN = 40
const POOL_BYTES = 5 * 1024 * 1024

interface Reader {
  /** One request and its whole answer; gives its bytes. */
  readonly ask: () => Promise<number>
  readonly close: () => void
}

export const bench: Bench = {
  summary: 'GET of 4 MB over HTTP, against plain TCP between the same two processes',
  probes: {},
  run: async (): Promise<Findings> => {
    const server = spawn(process.execPath, [fileURLToPath(new URL('http-server.ts', import.meta.url))], {
      stdio: ['pipe', 'pipe', 'inherit'],
    })
    try {
      const [line] = (await once(server.stdout, 'data')) as [Buffer]
      const { httpPort, tcpPort } = JSON.parse(line.toString()) as { httpPort: number; tcpPort: number }
      const pool = Buffer.allocUnsafeSlow(POOL_BYTES)
      const request = `GET /v1/fragments/opaque/=4mb HTTP/1.1\r\nhost: localhost\r\n\r\n`
      const readers = { http: await openReader(httpPort, request, pool), tcp: await openReader(tcpPort, 'x', pool) }
      for (const reader of Object.values(readers)) await runOf(reader)
      const runs = { http: [] as number[], tcp: [] as number[] }
      for (let run = 0; run < RUNS_OF_EACH; run++) {
        // Who comes first takes turns too.
        const order = run % 2 === 0 ? (['http', 'tcp'] as const) : (['tcp', 'http'] as const)
        for (const name of order) runs[name].push(await runOf(readers[name]))
      }
      for (const reader of Object.values(readers)) reader.close()
      return {
        rows: [
          { what: 'HTTP GET of 4 MB', runsMs: runs.http },
          { what: 'TCP, 4 MB', runsMs: runs.tcp },
        ],
        ratios: [ratioOf('HTTP GET as fast as plain TCP (target 0.85)', runs.tcp, runs.http)],
      }
    } finally {
      server.stdin.end()
      await once(server, 'exit')
    }
  },
}

/** Milliseconds of one request. */
async function runOf({ ask }: Reader): Promise<number> {
  const start = performance.now()
  for (let request = 0; request < REQUESTS_OF_A_RUN; request++) await ask()
  return (performance.now() - start) / REQUESTS_OF_A_RUN
}

/** Reads answers into the pool, where they lie whole, without a copy and without streams. */
async function openReader(port: number, request: string, pool: Buffer): Promise<Reader> {
  let filled = 0
  let wanted = Infinity
  let done = (): void => {}
  let failed = (_error: Error): void => {}
  const socket = connect({
    port,
    host: '127.0.0.1',
    noDelay: true,
    onread: {
      buffer: () => pool.subarray(filled),
      callback: (bytes) => {
        const start = filled
        filled += bytes
        if (wanted === Infinity) {
          const end = pool.subarray(0, filled).indexOf('\r\n\r\n', Math.max(0, start - 3))
          if (end >= 0) wanted = end + 4 + Number(/content-length: (\d+)/i.exec(pool.toString('latin1', 0, end))?.[1])
        }
        if (filled >= wanted) done()
        return true
      },
    },
  })
  socket.on('error', (error) => failed(error))
  await once(socket, 'connect')
  return {
    ask: () => {
      filled = 0
      wanted = Infinity
      return new Promise((resolve, reject) => {
        done = () => resolve(filled)
        failed = reject
        socket.write(request)
      })
    },
    close: () => socket.destroy(),
  }
}
