import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { DEFAULT_TENANT } from '../core/ids.ts'
import { CLUSTER_FORMAT } from './member.ts'
import { decodePeerMessage, encodePeerMessage, PeerHandlers, peerMessage } from './peer-calls.ts'

const fields = fc.dictionary(
  fc.string({ minLength: 1 }).filter((name) => name !== 'kind' && name !== '__proto__'),
  fc.jsonValue().filter((value) => !Object.is(value, -0)),
)

function refusal(message: Uint8Array): string {
  try {
    decodePeerMessage(message)
    return 'taken'
  } catch (error) {
    return (error as { code: string }).code
  }
}

describe('a message between nodes', () => {
  test('is read as it was written', () => {
    fc.assert(
      fc.property(fields, fc.uint8Array({ maxLength: 200 }), (written, bytes) => {
        const read = decodePeerMessage(encodePeerMessage(peerMessage('probe', written, bytes)))
        expect(read.kind).toBe('probe')
        expect(read.fields).toEqual({ ...JSON.parse(JSON.stringify(written)), kind: 'probe' })
        expect([...read.bytes]).toEqual([...bytes])
      }),
    )
  })

  test('with one changed byte is refused, wherever the byte is', () => {
    const message = encodePeerMessage(peerMessage('find', { model: 'm', leaseMs: 3 }, Uint8Array.of(1, 2, 3)))
    for (let at = 0; at < message.length; at++)
      for (const bit of [1, 128]) {
        // Bytes that this version does not read yet.
        if (at === 2 || at === 3) continue
        const changed = Uint8Array.from(message)
        changed[at] = (changed[at] ?? 0) ^ bit
        expect([at, bit, refusal(changed)]).not.toContain('taken')
      }
  })

  test('of a newer format is refused with a sentence that names both formats', () => {
    const message = encodePeerMessage(peerMessage('probe'))
    new DataView(message.buffer).setUint16(0, CLUSTER_FORMAT + 1, true)
    expect(() => decodePeerMessage(message)).toThrow(
      `The message has format ${CLUSTER_FORMAT + 1}; this version reads up to ${CLUSTER_FORMAT}.`,
    )
    expect(refusal(message)).toBe('NOT_SUPPORTED')
  })

  test('of any bytes is refused and never crashes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
        expect(['INVALID_REQUEST', 'NOT_SUPPORTED']).toContain(refusal(bytes))
      }),
    )
  })
})

describe('handlers', () => {
  test('answer their own kind until they are taken away', async () => {
    const handlers = new PeerHandlers()
    const off = handlers.on('probe', async ({ fields: { n } }, { tenant }) => peerMessage('ack', { n, tenant }))
    const asked = peerMessage('probe', { n: 7 })
    const answer = await handlers.answer(asked, { tenant: DEFAULT_TENANT })
    expect(answer.fields).toEqual({ n: 7, tenant: DEFAULT_TENANT })
    off()
    expect(() => handlers.answer(asked, { tenant: DEFAULT_TENANT })).toThrow('does not answer messages of kind probe')
  })
})
