import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { gzipSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { calibrate } from '../planner/calibrate.ts'
import { DEFAULT_ENGINE_OPTIONS } from '../planner/engine-options.ts'
import { simulateEngine } from '../planner/engine-sim.ts'
import { readObservedFile } from './read-observed.ts'

const MAIN = join(import.meta.dirname, 'main.ts')
const run = promisify(execFile)
let folder = ''

interface Failure {
  readonly code: number
  readonly stderr: string
  readonly stdout: string
}

const membrane = (...args: readonly string[]) =>
  run(process.execPath, [MAIN, ...args], { env: { ...process.env, NO_COLOR: '1' } })
const failing = (...args: readonly string[]): Promise<Failure> =>
  membrane(...args).then(
    () => expect.unreachable('expected a failure'),
    (error: Failure) => error,
  )

/** A run of an engine of known coefficients, as a client would note it down. */
function observedLines(): string {
  const requests = 72
  const asked = {
    arrivalSeconds: Float64Array.from({ length: requests }, (_, job) => job / 4 + ((job * 7) % 5) / 50),
    inputTokens: Int32Array.from({ length: requests }, (_, job) => 64 + ((job * 331) % 2500)),
    outputTokens: Int32Array.from({ length: requests }, (_, job) => 20 + ((job * 53) % 90)),
  }
  const { firstTokenSeconds, lastTokenSeconds } = simulateEngine(asked, DEFAULT_ENGINE_OPTIONS, {
    fixed: 0.012,
    perSequence: 1e-4,
    perContextToken: 1e-7,
    withPrefill: 0.008,
    perPrefillToken: 4e-5,
    perPrefillPair: 5e-9,
  })
  return Array.from(asked.arrivalSeconds, (arrivalSeconds, job) => {
    const [inputTokens, outputTokens] = [asked.inputTokens[job], asked.outputTokens[job]]
    const ttftSeconds = (firstTokenSeconds[job] ?? 0) - arrivalSeconds
    const e2eSeconds = (lastTokenSeconds[job] ?? 0) - arrivalSeconds
    return `${JSON.stringify({ arrivalSeconds, inputTokens, outputTokens, ttftSeconds, e2eSeconds })}\n`
  }).join('')
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'membrane-calibrate-'))
  await writeFile(join(folder, 'run.jsonl'), observedLines())
  await writeFile(join(folder, 'run.jsonl.gz'), gzipSync(observedLines()))
})
afterAll(() => rm(folder, { recursive: true, force: true }))

describe('membrane calibrate', () => {
  it('says first whether the fit holds, then coefficients with units and both tables', async () => {
    const { stdout } = await membrane('calibrate', join(folder, 'run.jsonl'))
    const [first = ''] = stdout.split('\n')
    expect(first).toMatch(/^The fit holds: from the first 24 requests it predicts the other 48 within/)
    const places = [
      'perContextToken',
      'a token of context',
      '(the first 24 requests)',
      '(the other 48)',
      '128 slots (default)',
    ]
    const found = places.map((text) => stdout.indexOf(text))
    expect(found).not.toContain(-1)
    expect(found).toEqual(found.toSorted((one, other) => one - other))
  })

  it('gives the same as JSON from a gzipped file, and writes a profile that optimize takes', async () => {
    const profile = join(folder, 'profile.json')
    const words = ['--model', 'made up', '--hardware', '1 x GPU', '--name', 'made-up']
    const output = ['--json', '--profile-out', profile, '--kv-bytes-per-token', '131072']
    const { stdout } = await membrane(
      'calibrate',
      join(folder, 'run.jsonl.gz'),
      '--train-share',
      '0.5',
      ...words,
      ...output,
    )
    const answer = JSON.parse(stdout) as { fittedRequests: number; stepSeconds: object; prefill: readonly object[] }
    expect(answer.fittedRequests).toBe(36)
    expect(Object.keys(answer.stepSeconds)).toHaveLength(6)
    const written = JSON.parse(await readFile(profile, 'utf8')) as { prefill: { points: readonly object[] } }
    expect(written).toMatchObject({ name: 'made-up', model: 'made up', decode: { batchMax: 128 } })
    expect(written.prefill.points).toHaveLength(answer.prefill.length)
    const optimized = await membrane('optimize', '--remote-profile', profile, '--local-profile', profile, '--json')
    expect(optimized.stdout).toContain('"lambdaMaxRps"')
  })

  it('needs the KV bytes of a token for a profile, before it fits', async () => {
    const { code, stderr } = await failing('calibrate', join(folder, 'none.jsonl'), '--profile-out', 'x.json')
    expect(code).toBe(1)
    expect(stderr).toContain('--profile-out needs --kv-bytes-per-token')
  })

  it('says what is wrong with a file', async () => {
    const bad = join(folder, 'bad.jsonl')
    await writeFile(bad, `${observedLines().split('\n')[0]}\n{"arrivalSeconds": 1}\n`)
    expect((await failing('calibrate', bad)).stderr).toContain(`${bad}:2:1: found no field "inputTokens"`)
    const missing = await failing('calibrate', join(folder, 'none.jsonl'), '--json')
    expect(JSON.parse(missing.stdout)).toMatchObject({ error: { code: 'FILE_UNREADABLE' } })
  })
})

describe('reading observed requests', () => {
  it('refuses damaged gzip, bytes that are no text, and a folder', async () => {
    const damaged = join(folder, 'damaged.gz')
    await writeFile(damaged, gzipSync(observedLines()).subarray(0, 500))
    await expect(readObservedFile(damaged)).rejects.toThrow('found damaged gzip data, expected a whole gzip file')
    const binary = join(folder, 'binary')
    await writeFile(binary, Buffer.of(0x7b, 0xff, 0xfe))
    await expect(readObservedFile(binary)).rejects.toThrow('found bytes that are not UTF-8')
    await expect(readObservedFile(folder)).rejects.toThrow('found a directory')
  })
})

const PROFILES = join(import.meta.dirname, '../../../shared/data/profiles')
const hasData = existsSync(PROFILES)
const WHY = hasData ? '' : ` (SKIPPED: no data folder ${PROFILES})`

describe.skipIf(!hasData)(`the measured vLLM runs${WHY}`, () => {
  it.each([
    ['llama_3_1_8b', {}],
    ['qwen3_30b_a3b_instruct_2507', { replicas: 2, isLockstep: true }],
    ['qwen3_32b', {}],
  ])(
    '%s: the rest is predicted within 15 % in TTFT, 5 %% in TPOT and E2E',
    async (name, engine) => {
      const observed = await readObservedFile(join(PROFILES, `vllm_bench_rtxpro6000_${name}_requests.jsonl.gz`))
      const { errors, requests, fittedRequests } = calibrate(observed, {
        engine,
        fit: { evaluationsMax: 250, starts: 2 },
      })
      expect([requests, fittedRequests]).toEqual([300, 100])
      const errorOf = (metric: string) =>
        Math.abs(errors.rest.find((row) => row.metric === metric)?.error ?? Number.NaN)
      expect(errorOf('TTFT mean')).toBeLessThan(0.15)
      expect(errorOf('TPOT mean')).toBeLessThan(0.05)
      expect(errorOf('E2E mean')).toBeLessThan(0.05)
    },
    60_000,
  )
})
