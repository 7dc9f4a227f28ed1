import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { ggufBytes, type MetadataValue, randomLlama, TINY_LLAMA, type WrittenTensor } from '../../test/gguf-writer.ts'
import { readGguf } from './gguf.ts'
import { checkLlamaTensors, readLlamaConfig } from './llama-config.ts'

const folder = mkdtempSync(join(tmpdir(), 'membrane-config-'))
afterAll(() => rmSync(folder, { recursive: true }))

const TINY = randomLlama(TINY_LLAMA)

/** Reads and checks a tiny model with these metadata and these tensors changed; null takes one away. */
async function check(
  metadata: Readonly<Record<string, MetadataValue | null>>,
  tensors: Readonly<Record<string, WrittenTensor | null>> = {},
) {
  const all = Object.entries({ ...TINY.metadata, ...metadata })
  const path = join(folder, 'model.gguf')
  const kept = TINY.tensors.filter(({ name }) => !(name in tensors))
  const bytes = ggufBytes({
    metadata: Object.fromEntries(all.flatMap(([key, value]) => (value === null ? [] : [[key, value]]))),
    tensors: [...kept, ...Object.values(tensors).filter((tensor) => tensor !== null)],
  })
  writeFileSync(path, bytes)
  const gguf = await readGguf(path)
  const config = readLlamaConfig(gguf)
  checkLlamaTensors(gguf, config)
  return config
}

const u32 = (value: number): MetadataValue => ({ type: 'u32', value })
const f32 = (value: number): MetadataValue => ({ type: 'f32', value })
const text = (value: string): MetadataValue => ({ type: 'text', value })
const zeros = (name: string, ...shape: readonly number[]): WrittenTensor => ({
  name,
  shape,
  type: 'F32',
  values: new Float32Array(shape.reduce((product, length) => product * length, 1)),
})

test('a model of the Llama family is read, with what files may leave out', async () => {
  const expected = { dim: 32, headDim: 8, kvHeads: 2, ffnDim: 64, ropeTheta: 10_000, isTied: true }
  expect(await check({})).toMatchObject(expected)
  expect(await check({ 'llama.rope.freq_base': null, 'llama.vocab_size': null })).toMatchObject(expected)
  expect(await check({ 'llama.rope.scaling.type': text('none'), 'llama.expert_count': u32(0) })).toMatchObject(expected)
})

describe('a model that the engine would compute wrongly is refused', () => {
  test.each<[string, Readonly<Record<string, MetadataValue | null>>, RegExp]>([
    ['another architecture', { 'general.architecture': text('qwen2') }, /architecture llama; found "qwen2"/],
    ['no architecture', { 'general.architecture': null }, /architecture llama/],
    ['scaled RoPE', { 'llama.rope.scaling.type': text('yarn') }, /rope.scaling.type is none; found "yarn"/],
    ['scaled RoPE of old files', { 'llama.rope.scale_linear': f32(4) }, /scale_linear is 1 or 0; found 4/],
    ['part of a head rotated', { 'llama.rope.dimension_count': u32(4) }, /dimension_count must be 8; found 4/],
    ['experts', { 'llama.expert_count': u32(8) }, /expert_count is 0; found 8/],
    ['a sliding window', { 'llama.attention.sliding_window': u32(64) }, /sliding_window is 0; found 64/],
    ['a key that is not known', { 'llama.logit_scale': f32(2) }, /does not know what llama.logit_scale \(2\)/],
    ['values of another width', { 'llama.attention.value_length': u32(16) }, /value_length must be 8; found 16/],
    [
      'heads of a width that fits no vector',
      { 'llama.attention.key_length': u32(12) },
      /multiple of 8 numbers; found 12/,
    ],
    ['KV heads that do not divide', { 'llama.attention.head_count_kv': u32(3) }, /4 heads cannot share 3/],
    [
      'a number that is missing',
      { 'llama.block_count': null },
      /block_count must be a number above 0; found undefined/,
    ],
    ['a number that is none', { 'llama.block_count': text('2') }, /block_count must be a number above 0/],
    ['half a layer', { 'llama.block_count': f32(1.5) }, /whole number/],
    ['more positions than are exact', { 'llama.context_length': u32(2 ** 20) }, /at most 1048575/],
    ['another vocabulary', { 'llama.vocab_size': u32(299) }, /vocab_size must be 300; found 299/],
  ])('%s', async (_, metadata, message) => {
    await expect(check(metadata)).rejects.toMatchObject({
      code: 'INVALID_MODEL',
      message: expect.stringMatching(message),
    })
  })

  test.each<[string, Readonly<Record<string, WrittenTensor | null>>, RegExp]>([
    ['a tensor that is missing', { 'blk.1.ffn_up.weight': null }, /blk.1.ffn_up.weight is missing/],
    ['another shape', { 'blk.0.attn_k.weight': zeros('blk.0.attn_k.weight', 32, 32) }, /\[16,32\]; found \[32,32\]/],
    ['a bias', { 'blk.0.attn_q.bias': zeros('blk.0.attn_q.bias', 32) }, /attn_q.bias is for/],
    ['frequencies of its own', { 'rope_freqs.weight': zeros('rope_freqs.weight', 4) }, /rope_freqs.weight is for/],
  ])('%s', async (_, tensors, message) => {
    await expect(check({}, tensors)).rejects.toMatchObject({
      code: 'INVALID_MODEL',
      message: expect.stringMatching(message),
    })
  })
})
