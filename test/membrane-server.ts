/** Starts real Membrane servers on free ports of this machine, from the sources, for tests and benches. */
import { type ChildProcess, spawn } from 'node:child_process'
import { randomInt } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { MembraneClient } from '../src/api/client.ts'

const MAIN = fileURLToPath(new URL('../src/cli/main.ts', import.meta.url))
const START_MS_MAX = 60_000
/** A free port may be taken before the server listens on it. */
const PORT_ATTEMPTS = 5

/** A process that ends by itself takes its servers along. */
const running = new Set<ChildProcess>()
process.once('exit', () => {
  for (const server of running) server.kill('SIGKILL')
})

export interface MembraneServer {
  readonly url: string
  readonly port: number
  readonly folder: string
  /** What it has said on standard error. */
  readonly log: () => string
  /** SIGKILL: what a crash of the process looks like. */
  readonly kill: () => Promise<void>
  /** After `kill`: on the same port, with what is in the folder. Ends when it answers. */
  readonly restart: () => Promise<void>
  /** SIGSTOP makes it hang, SIGCONT go on. */
  readonly signal: (signal: NodeJS.Signals) => void
  readonly pid: () => number
  /** SIGTERM; gives the exit code. */
  readonly end: () => Promise<number | null>
  /** Kills it and deletes its folder. */
  readonly stop: () => Promise<void>
}

export interface MembraneServerOptions {
  /** Further flags of `membrane serve`; by default it computes nothing. */
  readonly args?: readonly string[]
  readonly environment?: Readonly<Record<string, string>>
  /** A free one unless given. */
  readonly port?: number
  /** PEM of the authority, when flags make it speak TLS. */
  readonly ca?: string
}

export async function startMembraneServer(options: MembraneServerOptions = {}): Promise<MembraneServer> {
  const folder = mkdtempSync(join(tmpdir(), 'membrane-server-'))
  for (let attempt = 1; ; attempt += 1) {
    const port = options.port ?? (await freePort())
    try {
      return await start(port, folder, options)
    } catch (error) {
      if (attempt < PORT_ATTEMPTS && /ADDRESS|EADDRINUSE/.test(String(error))) continue
      rmSync(folder, { recursive: true, force: true })
      throw error
    }
  }
}

async function start(port: number, folder: string, options: MembraneServerOptions): Promise<MembraneServer> {
  const url = `${options.ca === undefined ? 'http' : 'https'}://127.0.0.1:${port}`
  let said = ''
  let child: ChildProcess | null = null
  const run = async (): Promise<void> => {
    const words = [
      MAIN,
      'serve',
      '--port',
      String(port),
      '--data-dir',
      join(folder, 'data'),
      ...(options.args ?? ['--compute', 'none']),
    ]
    const started = spawn(process.execPath, words, {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, ...options.environment },
    })
    started.stderr.setEncoding('utf8').on('data', (text: string) => {
      said += text
    })
    running.add(started)
    started.once('exit', () => running.delete(started))
    child = started
    const until = performance.now() + START_MS_MAX
    const told: string[] = []
    started.stdout.setEncoding('utf8').on('data', (text: string) => told.push(text))
    // Its own word first: on a port that was taken meanwhile, it is another server that answers.
    while (!/\bready\b/.test(told.join('')) || !(await answers(url, options.ca))) {
      if (started.exitCode !== null || performance.now() > until) {
        started.kill('SIGKILL')
        throw new Error(`membrane serve did not start: ${said}`)
      }
      await delay(20)
    }
  }
  const end = async (signal: NodeJS.Signals): Promise<number | null> => {
    const ending = child
    if (ending === null || ending.exitCode !== null || ending.signalCode !== null) return ending?.exitCode ?? null
    const { promise, resolve } = Promise.withResolvers<number | null>()
    ending.once('exit', resolve)
    ending.kill(signal)
    return promise
  }
  await run()
  return {
    url,
    port,
    folder,
    log: () => said,
    kill: async () => void (await end('SIGKILL')),
    restart: run,
    pid: () => child?.pid ?? 0,
    signal: (signal) => void child?.kill(signal),
    end: () => end('SIGTERM'),
    stop: async () => {
      await end('SIGKILL')
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

async function answers(url: string, ca: string | undefined): Promise<boolean> {
  const client = new MembraneClient({ url, hashers: null, retriesMax: 0, ...(ca === undefined ? {} : { tls: { ca } }) })
  try {
    return (await client.admin.health()).status === 'ok'
  } catch {
    return false
  } finally {
    await client.close()
  }
}

/**
 * Below those that the system gives to whoever asks for any: between this call and the use of the port, no client and no
 * server of another test is given it.
 */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = randomInt(10_000, 32_768)
    if (await isFree(port)) return port
  }
}

async function isFree(port: number): Promise<boolean> {
  const server = createServer()
  const { promise, resolve } = Promise.withResolvers<boolean>()
  server.once('error', () => resolve(false)).listen(port, '127.0.0.1', () => resolve(true))
  const isListening = await promise
  if (isListening) await new Promise((done) => server.close(done))
  return isListening
}
