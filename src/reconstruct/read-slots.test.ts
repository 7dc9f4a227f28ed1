import { describe, expect, it } from 'vitest'
import { settle } from '../../test/faults/virtual-timers.ts'
import { ReadSlots } from './read-slots.ts'

describe('read slots', () => {
  it('are taken in the order in which they were asked for, each place by itself', async () => {
    const slots = new ReadSlots(1)
    const { signal } = new AbortController()
    const order: string[] = []
    const read = async (name: string, place: string): Promise<() => void> => {
      const free = await slots.take(place, signal)
      order.push(name)
      return free
    }
    const first = read('a', 'disk')
    void read('b', 'disk')
    void read('c', 'disk')
    void read('d', 'amy')
    await settle()
    expect(order).toEqual(['a', 'd'])
    ;(await first)()
    await settle()
    expect(order).toEqual(['a', 'd', 'b'])
  })

  it('are not lost to who gave up waiting, even while the slot is handed over', async () => {
    const slots = new ReadSlots(1)
    const waiting = new AbortController()
    const handed = new AbortController()
    const { signal } = new AbortController()
    const free = await slots.take('disk', signal)
    const gone = slots.take('disk', waiting.signal)
    const late = slots.take('disk', handed.signal)
    const last = slots.take('disk', signal)
    waiting.abort()
    await expect(gone).rejects.toMatchObject({ code: 'ABORTED' })
    free()
    handed.abort()
    await expect(late).rejects.toMatchObject({ code: 'ABORTED' })
    expect(await last).toBeTypeOf('function')
    await expect(slots.take('disk', waiting.signal)).rejects.toMatchObject({ code: 'ABORTED' })
  })
})
