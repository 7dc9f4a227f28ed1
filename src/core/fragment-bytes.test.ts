import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { joinPieces } from '../../test/join-pieces.ts'
import { runs } from '../../test/effort.ts'
import { checkFragment } from './fragment-check.ts'
import { buildArtifact, buildOpaque, buildToolTrace, parseArtifact, parseToolTrace } from './fragment-bytes.ts'
import type { StructuralSignature } from './fragment.ts'
import { writeSafetensors } from './safetensors-writer.ts'

const text = fc.string({ unit: 'grapheme' })
const arbitraryTrace = fc.record({
  tool: text,
  callId: text,
  outcome: fc.constantFrom('ok', 'error'),
  arguments: fc.uint8Array(),
  result: fc.uint8Array(),
})

describe('a tool trace', () => {
  it('comes back bit for bit, empty parts too', () => {
    fc.assert(
      fc.property(arbitraryTrace, (trace) => {
        const { signature, payload } = buildToolTrace(trace)
        checkDescribed(signature)
        expect(parseToolTrace(signature, joinPieces(payload))).toEqual(trace)
      }),
      { numRuns: runs(100) },
    )
  })

  it('is refused when a part is missing, of another kind, or more is there', () => {
    const { signature } = buildToolTrace({
      tool: 'search',
      callId: '',
      outcome: 'ok',
      arguments: Uint8Array.of(1),
      result: Uint8Array.of(2),
    })
    const bytes = (name: string, length = 1) =>
      ({ name, dtype: 'U8', shape: [length], data: new Uint8Array(length) }) as const
    const metadata = { tool: 'search', callId: '', outcome: 'ok' }
    const both = [bytes('arguments'), bytes('result')]
    expect(parseToolTrace(signature, writeSafetensors(both, metadata)).tool).toBe('search')
    const wrong = [
      writeSafetensors(both, { ...metadata, outcome: 'maybe' }),
      writeSafetensors(both, { tool: 'search', outcome: 'ok' }),
      writeSafetensors([bytes('arguments')], metadata),
      writeSafetensors([...both, bytes('x')], metadata),
      writeSafetensors([bytes('arguments'), { ...bytes('result', 2), dtype: 'U16', shape: [1] }], metadata),
    ]
    for (const payload of wrong)
      expect(() => parseToolTrace(signature, payload)).toThrow('A tool trace has tool, callId')
    const filed = writeSafetensors(both, { ...metadata, kind: 'artifact' })
    expect(() => parseToolTrace(signature, filed)).toThrow('must have the kind of its description, tool-trace')
  })
})

describe('an artifact', () => {
  it('comes back with its media type, its bytes being the payload', () => {
    fc.assert(
      fc.property(fc.uint8Array(), fc.constantFrom('text/plain; charset=utf-8', 'image/png'), (bytes, mediaType) => {
        const { signature, payload } = buildArtifact({ mediaType, bytes })
        checkDescribed(signature)
        expect(payload.pieces).toEqual([bytes])
        expect(parseArtifact(signature, joinPieces(payload))).toEqual({ mediaType, bytes })
      }),
      { numRuns: runs(50) },
    )
  })

  it('is not what another kind is', () => {
    const { signature, payload } = buildOpaque(Uint8Array.of(1, 2))
    checkDescribed(signature)
    expect(joinPieces(payload)).toEqual(Uint8Array.of(1, 2))
    expect(() => parseArtifact(signature, joinPieces(payload))).toThrow('of kind artifact was expected; found opaque')
  })
})

/** The signature is one that a description may have. */
function checkDescribed(signature: StructuralSignature): void {
  const rest = { parent: null, blocks: [], blockTokens: 16, group: null, text: null, sequence: null, derivedFrom: [] }
  checkFragment({ signature, ...rest })
}
