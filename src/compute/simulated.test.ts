import { describe, expect, test } from 'vitest'
import { fullLogits, likeliest, withContext } from '../../test/contracts/kv-backend-fixtures.ts'
import { describeKvBackend } from '../../test/contracts/kv-backend.ts'
import { openSimulatedBackend, type SimulatedOptions, waitOf } from './simulated.ts'

const SHAPE: SimulatedOptions = {
  name: 'small',
  layers: 3,
  kvHeads: 2,
  headDim: 6,
  dtype: 'BF16',
  contextTokensMax: 80,
  prefillSeconds: (tokens) => tokens / 100,
  wait: async () => {},
}
const HYBRID: SimulatedOptions = { ...SHAPE, layers: 4, hybrid: { attentionEvery: 2, stateBytes: 40 } }

const PROMPT = Uint32Array.from({ length: 50 }, (_, index) => (index * 37 + (index >> 3)) % 300)

for (const [name, options] of Object.entries({ 'the simulated engine': SHAPE, 'its hybrid model': HYBRID })) {
  describeKvBackend(name, {
    open: async () => openSimulatedBackend(options),
    promptTokens: PROMPT,
    exactness: 'bits',
    bounded: {
      open: async () => openSimulatedBackend({ ...options, memoryBytesMax: 30_000 }),
      contextTokens: 60,
      contexts: 6,
    },
  })
}

/** Time that passes when it is told to. */
function virtualTime() {
  let nowSeconds = 0
  const alarms = new Set<{ readonly at: number; readonly ring: () => void }>()
  const settle = async (): Promise<void> => {
    for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => setImmediate(resolve))
  }
  return {
    after: (seconds: number, ring: () => void) => {
      const alarm = { at: nowSeconds + seconds, ring }
      alarms.add(alarm)
      return () => void alarms.delete(alarm)
    },
    pending: () => alarms.size,
    pass: async (seconds: number): Promise<void> => {
      await settle()
      nowSeconds += seconds
      for (const alarm of alarms)
        if (alarm.at <= nowSeconds + 1e-9) {
          alarms.delete(alarm)
          alarm.ring()
        }
      await settle()
    },
  }
}

/** What became of a promise so far. */
function watch(promise: Promise<unknown>): { outcome: string } {
  const watched = { outcome: 'under way' }
  promise.then(
    () => (watched.outcome = 'done'),
    (error: { readonly code?: string }) => (watched.outcome = error.code ?? 'failed'),
  )
  return watched
}

describe('the time of a simulated engine', () => {
  const open = () => {
    const time = virtualTime()
    const prefillSeconds = (tokens: number): number => tokens ** 2
    const options = { ...SHAPE, prefillSeconds, decodeSeconds: () => 3, wait: waitOf(time) }
    return { time, engine: openSimulatedBackend(options) }
  }

  test('is shared out evenly over the layers, each of which can be read when its share has passed', async () => {
    const { time, engine } = open()
    const context = await engine.openContext(60)
    const told: number[] = []
    const first = watch(context.prefill(0, PROMPT.subarray(0, 6), { onLayers: ({ layers }) => told.push(layers.end) }))
    for (const expected of [[1], [1, 2]]) {
      await time.pass(12)
      expect(told).toEqual(expected)
    }
    const [part] = await context.read({ start: 0, end: 6 }, { layers: { start: 1, end: 2 } })
    expect(part?.tensors.map(({ name }) => name)).toEqual(['layers.1.k', 'layers.1.v'])
    await expect(context.read({ start: 0, end: 6 })).rejects.toThrow()
    expect(first.outcome).toBe('under way')
    await time.pass(12)
    expect([first.outcome, told]).toEqual(['done', [1, 2, 3]])
  })

  test('is that of the profile: a span takes the difference of its ends', async () => {
    const { time, engine } = open()
    const context = await engine.openContext(60)
    const first = watch(context.prefill(0, PROMPT.subarray(0, 4)))
    await time.pass(15.9)
    expect(first.outcome).toBe('under way')
    await time.pass(0.1)
    expect(first.outcome).toBe('done')
    const second = watch(context.prefill(4, PROMPT.subarray(4, 6)))
    await time.pass(19)
    expect(second.outcome).toBe('under way')
    await time.pass(1)
    expect(second.outcome).toBe('done')
    const step = watch(context.prefill(6, PROMPT.subarray(6, 7)))
    await time.pass(3)
    expect(step.outcome).toBe('done')
  })

  test('is spent on one prefill after the other, and on steps side by side', async () => {
    const { time, engine } = open()
    const [a, b, c] = await Promise.all([engine.openContext(60), engine.openContext(60), engine.openContext(60)])
    const first = watch(a.prefill(0, PROMPT.subarray(0, 2)))
    const second = watch(b.prefill(0, PROMPT.subarray(0, 2)))
    const step = watch(c.prefill(0, PROMPT.subarray(0, 1)))
    await time.pass(4)
    expect([first.outcome, second.outcome, step.outcome]).toEqual(['done', 'under way', 'done'])
    await time.pass(4)
    expect(second.outcome).toBe('done')
  })

  test('is not spent on a call that was cancelled, and nothing that it would have replaced is lost', async () => {
    const { time, engine } = open()
    const [a, b] = await Promise.all([engine.openContext(60), engine.openContext(60)])
    const ready = watch(a.prefill(0, PROMPT.subarray(0, 5)))
    await time.pass(25)
    expect(ready.outcome).toBe('done')
    const before = await a.read({ start: 0, end: 5 })
    const abort = new AbortController()
    const cancelled = watch(a.prefill(2, PROMPT.subarray(20, 30), { signal: abort.signal }))
    const waiting = watch(b.prefill(0, PROMPT.subarray(0, 2), { signal: abort.signal }))
    const last = watch(b.prefill(0, PROMPT.subarray(0, 2)))
    await time.pass(1)
    abort.abort()
    await time.pass(0)
    expect([cancelled.outcome, waiting.outcome]).toEqual(['ABORTED', 'ABORTED'])
    expect(a.filledTokens).toBe(5)
    expect(await a.read({ start: 0, end: 5 })).toEqual(before)
    await time.pass(4)
    expect(last.outcome).toBe('done')
    expect(time.pending()).toBe(0)
  })
})

describe('a simulated engine', () => {
  test('says that it is one: itself, and every word of its answers', async () => {
    const engine = openSimulatedBackend(SHAPE)
    expect(engine).toMatchObject({ isSimulated: true, name: 'simulated' })
    expect(engine.description).toMatch(/^simulated: no model runs/)
    await withContext(engine, 60, async (context) => {
      await context.prefill(0, PROMPT)
      const tokenIds: number[] = []
      for (let at = PROMPT.length; at < 60; at++) {
        tokenIds.push(likeliest(context.logits()))
        await context.prefill(at, Uint32Array.of(tokenIds.at(-1) ?? 0))
      }
      expect(engine.model.tokenizer.decode(tokenIds)).toMatch(/^( simulated-\d+){10}$/)
      expect(new Set(tokenIds).size).toBeGreaterThan(3)
    })
  })

  test('says something else when one byte of any row or state is wrong', async () => {
    for (const options of [SHAPE, HYBRID]) {
      const engine = openSimulatedBackend(options)
      const expected = await fullLogits(engine, PROMPT)
      await withContext(engine, 60, async (source) => {
        await source.prefill(0, PROMPT.subarray(0, 20))
        const parts = await source.read({ start: 0, end: 20 })
        for (const tensor of parts.flatMap(({ tensors }) => tensors))
          for (let at = 0; at < tensor.data.length; at += 13) {
            tensor.data[at] = (tensor.data[at] ?? 0) ^ 1
            await withContext(engine, 60, async (context) => {
              await context.write(parts)
              await context.prefill(20, PROMPT.subarray(20))
              expect(context.logits(), `${tensor.name} at ${at}`).not.toEqual(expected)
            })
            tensor.data[at] = (tensor.data[at] ?? 0) ^ 1
          }
      })
    }
  })

  test('has KV of its own for every name, token before, layer, head and position', async () => {
    const rows = new Set<string>()
    for (const [name, first] of [
      ['a', 1],
      ['b', 1],
      ['a', 2],
    ] as const)
      await withContext(openSimulatedBackend({ ...SHAPE, name }), 8, async (context) => {
        await context.prefill(0, Uint32Array.of(first, 7, 7, 7))
        const [kv] = await context.read({ start: 0, end: 4 })
        for (const { data } of kv?.tensors ?? [])
          for (let start = 0; start < data.length; start += 12) rows.add(data.subarray(start, start + 12).join())
      })
    expect(rows.size).toBe(3 * 3 * 2 * 2 * 4)
  })

  test.each(['F32', 'F16', 'BF16', 'F8_E4M3', 'I8'] as const)('has finite numbers of %s', async (dtype) => {
    const engine = openSimulatedBackend({ ...SHAPE, dtype, headDim: 8 })
    await withContext(engine, 8, async (context) => {
      await context.prefill(0, PROMPT.subarray(0, 8))
      const [kv] = await context.read({ start: 0, end: 8 })
      for (const { data } of kv?.tensors ?? []) {
        const numbers = numbersOf(dtype, data)
        expect(numbers.every((number) => (dtype === 'I8' ? true : Math.abs(number) >= 1 && Math.abs(number) < 2))).toBe(
          true,
        )
        expect(new Set(numbers).size).toBeGreaterThan(numbers.length / 20)
      }
    })
  })

  test.each([
    [{ layers: 0 }, 'layers must be a whole number from 1'],
    [{ kvHeads: 1.5 }, 'kvHeads must be'],
    [{ headDim: 5 }, 'The key of a head must take a multiple of 4 bytes; found 10.'],
    [{ vocabularyTokens: 258 }, 'vocabularyTokens must be a whole number from 259'],
    [{ contextTokensMax: 0 }, 'contextTokensMax must be'],
    [{ memoryBytesMax: 0 }, 'memoryBytesMax must be'],
    [{ hybrid: { attentionEvery: 4, stateBytes: 8 } }, 'hybrid.attentionEvery must be a whole number from 2 to 3'],
    [{ hybrid: { attentionEvery: 2, stateBytes: 10 } }, 'hybrid.stateBytes must be a multiple of 4'],
  ])('cannot have the shape %j', (shape, message) => {
    expect(() => openSimulatedBackend({ ...SHAPE, ...shape })).toThrow(
      expect.objectContaining({ code: 'INVALID_CONFIG', message: expect.stringContaining(message) as string }),
    )
  })
})

function numbersOf(dtype: string, data: Uint8Array): readonly number[] {
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength)
  const float = (word: number, exponentBits: number, fractionBits: number): number => {
    const bias = 2 ** (exponentBits - 1) - 1
    const exponent = (word >> fractionBits) & (2 ** exponentBits - 1)
    const fraction = (word & (2 ** fractionBits - 1)) / 2 ** fractionBits
    return (word >> (exponentBits + fractionBits) ? -1 : 1) * (1 + fraction) * 2 ** (exponent - bias)
  }
  const each = (bytes: number, read: (at: number) => number): readonly number[] =>
    Array.from({ length: data.length / bytes }, (_, index) => read(index * bytes))
  if (dtype === 'F32') return each(4, (at) => view.getFloat32(at, true))
  if (dtype === 'F16') return each(2, (at) => float(view.getUint16(at, true), 5, 10))
  if (dtype === 'BF16') return each(2, (at) => float(view.getUint16(at, true), 8, 7))
  if (dtype === 'F8_E4M3') return each(1, (at) => float(view.getUint8(at), 4, 3))
  return each(1, (at) => view.getInt8(at))
}
