import { describe, expect, test, vi } from 'vitest'
import { ANN, open } from '../../test/contracts/fabric-fixtures.ts'
import { fragmentKey } from '../core/fragment-key.ts'
import { LIMITS } from '../core/limits.ts'
import { byteDescription } from '../core/fragment-bytes.ts'
import { rejectsWith } from '../../test/contracts/store-fixtures.ts'
import type { Caller } from './caller.ts'
import { FragmentOperations, WHOLE_BYTES_MAX } from './fragment-operations.ts'
import { Gate } from './gate.ts'
import { TenantFabric } from './tenant-fabric.ts'

const CALLER: Caller = { tenant: ANN, role: 'writer', name: 'ann' }
const NAME = new TextEncoder().encode('name')
const KEY = fragmentKey({ kind: 'opaque', name: NAME })
const description = byteDescription('opaque')
const putOf = (value: number) => ({ description, foreignKey: NAME, payload: Uint8Array.of(value) })

async function openOperations(answersBytesMax: number = LIMITS.answersBytesMax) {
  const { fabric, clock } = await open()
  const gate = new Gate(null)
  return { fabric, gate, fragments: new FragmentOperations({ fabric, gate, clock, leaseMs: 1000, answersBytesMax }) }
}

describe('operations on fragments', () => {
  test('put once when asked to, whoever else puts at the same moment', async () => {
    const { fragments } = await openOperations()
    const puts = [1, 2, 3].map((value) => fragments.putIfAbsent(CALLER, putOf(value), KEY))
    const answers = await Promise.all(puts)
    expect(answers.filter((answer) => answer !== null)).toHaveLength(1)
    expect((await fragments.get(CALLER, KEY))?.payload[0]).toBe(1)
    await fragments.remove(CALLER, [KEY])
    const [plain, conditional] = await Promise.all([
      fragments.put(CALLER, putOf(7)),
      fragments.putIfAbsent(CALLER, putOf(8), KEY),
    ])
    expect([plain.outcome, conditional]).toEqual(['stored', null])
  })

  test('read what is chosen: nothing, a part, or large values in pieces', async () => {
    const { fragments } = await openOperations()
    await fragments.put(CALLER, { description, foreignKey: NAME, payload: Uint8Array.of(1, 2, 3, 4) })
    const none = await fragments.read(CALLER, KEY, () => null)
    expect(none).toMatchObject({ payload: null, chunks: null, entry: { payloadBytes: 4 } })
    const part = await fragments.read(CALLER, KEY, () => ({ start: 1, end: 3 }))
    expect([...(part?.payload ?? [])]).toEqual([2, 3])
    const large = new Uint8Array(WHOLE_BYTES_MAX + 1).fill(9)
    await fragments.put(CALLER, { description, foreignKey: NAME, payload: large })
    const read = await fragments.read(CALLER, KEY, ({ payloadBytes }) => ({ start: 5, end: payloadBytes }))
    expect(read?.payload).toBeNull()
    let bytes = 0
    for await (const chunk of read?.chunks ?? []) bytes += chunk.length
    expect(bytes).toBe(large.length - 5)
    expect(await fragments.read(CALLER, `${KEY}x`, () => null)).toBeNull()
  })

  test('read the new value when another one takes its place between its description and its bytes', async () => {
    const { fabric, fragments } = await openOperations(0)
    const own = fabric.of(ANN)
    // There is no room for it: it comes in chunks.
    const large = new Uint8Array(2 ** 20 + 1).fill(9)
    const later = Uint8Array.of(4, 5)
    const put = (payload: Uint8Array) => own.put({ description, foreignKey: NAME, payload })
    const lastTwo = ({ payloadBytes }: { readonly payloadBytes: number }) => ({
      start: payloadBytes - 2,
      end: payloadBytes,
    })
    for (const [before, name] of [
      [Uint8Array.of(1, 2, 3), 'read'],
      [large, 'stream'],
    ] as const) {
      for (const read of [
        () => fragments.read(CALLER, KEY, lastTwo),
        () => fragments.readPayload(CALLER, KEY, lastTwo),
      ]) {
        await put(before)
        const original = TenantFabric.prototype[name] as typeof own.read
        const spy = vi.spyOn(TenantFabric.prototype, name as 'read').mockImplementationOnce(async (key, options) => {
          await put(later)
          return original.call(own, key, options)
        })
        const found = await read()
        spy.mockRestore()
        expect([...(found?.payload ?? [])]).toEqual([4, 5])
        expect(fragments.answersBytes).toBe(0)
      }
    }
    let count = 0
    const spy = vi.spyOn(TenantFabric.prototype, 'read').mockImplementation(async () => {
      await put(Uint8Array.of(7, count++))
      return own.get(KEY) as ReturnType<typeof own.read>
    })
    await rejectsWith(fragments.readPayload(CALLER, KEY), 'STORE_UNAVAILABLE')
    expect(count).toBe(16)
    spy.mockRestore()
  })

  test('of a request that was let in go on while the node drains; others are refused', async () => {
    const { gate, fragments } = await openOperations()
    const admitted = gate.admit(CALLER)
    gate.drain()
    await expect(fragments.put(admitted, putOf(1))).resolves.toMatchObject({ outcome: 'stored' })
    expect(() => gate.admit(CALLER)).toThrow('shutting down')
    await rejectsWith(
      fragments.read(CALLER, KEY, () => null),
      'DRAINING',
    )
    expect(() => gate.enter({ ...admitted, role: 'reader' }, 'read')).toThrow('shutting down')
  })
})
