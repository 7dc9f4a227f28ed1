import { describe, expect, it } from 'vitest'
import { LinkMeasures } from './measure-links.ts'

const MB = 1e6

class Line {
  now = 0
  bytesPerSecond: number
  readonly measures = new LinkMeasures({ seconds: () => this.now })

  constructor(bytesPerSecond: number) {
    this.bytesPerSecond = bytesPerSecond
  }

  /** One after the other, with pauses in which nothing travels. */
  carry(count: number, bytes: number, pauseSeconds = 0): void {
    for (let k = 0; k < count; k++) {
      const seconds = bytes / this.bytesPerSecond
      this.now += seconds
      this.measures.transferred('b', bytes, seconds)
      this.now += pauseSeconds
    }
  }

  get report() {
    return this.measures.reports()[0]
  }
}

describe('a measured link', () => {
  it('is left out of the reports until something large has travelled on it', () => {
    const line = new Line(100 * MB)
    line.measures.probed('b', 0.02)
    line.carry(3, 10_000)
    expect(line.measures.reports()).toEqual([])
    line.carry(1, 8 * MB)
    expect(line.report?.bytesPerSecond).toBeCloseTo(100 * MB, -4)
  })

  it('counts what shared it: four transfers at a quarter each are the whole link', () => {
    const line = new Line(100 * MB)
    for (let round = 0; round < 5; round++) {
      line.now += 0.32
      for (let k = 0; k < 4; k++) line.measures.transferred('b', 8 * MB, 0.32)
    }
    expect(line.report?.bytesPerSecond).toBeCloseTo(100 * MB, -4)
  })

  it('that drops to a tenth is seen as such within ten seconds of traffic, and when it is back again too', () => {
    const line = new Line(100 * MB)
    line.carry(50, 8 * MB)
    line.bytesPerSecond = 10 * MB
    const droppedSeconds = line.now
    line.carry(13, 8 * MB)
    expect(line.now - droppedSeconds).toBeLessThan(11)
    expect(line.report?.bytesPerSecond).toBeCloseTo(10 * MB, -4)
    line.bytesPerSecond = 100 * MB
    line.carry(16, 8 * MB)
    expect(line.report?.bytesPerSecond).toBeCloseTo(100 * MB, -4)
  })

  it('is seen to have dropped within a second or two when much travels on it', () => {
    const line = new Line(100 * MB)
    line.carry(500, 0.5 * MB)
    line.bytesPerSecond = 10 * MB
    const droppedSeconds = line.now
    line.carry(20, 0.5 * MB)
    expect(line.now - droppedSeconds).toBeLessThan(1.1)
    expect(line.report?.bytesPerSecond).toBeCloseTo(10 * MB, -4)
  })

  it('is not slow for a few transfers that something else made slow', () => {
    const line = new Line(100 * MB)
    line.carry(10, 8 * MB)
    for (let k = 0; k < 4; k++) {
      line.now += 1
      line.measures.transferred('b', 8 * MB, 1)
    }
    expect(line.report?.bytesPerSecond).toBeCloseTo(100 * MB, -4)
  })

  it('says what share of it is used, averaged over half a minute', () => {
    const line = new Line(100 * MB)
    line.carry(600, 8 * MB, 0.08)
    expect(line.report?.utilisation).toBeCloseTo(0.5, 1)
    line.now += 90
    expect(line.report?.utilisation).toBeLessThan(0.05)
    line.carry(2000, 8 * MB)
    expect(line.report?.utilisation).toBeGreaterThan(0.95)
    expect(line.report?.utilisation).toBeLessThanOrEqual(1)
  })

  it('that was slow and is not used is believed to recover, up to the best that was seen', () => {
    const line = new Line(100 * MB)
    line.carry(20, 8 * MB)
    line.bytesPerSecond = 10 * MB
    line.carry(20, 8 * MB)
    line.now += 60
    expect(line.report?.bytesPerSecond).toBeCloseTo(10 * MB, -4)
    line.now += 60
    expect(line.report?.bytesPerSecond).toBeCloseTo(20 * MB, -4)
    line.now += 3600
    expect(line.report?.bytesPerSecond).toBeCloseTo(100 * MB, -4)
  })

  it('has the round trip of its quicker probes, and loses the share of those that failed', () => {
    const line = new Line(100 * MB)
    line.carry(1, 8 * MB)
    for (let k = 0; k < 12; k++) line.measures.probed('b', k % 3 === 0 ? 0.02 : 0.3)
    for (let k = 0; k < 4; k++) line.measures.probed('b', null)
    expect(line.report).toMatchObject({ rttSeconds: 0.02, lossRatio: 0.25 })
    for (let k = 0; k < 16; k++) line.measures.probed('b', null)
    expect(line.report?.lossRatio).toBe(1)
  })

  it('ignores numbers that are no times and no sizes, and reports in order of names', () => {
    const line = new Line(100 * MB)
    for (const seconds of [Number.NaN, -1, Infinity]) {
      line.measures.transferred('b', 8 * MB, seconds)
      line.measures.probed('b', seconds)
    }
    line.measures.transferred('b', Number.NaN, 1)
    expect(line.measures.reports()).toEqual([])
    line.now = 5
    for (const name of ['c', 'a']) line.measures.transferred(name, 8 * MB, 0)
    expect(line.measures.reports().map(({ datacentre }) => datacentre)).toEqual(['a', 'c'])
    for (const { bytesPerSecond } of line.measures.reports()) expect(Number.isFinite(bytesPerSecond)).toBe(true)
  })
})
