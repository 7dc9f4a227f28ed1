import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { ggufBytes, type MetadataValue, randomLlama, TINY_LLAMA, type WrittenGguf } from '../../test/gguf-writer.ts'
import { LIMITS } from '../core/limits.ts'
import { DEFAULT_MODELS_PATH, type ListedModel, listModels } from './gguf-files.ts'

let folder = ''
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'membrane-models-'))
})
afterAll(async () => {
  await rm(folder, { recursive: true })
})

const TINY = randomLlama({ ...TINY_LLAMA, type: 'Q8_0' })

async function listed(file: WrittenGguf): Promise<ListedModel | undefined> {
  const path = join(folder, 'one.gguf')
  await writeFile(path, ggufBytes(file))
  const [model] = await listModels([path])
  await rm(path)
  return model
}

/** The tiny model with other metadata; undefined leaves one out. */
function changed(changes: Readonly<Record<string, MetadataValue | undefined>>): WrittenGguf {
  const all = Object.entries({ ...TINY.metadata, ...changes })
  return { ...TINY, metadata: Object.fromEntries(all.flatMap(([key, value]) => (value ? [[key, value]] : []))) }
}

describe('the list of models', () => {
  test('has what comes along, which the engine runs', async () => {
    const models = await listModels([DEFAULT_MODELS_PATH])
    expect(models.map(({ path }) => path.slice(DEFAULT_MODELS_PATH.length + 1))).toEqual(['debian-desc-5M-q8_0.gguf'])
    expect(models[0]).toMatchObject({
      kind: 'model',
      name: 'debian-desc-5M',
      architecture: 'llama',
      parameters: 5_475_584,
      layers: 6,
      heads: 4,
      kvHeads: 2,
      // Six layers, K and V, two heads of 64 numbers, four bytes each.
      kvBytesPerToken: 6 * 2 * 2 * 64 * 4,
      contextTokensMax: 2048,
      tokenizer: { model: 'gpt2', pre: 'gpt-2', tokens: 4096 },
      tensorTypes: ['Q8_0', 'F32'],
      fileBytes: 5_960_288,
      refusal: null,
    })
  })

  test('has the files of a folder and of the folders in it, each once, and only models', async () => {
    const place = join(folder, 'place')
    await mkdir(join(place, 'deep', 'deeper'), { recursive: true })
    const bytes = ggufBytes(TINY)
    for (const name of ['b.gguf', 'a.gguf', 'deep/c.gguf', 'deep/deeper/d.gguf'])
      await writeFile(join(place, name), bytes)
    await writeFile(join(place, 'notes.txt'), 'no model')
    const models = await listModels([join(place, 'b.gguf'), place])
    expect(models.map(({ path }) => path.slice(place.length + 1))).toEqual(['b.gguf', 'a.gguf', 'deep/c.gguf'])
    expect(models.every((model) => model.kind === 'model' && model.refusal === null)).toBe(true)
  })

  test('says of a malformed file why, and goes on', async () => {
    const place = join(folder, 'mixed')
    await mkdir(place)
    await writeFile(join(place, 'a.gguf'), ggufBytes(TINY).subarray(0, 5000))
    await writeFile(join(place, 'b.gguf'), ggufBytes(TINY))
    expect(await listModels([place])).toMatchObject([
      { kind: 'malformed', reason: expect.stringContaining('The file ends too early') },
      { kind: 'model' },
    ])
  })

  test('is not begun for more files than it may have', async () => {
    const place = join(folder, 'many')
    await mkdir(place)
    for (let n = 0; n <= LIMITS.listedModelsMax; n++) await writeFile(join(place, `${n}.gguf`), '')
    await expect(listModels([place])).rejects.toMatchObject({ code: 'LIMIT_REACHED' })
  })

  test('fails for a path that is not there', async () => {
    await expect(listModels([join(folder, 'none')])).rejects.toMatchObject({ code: 'FILE_UNREADABLE' })
  })

  test.each<[string, WrittenGguf, string]>([
    [
      'another architecture',
      changed({ 'general.architecture': { type: 'text', value: 'mamba' } }),
      'architecture llama',
    ],
    [
      'a tokenizer that is not known',
      changed({ 'tokenizer.ggml.pre': { type: 'text', value: 'default' } }),
      '"default"',
    ],
    ['no tokenizer', changed({ 'tokenizer.ggml.model': undefined }), 'has no tokenizer'],
    ['one part of several', changed({ 'split.count': { type: 'u32', value: 3 } }), 'one of 3 parts'],
    ['a tensor that is missing', { ...TINY, tensors: TINY.tensors.slice(1) }, 'must be'],
    [
      'a setting that the engine does not follow',
      changed({ 'llama.rope.scaling.type': { type: 'text', value: 'yarn' } }),
      'rope.scaling.type',
    ],
  ])('says why the engine does not run a model: %s', async (_, file, reason) => {
    expect(await listed(file)).toMatchObject({ kind: 'model', refusal: expect.stringContaining(reason) })
  })

  test('leaves open what a file does not say', async () => {
    const model = await listed({ metadata: { 'general.architecture': { type: 'text', value: 'x' } }, tensors: [] })
    expect(model).toMatchObject({
      name: null,
      parameters: 0,
      layers: null,
      kvHeads: null,
      kvBytesPerToken: null,
      tokenizer: { model: null, pre: null, tokens: null },
      tensorTypes: [],
    })
  })

  test('lists the others of a folder beside one that cannot be read', async () => {
    const mixed = join(folder, 'one-bad')
    await mkdir(mixed)
    await symlink(join(mixed, 'none'), join(mixed, 'a-dangling.gguf'))
    await mkdir(join(mixed, 'b-folder.gguf'))
    await writeFile(join(mixed, 'c-whole.gguf'), ggufBytes(TINY))
    const [dangling, directory, whole] = await listModels([mixed])
    expect(dangling).toMatchObject({ kind: 'malformed', reason: expect.stringContaining('cannot be read') })
    expect(directory).toMatchObject({ kind: 'malformed', reason: expect.stringContaining('is no file') })
    expect(whole).toMatchObject({ kind: 'model', refusal: null })
    await expect(listModels([join(mixed, 'a-dangling.gguf')])).rejects.toMatchObject({ code: 'FILE_UNREADABLE' })
  })
})
