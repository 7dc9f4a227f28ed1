import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { LIMITS } from '../core/limits.ts'
import { readEvents, type ServerEvent } from './client-events.ts'

async function eventsOf(pieces: readonly Uint8Array[]): Promise<readonly ServerEvent[]> {
  async function* stream(): AsyncGenerator<Uint8Array> {
    yield* pieces
  }
  const events: ServerEvent[] = []
  for await (const event of readEvents(stream())) events.push(event)
  return events
}

describe('events of a stream', () => {
  test('are read whatever way they are cut, with any end of lines', async () => {
    const end = fc.constantFrom('\n', '\r\n')
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.string({ unit: 'grapheme' })),
        end,
        fc.array(fc.nat(500)),
        async (texts, eol, cuts) => {
          const sent = texts.map((text) => ({ name: 'text', data: JSON.stringify({ text }) }))
          const text = sent
            .map(({ name, data }) => `event: ${name}${eol}data: ${data}${eol}: comment${eol}${eol}`)
            .join('')
          const bytes = Buffer.from(text)
          const places = [...new Set([0, ...cuts.map((cut) => cut % (bytes.length + 1)), bytes.length])].toSorted(
            (a, b) => a - b,
          )
          const pieces = places.slice(1).map((place, index) => bytes.subarray(places[index], place))
          expect(await eventsOf(pieces)).toEqual(sent)
        },
      ),
    )
  })

  test('join lines of data, and have a name only when one is given', async () => {
    expect(await eventsOf([Buffer.from('data: a\ndata:b\n\nevent: x\n\ndata\n\n')])).toEqual([
      { name: 'message', data: 'a\nb' },
      { name: 'message', data: '' },
    ])
  })

  test('that are cut off are no events', async () => {
    expect(await eventsOf([Buffer.from('event: text\ndata: half')])).toEqual([])
  })

  test('have a bound', async () => {
    const long = Buffer.alloc(LIMITS.responseEventBytesMax + 1, 'a')
    await expect(eventsOf([Buffer.from('data: '), long])).rejects.toMatchObject({ code: 'PEER_UNAVAILABLE' })
  })
})
