import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { parseTimestamp, secondsBetween } from './trace-timestamp.ts'

describe('parseTimestamp', () => {
  it('keeps every digit of an Azure timestamp', () => {
    expect(parseTimestamp('2023-11-16 18:15:46.6805900')).toEqual({
      wholeSeconds: 1_700_158_546,
      nanoseconds: 680_590_000,
    })
  })

  it.each(['2023-11-16T18:15:46Z', '2023-11-16 18:15:46+00:00', '2023-11-16 18:15:46.0+00', '2023-11-16T18:15:46'])(
    'reads %s as UTC',
    (text) => expect(parseTimestamp(text)).toEqual({ wholeSeconds: 1_700_158_546, nanoseconds: 0 }),
  )

  it.each([
    '',
    'soon',
    '2023-11-16',
    '2023-13-01 00:00:00',
    '2023-00-01 00:00:00',
    '2023-02-29 00:00:00',
    '1900-02-29 00:00:00',
    '2023-04-31 00:00:00',
    '2023-11-16 24:00:00',
    '2023-11-16 18:60:00',
    '2023-11-16 18:15:60',
    '2023-11-16 18:15:46+02:00',
    '2023-11-16 18:15:46.',
    '2023-11-16 18:15:46 UTC',
  ])('refuses "%s"', (text) => expect(parseTimestamp(text)).toBeNull())

  it('agrees with the platform on every date, leap days included', () => {
    const dates = fc.date({ min: new Date('0001-01-01'), max: new Date('9999-12-31'), noInvalidDate: true })
    fc.assert(
      fc.property(dates, (date) => {
        const parsed = parseTimestamp(date.toISOString())
        expect(parsed).not.toBeNull()
        expect((parsed?.wholeSeconds ?? 0) * 1000 + (parsed?.nanoseconds ?? 0) / 1e6).toBe(date.getTime())
      }),
    )
    expect(parseTimestamp('2024-02-29 00:00:00')?.wholeSeconds).toBe(Date.UTC(2024, 1, 29) / 1000)
    expect(parseTimestamp('2000-02-29 00:00:00')?.wholeSeconds).toBe(Date.UTC(2000, 1, 29) / 1000)
  })
})

describe('secondsBetween', () => {
  it('tells 100 ns apart across midnight and new year', () => {
    const earlier = parseTimestamp('2023-12-31 23:59:59.9999999')
    const later = parseTimestamp('2024-01-01 00:00:00.0000001')
    if (earlier === null || later === null) throw new Error('both are timestamps')
    expect(secondsBetween(earlier, later)).toBeCloseTo(2e-7, 15)
  })
})
