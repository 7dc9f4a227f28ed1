import { describe, expect, it } from 'vitest'
import { LentBuffers, ReadBuffers } from './read-buffers.ts'

async function into(buffer: Uint8Array, length: number) {
  return { payload: buffer.subarray(0, length) }
}

describe('buffers of reads', () => {
  it('are used again, a large one for no small read', () => {
    const buffers = new ReadBuffers(1000)
    const buffer = buffers.take(100)
    buffers.give(buffer)
    expect(buffers.take(40)).not.toBe(buffer)
    expect(buffers.take(60)).toBe(buffer)
    expect(buffers.take(60)).not.toBe(buffer)
  })

  it('are kept up to a bound, the largest for longest', () => {
    const buffers = new ReadBuffers(150)
    for (const bytes of [40, 100, 30]) buffers.give(new Uint8Array(bytes))
    expect(buffers.keptBytes).toBe(140)
    buffers.give(new Uint8Array(200))
    expect(buffers.keptBytes).toBe(0)
  })

  it('are there from the beginning, as many as the bound allows', () => {
    const buffers = new ReadBuffers(350)
    buffers.prepare(8, 100)
    expect(buffers.keptBytes).toBe(300)
  })

  it('stay lent until a rebuild is over, and then go to the next', async () => {
    const buffers = new ReadBuffers(1000)
    const lent = new LentBuffers(buffers)
    const first = await lent.read(100, (buffer) => into(buffer, 100))
    const second = await lent.read(100, (buffer) => into(buffer, 100))
    expect(first?.payload.buffer).not.toBe(second?.payload.buffer)
    expect(buffers.keptBytes).toBe(0)
    lent.end()
    expect(buffers.keptBytes).toBe(200)
  })

  it('go back at once where nothing was read, or the store gave memory of its own', async () => {
    const buffers = new ReadBuffers(1000)
    const lent = new LentBuffers(buffers)
    await lent.read(100, async () => null)
    await lent.read(100, async () => ({ payload: new Uint8Array(100) }))
    expect(buffers.keptBytes).toBe(100)
  })

  it('are never used again while a read that failed may still write to them', async () => {
    const buffers = new ReadBuffers(1000)
    const lent = new LentBuffers(buffers)
    await expect(lent.read(100, async () => Promise.reject(new Error('gone')))).rejects.toThrow('gone')
    lent.end()
    expect(buffers.keptBytes).toBe(0)
  })

  it('go back when a read ends after its rebuild', async () => {
    const buffers = new ReadBuffers(1000)
    const lent = new LentBuffers(buffers)
    const late = Promise.withResolvers<void>()
    const reading = lent.read(100, async (buffer) => {
      await late.promise
      return into(buffer, 100)
    })
    lent.end()
    expect(buffers.keptBytes).toBe(0)
    late.resolve()
    await reading
    expect(buffers.keptBytes).toBe(100)
  })
})
