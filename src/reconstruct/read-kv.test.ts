import { describe, expect, it } from 'vitest'
import { checkTensors } from '../core/fragment-tensors.ts'
import type { KvContext } from '../core/compute.ts'
import { openSimulatedBackend } from '../compute/simulated.ts'
import { readKv } from './read-kv.ts'

const HEAD_DIM = 8
const SHAPE = { name: 'tiny', layers: 3, kvHeads: 4, headDim: HEAD_DIM, dtype: 'F32', contextTokensMax: 64 } as const

async function filled(hybrid = false): Promise<KvContext> {
  const backend = openSimulatedBackend({
    ...SHAPE,
    ...(hybrid ? { hybrid: { attentionEvery: 3, stateBytes: 64 } } : {}),
    prefillSeconds: () => 0,
    wait: async () => {},
  })
  const context = await backend.openContext(32)
  await context.prefill(
    0,
    Uint32Array.from({ length: 20 }, (_, index) => index),
  )
  return context
}

describe('KV of a context', () => {
  it('is read by layer, head and token, as it stands in all of it', async () => {
    const context = await filled()
    const [all] = await context.read({ start: 0, end: 20 })
    const range = { tokens: { start: 5, end: 9 }, layers: { start: 1, end: 3 }, heads: { start: 2, end: 3 } }
    const [part] = await readKv(context, range)
    expect(part?.signature).toMatchObject(range)
    expect(part?.tensors.map(({ name }) => name)).toEqual(['layers.1.k', 'layers.1.v', 'layers.2.k', 'layers.2.v'])
    checkTensors(part?.signature ?? raise(), part?.tensors ?? [])
    for (const tensor of part?.tensors ?? []) {
      const whole = all?.tensors.find(({ name }) => name === tensor.name) ?? raise()
      const axes = all?.signature.layout.split(',') ?? []
      for (let token = 5; token < 9; token++) {
        const sliced = rowOf(tensor, axes, { token: token - 5, head: 0 })
        expect(sliced).toEqual(rowOf(whole, axes, { token, head: 2 }))
      }
    }
  })

  it('is all of it where nothing is said, without recurrent states', async () => {
    const context = await filled(true)
    const tokens = { start: 0, end: 20 }
    expect(await context.read(tokens)).toHaveLength(2)
    const parts = await readKv(context, { tokens })
    expect(parts.map(({ signature }) => signature.kind)).toEqual(['kv'])
  })

  it.each([
    ['layers', { layers: { start: 2, end: 4 } }, /layers are within \[0, 3\); found \[2, 4\)/],
    ['heads', { heads: { start: 0, end: 5 } }, /heads are within \[0, 4\)/],
    ['no heads at all', { heads: { start: 1, end: 1 } }, /found \[1, 1\)/],
  ])('is refused for %s that the model has not', async (_, range, message) => {
    const context = await filled()
    const asked = readKv(context, { tokens: { start: 0, end: 4 }, ...range })
    await expect(asked).rejects.toThrow(message)
  })
})

/** The numbers of one token and head. */
function rowOf(
  { shape, data }: { readonly shape: readonly number[]; readonly data: Uint8Array },
  axes: readonly string[],
  at: { readonly token: number; readonly head: number },
): Uint8Array {
  const index = axes.map((axis) => (axis === 'tokens' ? at.token : axis === 'heads' ? at.head : 0))
  const first = index.reduce((offset, place, axis) => offset * (shape[axis] ?? 1) + place, 0)
  return data.slice(first * 4, (first + HEAD_DIM) * 4)
}

function raise(): never {
  throw new Error('Nothing was read.')
}
