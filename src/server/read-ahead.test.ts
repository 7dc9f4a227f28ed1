import { describe, expect, it } from 'vitest'
import type { PromptName } from '../core/ports.ts'
import type { LocalFragment, RebuildMemory } from '../reconstruct/rebuild-ports.ts'
import { ReadAhead, type ReadAheadOptions } from './read-ahead.ts'

const OPTIONS: ReadAheadOptions = { bytesMax: 100, fragmentsMax: 4 }
const PROMPT = {} as PromptName

/** A memory that counts its reads; after `next` of a key come others. */
function harness(options: Partial<ReadAheadOptions> = {}, next: Readonly<Record<string, readonly string[]>> = {}) {
  const ahead = new ReadAhead({ ...OPTIONS, ...options })
  const reads: string[] = []
  const aborted: string[] = []
  const held = new Map<string, PromiseWithResolvers<Uint8Array | null>>()
  const memory: RebuildMemory = {
    find: async () => ['a', 'b'].map((key): LocalFragment => ({ key, tier: 'disk' }) as LocalFragment),
    read: async (key, { signal } = {}) => {
      reads.push(key)
      signal?.addEventListener('abort', () => aborted.push(key))
      return held.get(key)?.promise ?? Uint8Array.of(key.charCodeAt(0))
    },
    put: async () => 'stored',
    used: () => {},
  }
  const slow = new Map<string, Promise<void>>()
  const foresight = async (keys: readonly string[]) => {
    await slow.get(keys[0] ?? '')
    return keys.flatMap((key) => next[key] ?? []).map((key) => ({ key, payloadBytes: key === 'huge' ? 1000 : 10 }))
  }
  const of = (scope: string): RebuildMemory => ahead.over({ scope, memory, ahead: memory, foresight })
  return { ahead, reads, aborted, held, slow, of }
}

describe('reading ahead', () => {
  it('reads what was used together with the last turn once, and the next turn finds it in memory', async () => {
    const { ahead, reads, of } = harness({}, { a: ['b'] })
    const memory = of('t')
    memory.used('s', ['a'])
    await ahead.idle()
    expect((await memory.find(PROMPT, 1)).map(({ tier }) => tier)).toEqual(['disk', 'memory'])
    expect(await memory.read('b')).toEqual(Uint8Array.of('b'.charCodeAt(0)))
    expect(reads).toEqual(['b'])
    memory.used('s', ['b'])
    expect(ahead.stats()).toMatchObject({ fragments: 1, bytes: 10, usedFragments: 1, usedBytes: 10, heldBytes: 0 })
  })

  it('lets go of what the next turn did not want, and counts it', async () => {
    const { ahead, of } = harness({}, { a: ['b', 'c'] })
    const memory = of('t')
    memory.used('s', ['a'])
    await ahead.idle()
    await memory.read('c')
    memory.used('s', ['z'])
    expect(ahead.stats()).toMatchObject({ usedFragments: 1, wastedFragments: 1, heldBytes: 0 })
  })

  it('forgets a scope, and what is still being looked for there, and no other', async () => {
    const { ahead, reads, slow, of } = harness({}, { a: ['b'], x: ['c'] })
    for (const scope of ['t', 'tt']) of(scope).used('s', ['a'])
    await ahead.idle()
    const looking = Promise.withResolvers<void>()
    slow.set('x', looking.promise)
    of('t').used('late', ['x'])
    ahead.forget('t')
    looking.resolve()
    await ahead.idle()
    expect(reads).toEqual(['b', 'b'])
    expect(ahead.stats()).toMatchObject({ fragments: 2, heldBytes: 10 })
    expect((await of('t').find(PROMPT, 1)).map(({ tier }) => tier)).toEqual(['disk', 'disk'])
    expect((await of('tt').find(PROMPT, 1)).map(({ tier }) => tier)).toEqual(['disk', 'memory'])
    await ahead.close()
  })

  it('cancels a read that turned out wrong before it ended', async () => {
    const { ahead, aborted, held, of } = harness({}, { a: ['b'] })
    held.set('b', Promise.withResolvers())
    const memory = of('t')
    memory.used('s', ['a'])
    await new Promise((resolve) => setImmediate(resolve))
    memory.used('s', ['z'])
    expect(aborted).toEqual(['b'])
    expect(ahead.stats()).toMatchObject({ cancelledFragments: 1, wastedFragments: 0, heldBytes: 0 })
    held.get('b')?.resolve(null)
    await ahead.close()
  })

  it('stays within its bytes: the session that was longest without a turn loses its own', async () => {
    const { ahead, of } = harness({ bytesMax: 20 }, { a: ['b', 'c', 'd'], e: ['f'] })
    const memory = of('t')
    memory.used('first', ['a'])
    await ahead.idle()
    expect(ahead.stats()).toMatchObject({ fragments: 2, heldBytes: 20 })
    memory.used('second', ['e'])
    await ahead.idle()
    expect(ahead.stats()).toMatchObject({ fragments: 3, wastedFragments: 2, heldBytes: 10 })
  })

  it('takes from nobody for what would not fit even then', async () => {
    const { ahead, reads, of } = harness({ bytesMax: 20 }, { a: ['b', 'c'], e: ['huge'] })
    of('t').used('first', ['a'])
    await ahead.idle()
    of('t').used('second', ['e'])
    await ahead.idle()
    expect(reads).toEqual(['b', 'c'])
    expect(ahead.stats()).toMatchObject({ wastedFragments: 0, heldBytes: 20 })
  })

  it('reads nothing for a turn that is over by the time it is known what to read', async () => {
    const { ahead, reads, slow, of } = harness({}, { a: ['b'], z: ['c'] })
    const { promise, resolve } = Promise.withResolvers<void>()
    slow.set('a', promise)
    of('t').used('s', ['a'])
    of('t').used('s', ['z'])
    resolve()
    await ahead.idle()
    expect(reads).toEqual(['c'])
  })

  it('shows one tenant nothing that was read for another', async () => {
    const { ahead, reads, of } = harness({}, { a: ['b'] })
    of('t').used('s', ['a'])
    await ahead.idle()
    await of('other').read('b')
    expect(reads).toEqual(['b', 'b'])
    of('other').used('s', [])
    expect(ahead.stats().heldBytes).toBe(10)
  })

  it('reads as ever what could not be read ahead', async () => {
    const { ahead, reads, held, of } = harness({}, { a: ['b'] })
    const failing = Promise.withResolvers<Uint8Array | null>()
    held.set('b', failing)
    const memory = of('t')
    memory.used('s', ['a'])
    await new Promise((resolve) => setImmediate(resolve))
    held.delete('b')
    failing.reject(new Error('gone'))
    await ahead.idle()
    expect((await memory.find(PROMPT, 1)).map(({ tier }) => tier)).toEqual(['disk', 'disk'])
    expect(await memory.read('b')).not.toBeNull()
    expect(reads).toEqual(['b', 'b'])
    memory.used('s', [])
    expect(ahead.stats()).toMatchObject({ usedFragments: 0, wastedFragments: 1, cancelledFragments: 0 })
  })

  it('reads nothing where there is no room', async () => {
    const { ahead, reads, of } = harness({ bytesMax: 0 }, { a: ['b'] })
    of('t').used('s', ['a'])
    await ahead.idle()
    expect(reads).toEqual([])
  })
})
