import { spawn, spawnSync } from 'node:child_process'
import { mkdirSync, readdirSync, readFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { runPhases } from '../../src/cli/demo-full.ts'
import type { PhaseResult } from '../../src/cli/demo-full-phase.ts'
import { type PrintedGeneration, runRestart } from '../../src/cli/demo-full-restart.ts'
import { type DemoWorldOptions, withDemoWorld } from '../../src/cli/demo-full-world.ts'
import { DEFAULT_MODEL_PATH, openCpuBackend } from '../../src/compute/cpu.ts'
import type { KvBackend, KvContext } from '../../src/core/compute.ts'
import { parseContentHash } from '../../src/core/ids.ts'
import type { FragmentStore } from '../../src/core/ports.ts'
import { loadChainHashes } from '../../src/hashing/chain-hashes.ts'
import { loadContentHashers } from '../../src/hashing/content-hashers.ts'
import { MemoryStore } from '../../src/store/memory.ts'
import { openCommand, PROGRAM, ROOT } from './command.ts'

const { folder } = openCommand('demo-full')
const NAMES = ['restart', 'cache', 'delta', 'graph', 'session', 'tenants', 'eviction', 'offload', 'price']

/** Where the demo keeps what it writes, so that what it leaves is seen. */
function temporary(name: string): NodeJS.ProcessEnv {
  const path = join(folder, name)
  mkdirSync(path)
  return { ...process.env, TMPDIR: path }
}

describe('demo full', () => {
  test('passes every phase, each with checks, and leaves nothing behind', () => {
    const env = temporary('json')
    const { status, stdout, stderr } = spawnSync(process.execPath, [PROGRAM, 'demo', 'full', '--json'], {
      encoding: 'utf8',
      env,
    })
    const { phases } = JSON.parse(stdout) as { phases: PhaseResult[] }
    expect(phases.flatMap(({ checks }) => checks).filter(({ holds }) => !holds)).toEqual([])
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' })
    expect(phases.map(({ name }) => name)).toEqual(NAMES)
    for (const { name, checks } of phases) expect(checks.length, name).toBeGreaterThanOrEqual(3)
    expect(readdirSync(env['TMPDIR'] ?? '')).toEqual([])
  })

  test('prints a page of 80 columns that says what was measured', () => {
    const { status, stdout } = spawnSync(process.execPath, [PROGRAM, 'demo', 'full'], { encoding: 'utf8' })
    expect(status).toBe(0)
    for (const line of stdout.split('\n')) expect(line.length, line).toBeLessThanOrEqual(80)
    expect(stdout).toMatch(/TTFT [\d.]+ m?s, [\d.]+ times\s+as\s+fast/)
    expect(stdout).toMatch(/2 hits and 3\s+misses: hit ratio 0\.40/)
    expect(stdout).toMatch(/All hold: 9 of 9 phases/)
  })

  test('removes what it wrote when it is interrupted', async () => {
    const env = temporary('interrupted')
    const child = spawn(process.execPath, [PROGRAM, 'demo', 'full'], { env, stdio: ['ignore', 'pipe', 'ignore'] })
    const ended = new Promise((resolve) => child.on('close', resolve))
    const written = (): string[] => readdirSync(env['TMPDIR'] ?? '')
    while (written().length === 0) await new Promise((resolve) => setTimeout(resolve, 10))
    child.kill('SIGINT')
    expect(await ended).not.toBe(0)
    expect(written()).toEqual([])
  })
})

describe('a phase of the demo fails', () => {
  test('when the store loses what it was given', async () => {
    const failed = await failedPhases({ newStore: () => losing(new MemoryStore({ nowMs: Date.now })) })
    expect(failed).toEqual(expect.arrayContaining(['cache', 'delta', 'tenants', 'eviction']))
  })

  test('when the engine does not take the KV that it is given', async () => {
    const failed = await failedPhases({ change: (backend) => ({ ...backend, openContext: forgetting(backend) }) })
    expect(failed).toEqual(expect.arrayContaining(['cache', 'delta', 'tenants']))
  })

  test('and none when both do as they should', async () => {
    expect(await failedPhases({})).toEqual([])
  })

  test.each([
    ['other KV', { kvHash: parseContentHash(`b3:${'1'.repeat(64)}`) }],
    ['another answer', { text: 'another' }],
    ['a slower start', { ttftSeconds: 2 }],
    ['nothing reused', { reusedTokens: 0 }],
    ['an explanation with a gap', { explain: [] }],
  ])('when the second process has %s', async (_, change) => {
    const { checks } = await restart({ ...SECOND, ...change })
    expect(checks.filter(({ holds }) => !holds)).toHaveLength(1)
  })

  test('and not when it has all of it', async () => {
    expect((await restart(SECOND)).checks.every(({ holds }) => holds)).toBe(true)
  })
})

const FIRST: PrintedGeneration = {
  text: 'answer',
  promptTokens: 100,
  reusedTokens: 0,
  prefilledTokens: 100,
  ttftSeconds: 1,
  loadSeconds: 1,
  kvHash: parseContentHash(`b3:${'0'.repeat(64)}`),
  explain: [{ start: 0, end: 100, source: 'prefill', bytes: 0, seconds: 1, reason: 'Nothing is there.' }],
}
const SECOND: PrintedGeneration = { ...FIRST, reusedTokens: 96, prefilledTokens: 4, ttftSeconds: 0.1 }

async function restart(second: PrintedGeneration): ReturnType<typeof runRestart> {
  const answers = [FIRST, second]
  return runRestart(async () => answers.shift() ?? FIRST)
}

async function failedPhases({
  change = (backend) => backend,
  newStore,
}: Pick<DemoWorldOptions, 'newStore'> & { change?: (backend: KvBackend) => KvBackend }): Promise<readonly string[]> {
  const [{ hashers }, { blake3 }] = await Promise.all([loadContentHashers(), loadChainHashes()])
  const backend = await openCpuBackend({
    modelPath: DEFAULT_MODEL_PATH,
    threads: availableParallelism(),
    memoryBytesMax: 1024 ** 3,
    blake3,
    contentHasher: hashers.b3,
  })
  const { kind, name, description, model, isSimulated } = backend
  const plain: KvBackend = {
    kind,
    name,
    description,
    model,
    isSimulated,
    openContext: (tokens) => backend.openContext(tokens),
    close: () => backend.close(),
  }
  const results: PhaseResult[] = []
  const documentText = readFileSync(join(ROOT, 'examples/packages.txt'), 'utf8')
  const options = { backend: change(plain), documentText, ...(newStore === undefined ? {} : { newStore }) }
  try {
    await withDemoWorld(options, (world) => runPhases(world, (result) => results.push(result)))
  } finally {
    await backend.close()
  }
  return results.filter(({ passed }) => !passed).map((result) => result.name)
}

function losing(store: MemoryStore): FragmentStore {
  return new Proxy<FragmentStore>(store, {
    get: (target, name: keyof FragmentStore) => {
      if (name === 'get') return async () => null
      const member: unknown = target[name]
      return typeof member === 'function' ? (member.bind(target) as unknown) : member
    },
  })
}

/** Contexts in which what is written is zeros. */
function forgetting(backend: KvBackend): KvBackend['openContext'] {
  return async (tokens) => {
    const context = await backend.openContext(tokens)
    const write: KvContext['write'] = (parts, options) => {
      const zeros = parts.map((part) => ({
        ...part,
        tensors: part.tensors.map((tensor) => ({ ...tensor, data: new Uint8Array(tensor.data.length) })),
      }))
      return context.write(zeros, options)
    }
    return new Proxy(context, {
      get: (target, name: keyof KvContext) => {
        if (name === 'write') return write
        const member: unknown = target[name]
        return typeof member === 'function' ? (member.bind(target) as unknown) : member
      },
    })
  }
}
