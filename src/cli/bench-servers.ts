/** The servers that `membrane bench` compares: this program's own, and a redis-server, both on free ports of this machine. */
import { type ChildProcess, fork, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { MembraneError } from '../core/errors.ts'
import { WireClient } from './bench-wire.ts'
import { workerFile } from './worker-pool.ts'

export interface BenchServer {
  readonly respPort: number
  readonly respPath: string
  /** Null where it does not speak it. */
  readonly httpPort: number | null
  readonly lmPort: number | null
  stop(): Promise<void>
}

/** `memory` promises nothing after the process; `disk` that a crash of it loses nothing, a power cut at most a second. */
export type BenchStore = 'memory' | 'disk'

const START_MS_MAX = 20_000

/** Throws MISSING_PACKAGE when redis-server is not installed. */
export async function startRedis(store: BenchStore): Promise<BenchServer> {
  return started(async (folder, respPath) => {
    const respPort = await freePort()
    const persistence =
      store === 'memory' ? ['--appendonly', 'no'] : ['--appendonly', 'yes', '--appendfsync', 'everysec']
    const flags = ['--port', String(respPort), '--unixsocket', respPath, '--dir', folder, '--save', '']
    const child = spawn('redis-server', [...flags, ...persistence], { stdio: 'ignore' })
    return { child, ports: { respPort, httpPort: null, lmPort: null } }
  })
}

/** This program, as its users start it. */
export async function startOwn(store: BenchStore): Promise<BenchServer> {
  return started(async (folder, respPath) => {
    const [respPort, httpPort, lmPort] = await Promise.all([freePort(), freePort(), freePort()])
    const doors = ['--port', httpPort, '--resp-port', respPort, '--lm-port', lmPort].map(String)
    const memory =
      store === 'memory' ? ['--store', 'memory', '--max-memory', '4GB'] : ['--store', 'disk', '--data-dir', folder]
    const flags = [...doors, '--resp-socket', respPath, '--compute', 'none', '--log-level', 'warn', ...memory]
    const [script = ''] = process.argv.slice(1)
    const child = spawn(process.execPath, [script, 'serve', ...flags], { stdio: ['ignore', 'ignore', 'inherit'] })
    return { child, ports: { respPort, httpPort, lmPort } }
  })
}

/** A process of Node that answers every byte with `bytes` of memory, and does nothing else. */
export async function startBare(bytes: number): Promise<{ readonly port: number; readonly stop: () => void }> {
  const child = fork(workerFile(new URL('./bench-bare-worker.ts', import.meta.url)), [String(bytes)], { execArgv: [] })
  const stop = (): void => void child.kill('SIGKILL')
  process.once('exit', stop)
  const ended = once(child, 'exit').then(([code]) => {
    throw new MembraneError('PEER_UNAVAILABLE', `The bare server ended with code ${code}.`)
  })
  const [port] = (await Promise.race([once(child, 'message'), ended])) as [number]
  ended.catch(() => {})
  return { port, stop }
}

interface Launched {
  readonly child: ChildProcess
  readonly ports: Omit<BenchServer, 'respPath' | 'stop'>
}

async function started(launch: (folder: string, respPath: string) => Promise<Launched>): Promise<BenchServer> {
  const folder = await mkdtemp(join(tmpdir(), 'membrane-bench-'))
  const respPath = join(folder, 'resp.sock')
  const { child, ports } = await launch(folder, respPath)
  const stop = async (): Promise<void> => {
    if (child.exitCode === null && child.signalCode === null && child.pid !== undefined) {
      child.kill('SIGKILL')
      await once(child, 'exit')
    }
    await rm(folder, { recursive: true, force: true, maxRetries: 3 })
  }
  const ended = new Promise<never>((_resolve, reject) => {
    child.once('error', (cause) => {
      reject(
        new MembraneError('MISSING_PACKAGE', `${child.spawnfile} cannot be run.`, {
          remedy: 'Install redis-server, and see that it is on the PATH.',
          cause,
        }),
      )
    })
    child.once('exit', (code) =>
      reject(new MembraneError('PEER_UNAVAILABLE', `${child.spawnfile} ended with code ${code}.`)),
    )
  })
  try {
    await Promise.race([answering(ports.respPort), ended])
  } catch (error) {
    await stop()
    throw error
  }
  // Its end later is seen by whoever talks to it.
  ended.catch(() => {})
  process.once('exit', () => child.kill('SIGKILL'))
  return { ...ports, respPath, stop }
}

async function answering(port: number): Promise<void> {
  const deadlineMs = performance.now() + START_MS_MAX
  for (;;) {
    try {
      const client = await WireClient.connect({ host: '127.0.0.1', port }, 64)
      await client.exchange([Buffer.from('*1\r\n$4\r\nPING\r\n')], 7)
      client.close()
      return
    } catch (error) {
      if (performance.now() > deadlineMs) throw error
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
  }
}

async function freePort(): Promise<number> {
  const server = createServer()
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  server.close()
  await once(server, 'close')
  if (address === null || typeof address === 'string') throw new Error('Bug: a TCP server has a port.')
  return address.port
}
