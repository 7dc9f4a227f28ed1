import { expect, test } from 'vitest'
import { bytesProgressText, counted, NO_PROGRESS, showBytes } from './progress.ts'

test('progress has a bar, bytes, a rate and what is left, each with its unit', () => {
  expect(bytesProgressText({ doneBytes: 1e9, totalBytes: 4e9, seconds: 2 })).toBe(
    '[#####---------------] 25 %, 1 GB of 4 GB, 500 MB/s, 6 s left',
  )
  expect(bytesProgressText({ doneBytes: 1e9, totalBytes: null, seconds: 2 })).toBe('1 GB, 500 MB/s')
})

test('progress is shown on a terminal alone, and to nobody who has looked away', () => {
  expect(showBytes('reading', 1, { isTTY: false, write: () => true })).toBe(NO_PROGRESS)
  const written: string[] = []
  const progress = showBytes('reading', 1, {
    isTTY: true,
    write: (text) => {
      written.push(String(text))
      return true
    },
  })
  progress.add(1)
  progress.end()
  // It was over before anybody could have read it.
  expect(written).toEqual([])
})

test('pieces that are counted come as they are, and the line goes when they end or fail', async () => {
  async function* pieces(): AsyncGenerator<Uint8Array> {
    yield Uint8Array.of(1, 2)
    throw new Error('broken')
  }
  let [bytes, ends] = [0, 0]
  const progress = { add: (count: number) => void (bytes += count), end: () => void (ends += 1) }
  const read = async (): Promise<void> => {
    for await (const piece of counted(pieces(), progress)) expect(piece).toEqual(Uint8Array.of(1, 2))
  }
  await expect(read()).rejects.toThrow('broken')
  expect([bytes, ends]).toEqual([2, 1])
})
