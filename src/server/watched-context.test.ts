import { setImmediate as turn } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { openSimulatedBackend } from '../compute/simulated.ts'
import type { ContextPart, KvContext, ReadyLayers } from '../core/compute.ts'
import { writeSafetensors } from '../core/safetensors-writer.ts'
import { systemStopwatch } from './system-time.ts'
import { WatchedContext } from './watched-context.ts'

const LAYERS = { start: 0, end: 3 }
const TOKENS = Uint32Array.from({ length: 64 }, (_, at) => (at * 5) % 300)

const backend = () =>
  openSimulatedBackend({
    name: 'small',
    layers: 3,
    kvHeads: 1,
    headDim: 4,
    dtype: 'F32',
    contextTokensMax: 64,
    prefillSeconds: () => 0,
    wait: () => turn(),
  })

/** Takes its time, and throws when two calls overlap: an engine that knows of no layers lets nothing be read meanwhile. */
function strict(context: KvContext, knowsLayers: boolean): KvContext {
  let running: string | null = null
  let prefilling: Promise<void> | null = null
  const alone = async <T>(name: string, call: () => Promise<T>): Promise<T> => {
    if (running !== null) throw new Error(`${name} during ${running}`)
    running = name
    try {
      await turn()
      return await call()
    } finally {
      running = null
    }
  }
  return {
    get filledTokens() {
      return context.filledTokens
    },
    residentBytes: 0,
    write: (parts) => alone('write', () => context.write(parts)),
    prefill: async (start, tokenIds, options = {}) => {
      if (knowsLayers) return await context.prefill(start, tokenIds, options)
      const { onLayers, ...rest } = options
      prefilling = alone('prefill', () => context.prefill(start, tokenIds, rest))
      await prefilling
      onLayers?.({ layers: LAYERS, span: { start, end: start + tokenIds.length } })
    },
    logits: () => context.logits(),
    read: async (span, options) => {
      await prefilling
      return await alone('read', () => context.read(span, options))
    },
    truncate: (tokens) => {
      if (running !== null) throw new Error(`truncate during ${running}`)
      context.truncate(tokens)
    },
    close: () => context.close(),
  }
}

const firstSixteen = async (): Promise<readonly ContextPart[]> => {
  const source = await backend().openContext(64)
  await source.prefill(0, TOKENS.subarray(0, 16))
  return await source.read({ start: 0, end: 16 })
}

describe('a context that is watched', () => {
  it.each([
    ['tells of layers', true, 0],
    ['tells of layers, to a slow taker', true, 5],
    ['knows of no layers', false, 0],
    ['knows of no layers, to a slow taker', false, 5],
  ] as const)('gives everything once, in order, from an engine that %s', async (_, knowsLayers, turns) => {
    const inner = await backend().openContext(64)
    const span = { start: 8, end: 60 }
    const seconds: number[] = []
    const context = new WatchedContext(strict(inner, knowsLayers), {
      span,
      layers: LAYERS,
      stopwatch: systemStopwatch,
      observePrefill: ({ end }) => seconds.push(end),
    })
    const taken: (ReadyLayers & { readonly bytes: Uint8Array })[] = []
    const taking = (async () => {
      for await (const ready of context.ready()) {
        taken.push({ ...ready, bytes: writeSafetensors(await context.take(ready)) })
        for (let left = turns; left > 0; left--) await turn()
      }
    })()
    await context.write(await firstSixteen())
    await context.prefill(16, TOKENS.subarray(16, 32))
    await context.read({ start: 16, end: 32 })
    await context.prefill(32, TOKENS.subarray(32, 60))
    await context.read({ start: 32, end: 60 })
    await context.finish()
    await taking
    expect(seconds).toEqual([32, 60])
    const ends = new Map<number, number>()
    for (const { layers, span: some, bytes } of taken) {
      for (let layer = layers.start; layer < layers.end; layer++) {
        expect(some.start).toBe(ends.get(layer) ?? span.start)
        ends.set(layer, some.end)
      }
      const [part] = await inner.read(some, { layers })
      expect(bytes).toEqual(writeSafetensors(part?.tensors ?? []))
    }
    expect([...ends]).toEqual([0, 1, 2].map((layer) => [layer, 60]))
  })

  it('gives nothing of a prefill that failed, and lets it be thrown away', async () => {
    const inner = await backend().openContext(64)
    const abort = new AbortController()
    const context = new WatchedContext(inner, {
      span: { start: 0, end: 64 },
      layers: LAYERS,
      stopwatch: systemStopwatch,
      observePrefill: () => undefined,
    })
    const ready = context.ready()
    const prefill = context.prefill(0, TOKENS, { signal: abort.signal })
    const { value } = await ready.next()
    abort.abort()
    await expect(prefill).rejects.toMatchObject({ code: 'ABORTED' })
    expect(value).toMatchObject({ layers: { start: 0, end: 1 } })
    await expect(context.take(value as ReadyLayers)).rejects.toMatchObject({ code: 'COMPUTE_FAILED' })
    context.truncate(0)
    expect(context.filledTokens).toBe(0)
  })
})
