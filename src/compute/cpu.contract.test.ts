/** The contract of engines that export KV, on the engine of this project: bit for bit. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll } from 'vitest'
import { describeKvBackend } from '../../test/contracts/kv-backend.ts'
import { ggufBytes, randomLlama, TINY_LLAMA } from '../../test/gguf-writer.ts'
import { readGguf } from '../engine/gguf.ts'
import { tokenizerOf } from '../engine/tokenizer.ts'
import { loadChainHashes } from '../hashing/chain-hashes.ts'
import { loadContentHashers } from '../hashing/content-hashers.ts'
import { type CpuBackendOptions, DEFAULT_MODEL_PATH, openCpuBackend } from './cpu.ts'

const { blake3 } = await loadChainHashes()
const { hashers } = await loadContentHashers()
const open = (options: Pick<CpuBackendOptions, 'modelPath' | 'threads' | 'memoryBytesMax'>) =>
  openCpuBackend({ ...options, blake3, contentHasher: hashers.b3 })

const folder = mkdtempSync(join(tmpdir(), 'membrane-cpu-'))
const tinyPath = join(folder, 'tiny.gguf')
writeFileSync(tinyPath, ggufBytes(randomLlama(TINY_LLAMA)))
afterAll(() => rmSync(folder, { recursive: true }))

/** Of 256 bytes of KV for each token. */
const TINY = { modelPath: tinyPath, threads: 2, memoryBytesMax: 16 * 1024 ** 2 }
const TINY_CONTEXT_TOKENS = 128

describeKvBackend('the engine with a tiny model', {
  open: () => open(TINY),
  promptTokens: Uint32Array.from({ length: 72 }, (_, index) => (index * 7919 + 11) % TINY_LLAMA.vocabularyTokens),
  exactness: 'bits',
  bounded: {
    open: () => open({ ...TINY, memoryBytesMax: 1024 ** 2 }),
    contextTokens: TINY_CONTEXT_TOKENS,
    contexts: Math.floor(1024 ** 2 / (TINY_CONTEXT_TOKENS * 256)),
  },
})

const shippedTokens = tokenizerOf(await readGguf(DEFAULT_MODEL_PATH)).encode(
  readFileSync(new URL('../../examples/packages.txt', import.meta.url), 'utf8'),
)

describeKvBackend('the engine with the model that comes along', {
  open: () => open({ modelPath: DEFAULT_MODEL_PATH, threads: 2, memoryBytesMax: 256 * 1024 ** 2 }),
  promptTokens: shippedTokens.slice(0, 100),
  exactness: 'bits',
  // On both sides of blocks, of the rows that the kernel computes at a time, and of the whole prompt.
  splits: [1, 3, 4, 15, 16, 17, 33, 64, 98, 99],
})
