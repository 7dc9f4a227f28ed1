import { describe, expect, it } from 'vitest'
import type { KvBackend, KvContext } from '../core/compute.ts'
import { MembraneError } from '../core/errors.ts'
import { openSimulatedBackend, type SimulatedOptions } from '../compute/simulated.ts'
import { type HeldContext, type ResidentOptions, ResidentPool } from './resident-pool.ts'

const BLOCK = 4
const SHAPE = { name: 'tiny', layers: 2, kvHeads: 1, headDim: 4, dtype: 'F32', contextTokensMax: 64 } as const

function engine(options: Partial<SimulatedOptions> = {}): KvBackend {
  return openSimulatedBackend({ ...SHAPE, prefillSeconds: () => 0, wait: async () => {}, ...options })
}

/** Bytes of a context of so many tokens, as the engine counts them. */
async function bytesOf(backend: KvBackend, tokens: number): Promise<number> {
  const context = await backend.openContext(tokens)
  const bytes = context.residentBytes
  await context.close()
  return bytes
}

interface Harness {
  readonly pool: ResidentPool
  readonly demoted: HeldContext[]
}

function poolOf(backend: KvBackend, options: Partial<ResidentOptions> = {}): Harness {
  const demoted: HeldContext[] = []
  const pool = new ResidentPool({
    backend,
    bytesMax: Infinity,
    requestsMax: 8,
    waitingMax: 8,
    blockTokens: BLOCK,
    demote: async (held) => {
      demoted.push({ ...held })
    },
    ...options,
  })
  return { pool, demoted }
}

function ids(count: number, first = 0): Uint32Array {
  return Uint32Array.from({ length: count }, (_, index) => first + index)
}

/** One request from its start to its end: the prompt is computed where it is not there. */
async function serve(pool: ResidentPool, tokenIds: Uint32Array, capacityTokens = 32, scope = 'a'): Promise<number> {
  const lease = await pool.acquire({ scope, tokenIds, capacityTokens })
  const { context, residentTokens } = lease
  expect(context.filledTokens).toBe(residentTokens)
  await context.prefill(residentTokens, tokenIds.subarray(residentTokens))
  await expectRight(context, tokenIds)
  lease.release(tokenIds)
  return residentTokens
}

/** The KV is that of these tokens, and of no others. */
async function expectRight(context: KvContext, tokenIds: Uint32Array): Promise<void> {
  const backend = engine()
  const fresh = await backend.openContext(tokenIds.length)
  await fresh.prefill(0, tokenIds)
  const span = { start: 0, end: tokenIds.length }
  expect((await context.read(span)).map(({ tensors }) => tensors)).toEqual(
    (await fresh.read(span)).map(({ tensors }) => tensors),
  )
  await backend.close()
}

describe('a pool of resident KV', () => {
  it('forgets a scope: what is unused at once, what is in use when its request ends, and neither is demoted', async () => {
    const { pool, demoted } = poolOf(engine())
    await serve(pool, ids(10))
    await serve(pool, ids(10, 50))
    await serve(pool, ids(10), 32, 'b')
    const lease = await pool.acquire({ scope: 'a', tokenIds: ids(12), capacityTokens: 32 })
    await lease.context.prefill(lease.residentTokens, ids(12).subarray(lease.residentTokens))
    await pool.forget((scope) => scope === 'a')
    expect(pool.stats()).toMatchObject({ contexts: 2, contextsInUse: 1 })
    expect(pool.peek({ scope: 'a', tokenIds: ids(10, 50) })).toBe(0)
    lease.release(ids(12))
    await pool.acquire({ scope: 'b', tokenIds: ids(20), capacityTokens: 32 }).then((other) => other.release(ids(8)))
    expect(pool.stats()).toMatchObject({ contexts: 1, contextsInUse: 0 })
    expect(pool.peek({ scope: 'a', tokenIds: ids(12) })).toBe(0)
    expect(pool.peek({ scope: 'b', tokenIds: ids(12) })).toBe(8)
    expect(demoted).toEqual([])
    // Its turn has ended with it.
    await pool.close()
  })

  it('finds the longest prompt in common, in whole blocks, of the same scope only', async () => {
    const { pool } = poolOf(engine())
    expect(await serve(pool, ids(10))).toBe(0)
    expect(pool.peek({ scope: 'a', tokenIds: ids(20) })).toBe(8)
    expect(pool.peek({ scope: 'b', tokenIds: ids(20) })).toBe(0)
    expect(pool.peek({ scope: 'a', tokenIds: ids(20, 1) })).toBe(0)
    expect(await serve(pool, ids(20), 32, 'b')).toBe(0)
    expect(await serve(pool, ids(20))).toBe(8)
    expect(pool.stats()).toMatchObject({ hits: 1, hitTokens: 8 })
  })

  it('continues a conversation in place, and copies where another one branches off', async () => {
    const { pool, demoted } = poolOf(engine())
    await serve(pool, ids(10))
    await serve(pool, ids(18))
    expect(pool.stats().contexts).toBe(1)
    const branch = Uint32Array.from([...ids(8), ...ids(8, 100)])
    expect(await serve(pool, branch)).toBe(8)
    expect(pool.stats().contexts).toBe(2)
    expect(await serve(pool, ids(20))).toBe(16)
    expect(demoted).toEqual([])
  })

  it('opens a larger context when the old one has no room for the answer, and keeps what is shared', async () => {
    const { pool } = poolOf(engine())
    await serve(pool, ids(8), 8)
    expect(await serve(pool, ids(12), 40)).toBe(8)
    expect(pool.stats()).toMatchObject({ contexts: 1, demoted: 0 })
  })

  it('does not look at what is there when asked to begin with nothing', async () => {
    const { pool } = poolOf(engine())
    await serve(pool, ids(8))
    const lease = await pool.acquire({ scope: 'a', tokenIds: ids(8), capacityTokens: 8, isFresh: true })
    expect(lease.residentTokens).toBe(0)
    expect(lease.context.filledTokens).toBe(0)
    await lease.discard()
  })

  it('demotes what was longest unused before it frees it, and stays within its bound', async () => {
    const backend = engine()
    const bytesMax = 2 * (await bytesOf(backend, 16))
    const { pool, demoted } = poolOf(backend, { bytesMax })
    for (const first of [0, 100, 200, 300]) {
      await serve(pool, ids(8, first), 16)
      expect(pool.stats().bytes).toBeLessThanOrEqual(bytesMax)
    }
    expect(demoted.map(({ tokenIds }) => tokenIds[0])).toEqual([0, 100])
    expect(pool.stats()).toMatchObject({ contexts: 2, demoted: 2 })
    // The last token is computed always, so that of two blocks one is.
    expect(await serve(pool, ids(8, 200), 16)).toBe(4)
  })

  it('takes over the only context that fits when a prompt branches off, after demoting it', async () => {
    const backend = engine()
    const { pool, demoted } = poolOf(backend, { bytesMax: await bytesOf(backend, 32) })
    await serve(pool, ids(16))
    const branch = Uint32Array.from([...ids(8), ...ids(8, 100)])
    expect(await serve(pool, branch)).toBe(8)
    expect(demoted.map(({ tokenIds }) => [...tokenIds])).toEqual([[...ids(16)]])
    expect(pool.stats()).toMatchObject({ contexts: 1 })
  })

  it('makes room when the engine itself has none', async () => {
    const probe = engine()
    const memoryBytesMax = 2 * (await bytesOf(probe, 16))
    const { pool, demoted } = poolOf(engine({ memoryBytesMax }))
    for (const first of [0, 100, 200]) await serve(pool, ids(8, first), 16)
    expect(demoted).toHaveLength(1)
    await expect(pool.acquire({ scope: 'a', tokenIds: ids(4), capacityTokens: 64 })).rejects.toMatchObject({
      code: 'COMPUTE_FULL',
    })
    // The turn of the request that failed is free again.
    await serve(pool, ids(8, 300), 16)
    expect(pool.stats().requestsWaiting).toBe(0)
  })

  it('waits for a context in use rather than exceed its bound', async () => {
    const backend = engine()
    const { pool } = poolOf(backend, { bytesMax: await bytesOf(backend, 16) })
    const first = await pool.acquire({ scope: 'a', tokenIds: ids(4), capacityTokens: 16 })
    let isThere = false
    const second = pool.acquire({ scope: 'a', tokenIds: ids(4, 50), capacityTokens: 16 }).then((lease) => {
      isThere = true
      return lease
    })
    await new Promise((resolve) => setImmediate(resolve))
    expect(isThere).toBe(false)
    await first.context.prefill(0, ids(4))
    first.release(ids(4))
    ;(await second).release(ids(0))
    expect(pool.stats().contexts).toBe(1)
  })

  it('opens another context only when the memory of one that was given up is free', async () => {
    const backend = engine({ memoryBytesMax: await bytesOf(engine(), 16) })
    const { promise: mayClose, resolve: close } = Promise.withResolvers<void>()
    const { pool } = poolOf({
      ...backend,
      model: backend.model,
      openContext: async (tokens) => {
        const context = await backend.openContext(tokens)
        const end = context.close.bind(context)
        context.close = async () => {
          await mayClose
          await end()
        }
        return context
      },
    })
    const first = await pool.acquire({ scope: 'a', tokenIds: ids(4), capacityTokens: 16 })
    const discarded = first.discard()
    const second = pool.acquire({ scope: 'a', tokenIds: ids(4, 50), capacityTokens: 16 })
    await new Promise((resolve) => setImmediate(resolve))
    close()
    await discarded
    await (await second).discard()
    expect(pool.stats()).toMatchObject({ contexts: 0, requestsWaiting: 0, bytes: 0 })
  })

  it('counts as found only what was used', async () => {
    const backend = engine()
    const { pool } = poolOf(backend, { bytesMax: await bytesOf(backend, 16) })
    await serve(pool, ids(8), 8)
    // Too small to go on in, and no room for a copy beside it.
    expect(await serve(pool, ids(12), 16)).toBe(0)
    expect(pool.stats()).toMatchObject({ hits: 0, hitTokens: 0, demoted: 1 })
  })

  it('never gives one context to two requests', async () => {
    const { pool } = poolOf(engine())
    await serve(pool, ids(16))
    const leases = await Promise.all(
      Array.from({ length: 4 }, async () => pool.acquire({ scope: 'a', tokenIds: ids(20), capacityTokens: 24 })),
    )
    expect(new Set(leases.map(({ context }) => context)).size).toBe(4)
    for (const lease of leases) await lease.discard()
    expect(pool.stats()).toMatchObject({ contexts: 0, contextsInUse: 0 })
  })

  it('lets so many in at a time, the others in order, and refuses one too many', async () => {
    const { pool } = poolOf(engine(), { requestsMax: 1, waitingMax: 2 })
    const order: number[] = []
    const first = await pool.acquire({ scope: 'a', tokenIds: ids(4), capacityTokens: 8 })
    const waiting = [1, 2].map(async (place) => {
      const lease = await pool.acquire({ scope: 'a', tokenIds: ids(4, 50 * place), capacityTokens: 8 })
      order.push(place)
      lease.release(ids(0))
    })
    await expect(pool.acquire({ scope: 'a', tokenIds: ids(4), capacityTokens: 8 })).rejects.toMatchObject({
      code: 'LIMIT_REACHED',
    })
    expect(pool.stats().requestsWaiting).toBe(2)
    first.release(ids(0))
    await Promise.all(waiting)
    expect(order).toEqual([1, 2])
  })

  it('lets a request that was cancelled leave the queue, and hold nothing up', async () => {
    const { pool } = poolOf(engine(), { requestsMax: 1 })
    const first = await pool.acquire({ scope: 'a', tokenIds: ids(4), capacityTokens: 8 })
    const cancel = new AbortController()
    const second = pool.acquire({ scope: 'a', tokenIds: ids(4), capacityTokens: 8, signal: cancel.signal })
    const third = pool.acquire({ scope: 'a', tokenIds: ids(4), capacityTokens: 8 })
    cancel.abort()
    await expect(second).rejects.toMatchObject({ code: 'ABORTED' })
    first.release(ids(0))
    ;(await third).release(ids(0))
    const last = await pool.acquire({ scope: 'a', tokenIds: ids(4), capacityTokens: 8 })
    last.release(ids(0))
  })

  it('counts a demotion that failed, and goes on', async () => {
    const backend = engine()
    const { pool } = poolOf(backend, {
      bytesMax: await bytesOf(backend, 16),
      demote: async () => {
        throw new MembraneError('STORE_FULL', 'Full.')
      },
    })
    for (const first of [0, 100]) await serve(pool, ids(8, first), 16)
    expect(pool.stats()).toMatchObject({ contexts: 1, demoted: 0, demotionsFailed: 1 })
  })

  it('demotes all that is left when it is closed', async () => {
    const { pool, demoted } = poolOf(engine())
    for (const first of [0, 100]) await serve(pool, ids(8, first))
    await pool.close()
    expect(demoted).toHaveLength(2)
    expect(pool.stats().contexts).toBe(0)
    await expect(serve(pool, ids(8))).rejects.toMatchObject({ code: 'ABORTED' })
  })

  it('continues a model with a recurrent state at the end of what it holds, and nowhere else', async () => {
    const hybrid = engine({ hybrid: { attentionEvery: 2, stateBytes: 64 } })
    const { pool } = poolOf(hybrid)
    const first = await pool.acquire({ scope: 'a', tokenIds: ids(8), capacityTokens: 32 })
    await first.context.prefill(0, ids(8))
    first.release(ids(8))
    expect(pool.peek({ scope: 'a', tokenIds: ids(12) })).toBe(8)
    expect(pool.peek({ scope: 'a', tokenIds: Uint32Array.from([...ids(4), 90, 91, 92, 93]) })).toBe(0)
  })

  it.each(['release', 'discard'] as const)('wakes whoever waits for room, at whatever moment of a %s', async (end) => {
    const backend = engine()
    const bytesMax = await bytesOf(backend, 32)
    for (let steps = 0; steps < 40; steps++) {
      const { pool } = poolOf(backend, { bytesMax })
      const lease = await pool.acquire({ scope: 'a', tokenIds: ids(10), capacityTokens: 32 })
      const cancel = new AbortController()
      const waiting = pool.acquire({ scope: 'b', tokenIds: ids(10), capacityTokens: 32, signal: cancel.signal })
      for (let step = 0; step < steps; step++) await Promise.resolve()
      await (end === 'release' ? lease.release(new Uint32Array(0)) : lease.discard())
      // Far more than all that is under way takes.
      for (let step = 0; step < 500; step++) await Promise.resolve()
      cancel.abort()
      const next = await waiting
      next.release(new Uint32Array(0))
      await pool.close()
    }
  })

  it('waits with a request for the room of a context that is being closed', async () => {
    const backend = engine()
    const closing = Promise.withResolvers<void>()
    let isFull = false
    const slow: KvBackend = {
      ...backend,
      openContext: async (tokens) => {
        if (isFull) throw new MembraneError('COMPUTE_FULL', 'One context is all that fits.')
        isFull = true
        const context = await backend.openContext(tokens)
        const close = context.close.bind(context)
        return Object.assign(context, {
          close: async () => {
            await closing.promise
            isFull = false
            await close()
          },
        })
      },
    }
    const { pool } = poolOf(slow)
    const lease = await pool.acquire({ scope: 'a', tokenIds: ids(10), capacityTokens: 32 })
    const waiting = pool.acquire({ scope: 'b', tokenIds: ids(10), capacityTokens: 32 })
    const discarding = lease.discard()
    setImmediate(closing.resolve)
    await discarding
    expect((await waiting).residentTokens).toBe(0)
  })

  it('that is closed waits for what is under way, and lets nothing more in', async () => {
    const { pool, demoted } = poolOf(engine())
    const lease = await pool.acquire({ scope: 'a', tokenIds: ids(10), capacityTokens: 32 })
    let isClosed = false
    const closing = pool.close().then(() => (isClosed = true))
    await expect(pool.acquire({ scope: 'a', tokenIds: ids(10), capacityTokens: 32 })).rejects.toMatchObject({
      code: 'ABORTED',
    })
    expect(isClosed).toBe(false)
    await lease.context.prefill(0, ids(10))
    lease.release(ids(10))
    await closing
    expect(demoted).toHaveLength(1)
    expect(pool.stats()).toMatchObject({ contexts: 0, contextsInUse: 0 })
  })

  it('keeps no context whose engine was closed', async () => {
    const backend = engine()
    const { pool } = poolOf(backend)
    await serve(pool, ids(10))
    await backend.close()
    const asked = { scope: 'a', tokenIds: ids(10), capacityTokens: 32 }
    await expect(pool.acquire(asked)).rejects.toBeInstanceOf(MembraneError)
    expect(pool.stats().contextsInUse).toBe(0)
    await pool.close()
  })
})
