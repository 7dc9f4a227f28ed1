import { describe, expect, test } from 'vitest'
import { ANN, open } from '../../test/contracts/fabric-fixtures.ts'
import { fragmentKey } from '../core/fragment-key.ts'
import { byteDescription } from '../core/fragment-bytes.ts'
import { rejectsWith } from '../../test/contracts/store-fixtures.ts'
import type { Caller } from './caller.ts'
import { FragmentOperations, WHOLE_BYTES_MAX } from './fragment-operations.ts'
import { Gate } from './gate.ts'

const CALLER: Caller = { tenant: ANN, role: 'writer', name: 'ann' }
const NAME = new TextEncoder().encode('name')
const KEY = fragmentKey({ kind: 'opaque', name: NAME })
const description = byteDescription('opaque')
const putOf = (value: number) => ({ description, foreignKey: NAME, payload: Uint8Array.of(value) })

async function openOperations() {
  const { fabric, clock } = await open()
  const gate = new Gate(null)
  return { gate, fragments: new FragmentOperations({ fabric, gate, clock, leaseMs: 1000 }) }
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
