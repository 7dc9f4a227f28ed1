import { expect, test } from 'vitest'
import { loadContentHashers } from '../hashing/content-hashers.ts'
import { MemoryStore } from '../store/memory.ts'
import { VirtualClock } from '../../test/contracts/store-fixtures.ts'
import { DEFAULT_FABRIC_OPTIONS, openFabric } from './fabric.ts'
import { BYTES } from '../../test/contracts/fabric-fixtures.ts'

const { hashers } = await loadContentHashers()

/** A snapshot of these records, with the digest that makes it whole. */
function snapshotOf(records: readonly unknown[]): Uint8Array {
  const parts = [...records.map((record) => Buffer.from(JSON.stringify(record))), Buffer.alloc(0)]
  const head = Buffer.alloc(12)
  head.write('membridx')
  head.writeUInt32LE(1, 8)
  const lengthOf = ({ length }: Buffer): Buffer => {
    const bytes = Buffer.alloc(4)
    bytes.writeUInt32LE(length)
    return bytes
  }
  const body = Buffer.concat([head, ...parts.flatMap((part) => [lengthOf(part), part])])
  return Buffer.concat([body, Buffer.from(hashers.b3.hash(body))])
}

test.each([
  ['a fragment that is none', [{ stamp: '', fragments: 1, edges: 0 }, { key: 7 }]],
  ['fewer fragments than it says', [{ stamp: '', fragments: 1e9, edges: 0 }]],
  [
    'edges between what is not there',
    [
      { stamp: '', fragments: 0, edges: 1 },
      { from: 'a/x', to: 'b/y', weight: 1 },
    ],
  ],
  ['a head that is none', [null]],
  ['nothing', []],
])('a snapshot with %s costs what was learnt, and nothing else', async (_, records) => {
  const clock = new VirtualClock()
  const written: Uint8Array[] = []
  const fabric = await openFabric({
    ...DEFAULT_FABRIC_OPTIONS,
    store: new MemoryStore(clock),
    hashers,
    clock,
    seed: 1,
    snapshot: {
      read: async () => snapshotOf(records),
      write: async (pieces) => void written.push(...pieces),
      remove: async () => {},
    },
  })
  const { key } = await fabric.of().put({ description: BYTES, payload: new Uint8Array(3) })
  expect(fabric.indices.get(`default/${key}`)).not.toBeNull()
  await fabric.close()
  expect(Buffer.concat(written).includes(key)).toBe(true)
})
