import fc from 'fast-check'
import { expect, test } from 'vitest'
import { runs } from '../../test/effort.ts'
import { StoppedText } from './stopped-text.ts'

/** What is right, with all of the text at hand. */
function cutAt(text: string, stop: readonly string[]): string {
  const starts = stop.map((one) => text.indexOf(one)).filter((start) => start >= 0)
  return starts.length === 0 ? text : text.slice(0, Math.min(...starts))
}

test('a text in pieces ends where the whole one would, and is said as soon as no stop text can begin in it', () => {
  const letters = fc.string({ unit: fc.constantFrom('a', 'b', 'c'), maxLength: 3 })
  const stops = fc.array(fc.string({ unit: fc.constantFrom('a', 'b', 'c'), minLength: 2, maxLength: 4 }), {
    maxLength: 2,
  })
  fc.assert(
    fc.property(fc.array(letters, { maxLength: 12 }), stops, (pieces, stop) => {
      let said = ''
      const text = new StoppedText(stop, (piece) => {
        said += piece
      })
      let given = ''
      for (const piece of pieces) {
        text.add(piece)
        given += piece
        if (text.isStopped) break
        // What is held back is shorter than a stop text, and begins one.
        expect(given.length - said.length).toBeLessThan(Math.max(1, ...stop.map((one) => one.length)))
      }
      if (!text.isStopped) text.end('')
      const isCut = stop.some((one) => pieces.join('').includes(one))
      expect(text.isStopped).toBe(isCut)
      // Of two stop texts, the one that is complete first ends it.
      if (!isCut) expect(said).toBe(pieces.join(''))
      else expect(cutAt(given, stop)).toBe(said)
      expect(text.text).toBe(said)
    }),
    { numRuns: runs(1000) },
  )
})
