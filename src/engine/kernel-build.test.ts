import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { runs } from '../../test/effort.ts'
import { exactMadd } from '../../test/exact-madd.ts'
import { type KernelBuild, loadKernel } from './kernel-build.ts'
import { instantiateKernel, type Kernel, wasm } from './webassembly.ts'

/** What runs on this machine when nobody asks for a build. */
const { build: HERE } = await loadKernel()

describe('multiplying and adding', () => {
  const kernelOf = async (build: KernelBuild): Promise<Kernel> => {
    const { module } = await loadKernel(build)
    return await instantiateKernel(module, new wasm.Memory({ initial: 1, maximum: 1, shared: true }))
  }
  const word = new DataView(new ArrayBuffer(4))
  /** Any finite 32-bit float, with as many subnormal and huge ones as there are bit patterns of them, and more. */
  const float = fc
    .tuple(
      fc.nat({ max: 0xffffff }),
      fc.constantFrom(0, 0, 1, 2, 63, 64, 126, 127, 128, 150, 151, 190, 253, 254),
      fc.boolean(),
    )
    .map(([fraction, exponent, isNegative]) => {
      word.setUint32(0, (((isNegative ? 1 : 0) << 31) | (exponent << 23) | (fraction & 0x7fffff)) >>> 0)
      return word.getFloat32(0)
    })
  /** Sums that lie on or beside the middle of two floats, where rounding twice goes wrong. */
  const nearTie = fc
    .tuple(fc.nat({ max: 4095 }), fc.nat({ max: 4095 }), fc.integer({ min: -2, max: 2 }))
    .map(([a, b, step]): [number, number, number] => {
      const [x, y] = [1 + a / 4096, 1 + b / 4096]
      return [x, y, Math.fround(-Math.fround(x * y) * (1 + step * 2 ** -24) * 2 ** (step * 12))]
    })

  test.each([...new Set<KernelBuild>(['portable', HERE])])(
    'rounds once, as exact whole numbers do: %s',
    async (build) => {
      const kernel = await kernelOf(build)
      fc.assert(
        fc.property(fc.oneof(fc.tuple(float, float, float), nearTie), ([a, b, c]) => {
          // Adding 0 makes -0 to 0.
          expect(kernel.multiplyAdd(a, b, c) + 0).toBe(exactMadd(a, b, c) + 0)
        }),
        { numRuns: runs(20_000) },
      )
    },
  )

  test('gives infinity for what is too large, and passes infinities on', async () => {
    const kernel = await kernelOf('portable')
    expect(kernel.multiplyAdd(3e38, 2, 0)).toBe(Number.POSITIVE_INFINITY)
    expect(kernel.multiplyAdd(3e38, 2, -3e38)).toBe(Math.fround(Math.fround(3e38)))
    expect(kernel.multiplyAdd(Number.POSITIVE_INFINITY, 2, 1)).toBe(Number.POSITIVE_INFINITY)
    expect(kernel.multiplyAdd(1, 2, Number.NEGATIVE_INFINITY)).toBe(Number.NEGATIVE_INFINITY)
    expect(kernel.multiplyAdd(Number.POSITIVE_INFINITY, 0, 1)).toBeNaN()
  })
})
