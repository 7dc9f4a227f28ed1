import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { ggufBytes, randomLlama, TINY_LLAMA } from '../../test/gguf-writer.ts'
import { openCpuBackend } from '../compute/cpu.ts'
import { createHashChain } from '../core/hash-chains.ts'
import { loadChainHashes } from '../hashing/chain-hashes.ts'
import { loadContentHashers } from '../hashing/content-hashers.ts'
import { MeasuredRates } from '../policy/measured-rates.ts'
import { selfTest } from './self-test.ts'
import { systemAlarm, systemStopwatch } from './system-time.ts'

const { hashers } = await loadContentHashers()
const hashes = await loadChainHashes()
const folder = mkdtempSync(join(tmpdir(), 'membrane-self-test-'))
afterAll(() => rmSync(folder, { recursive: true }))

describe('the test of an engine', () => {
  it.each([8, 16, 17, 40, 64, 128])('passes one that is right with a context of %i tokens', async (contextTokens) => {
    const modelPath = join(folder, `${contextTokens}.gguf`)
    writeFileSync(modelPath, ggufBytes(randomLlama({ ...TINY_LLAMA, contextTokens })))
    const hashing = { blake3: hashes.blake3, contentHasher: hashers.b3 }
    const backend = await openCpuBackend({ modelPath, threads: 1, memoryBytesMax: 2 ** 26, ...hashing })
    const testing = selfTest({
      backend,
      model: backend.model,
      chain: createHashChain('blake3', { hashes, blockTokens: 16 }),
      rates: new MeasuredRates(),
      hashers,
      stopwatch: systemStopwatch,
      alarm: systemAlarm,
      fragmentize: { blockTokens: 16, fragmentTokens: 64 },
    })
    await expect(testing).resolves.toBeUndefined()
    await backend.close()
  })
})
