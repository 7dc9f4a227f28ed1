import { expect, test } from 'vitest'
import { ANN, BOB, hashesOf, kvOf, open, putAll, TOKENS } from '../../test/contracts/fabric-fixtures.ts'
import { BLOCK_NAME_BYTES } from '../cluster/block-directory.ts'
import { HeldNames } from '../cluster/held-names.ts'
import { byteDescription } from '../core/fragment-bytes.ts'
import { loadChainHashes } from '../hashing/chain-hashes.ts'
import { nameOfKey } from './cluster-elsewhere.ts'
import { blockNames } from './cluster-find.ts'
import { HeldBlocks } from './held-blocks.ts'

const { blake3: hash } = await loadChainHashes()

async function opened() {
  const { fabric } = await open()
  const changes: string[] = []
  const held = new HeldNames('disk', {
    joined: (tenant, names) => changes.push(`${tenant} + ${names.length / BLOCK_NAME_BYTES}`),
    left: (tenant, names) => changes.push(`${tenant} - ${names.length / BLOCK_NAME_BYTES}`),
  })
  return { fabric, held, changes }
}

/** Whether each block of the prompt is held. */
function heldBlocks(held: HeldNames, tokens: readonly number[]): readonly boolean[] {
  const names = blockNames(hashesOf(tokens))
  const count = names.length / BLOCK_NAME_BYTES
  return Array.from({ length: count }, (_, at) => (held.table(ANN)?.valueAt(names, at) ?? 0) > 0)
}

test('what a fabric held before, puts and removes is held by the names of its blocks', async () => {
  const { fabric, held, changes } = await opened()
  const fragments = kvOf(TOKENS)
  await putAll(fabric, ANN, fragments.slice(0, 1))
  const blocks = new HeldBlocks({ fabric, held, hash })
  await blocks.fill()
  expect(heldBlocks(held, TOKENS)).toEqual([true, true, false, false, false, false])
  await putAll(fabric, ANN, fragments.slice(1))
  // Once more: a fragment counts once.
  await putAll(fabric, ANN, fragments)
  expect(heldBlocks(held, TOKENS)).toEqual([true, true, true, true, true, true])
  expect(changes).toEqual(['ann + 2', 'ann + 2', 'ann + 2'])
  for await (const key of fabric.of(ANN).keys()) await fabric.of(ANN).remove([key])
  expect(held.size).toBe(0)
  expect(changes.slice(3)).toEqual(['ann - 2', 'ann - 2', 'ann - 2'])
  blocks.close()
  await putAll(fabric, ANN, fragments)
  expect(held.size).toBe(0)
  await fabric.close()
})

test('what has no blocks is held by its key, and each tenant for itself', async () => {
  const { fabric, held } = await opened()
  const blocks = new HeldBlocks({ fabric, held, hash })
  const payload = Uint8Array.of(1, 2, 3)
  const { key } = await fabric.of(BOB).put({ description: byteDescription('opaque'), foreignKey: payload, payload })
  const name = nameOfKey(key, hash)
  expect(held.table(BOB)?.valueAt(name, 0)).toBeGreaterThan(0)
  expect(held.table(ANN)).toBeNull()
  await fabric.of(BOB).remove([key])
  expect(held.table(BOB)).toBeNull()
  blocks.close()
  await fabric.close()
})
