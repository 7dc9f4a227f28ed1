import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { VirtualAlarm } from '../../test/faults/virtual-alarm.ts'
import { LIMITS } from '../core/limits.ts'
import { FairLink, type FlowName, FLOW_WEIGHTS } from './fair-link.ts'

const MB = 1e6

class Senders {
  readonly alarm = new VirtualAlarm()
  readonly link = new FairLink(this.alarm, this.alarm)
  readonly sent = new Map<FlowName, number>()
  isOver = false

  constructor(bytesPerSecond: number) {
    this.link.setBytesPerSecond(bytesPerSecond)
  }

  /** Sends one message after the other, with a pause after each, until all is over. */
  async keepSending(flow: FlowName, bytes: number, pauseSeconds = 0): Promise<void> {
    while (!this.isOver) {
      await this.link.admit(flow, bytes)
      this.sent.set(flow, (this.sent.get(flow) ?? 0) + bytes)
      if (pauseSeconds > 0) await this.alarm.wait(pauseSeconds)
    }
  }

  /** Lets them all end, too. */
  async run(seconds: number, senders: readonly Promise<void>[]): Promise<Map<FlowName, number>> {
    await this.alarm.run(this.alarm.wait(seconds))
    const sent = new Map(this.sent)
    this.isOver = true
    await this.alarm.run(Promise.all(senders))
    return sent
  }
}

describe('a link that is shared', () => {
  it('gives flows that keep waiting shares within a tenth of their weights, all of it together, to none nothing', async () => {
    const flows = fc.uniqueArray(
      fc.record({
        kind: fc.constantFrom('prefill', 'sync', 'replication'),
        id: fc.nat(9),
        bytes: fc.integer({ min: 100_000, max: MB }),
      }),
      { minLength: 2, maxLength: 4, selector: ({ kind, id }) => `${kind}:${id}` },
    )
    await fc.assert(
      fc.asyncProperty(flows, async (picked) => {
        const senders = new Senders(100 * MB)
        const named = picked.map(({ kind, id, bytes }) => {
          const name: FlowName = `${kind}:${id}`
          return { name, bytes, weight: FLOW_WEIGHTS[kind] }
        })
        const seconds = 3
        const sent = await senders.run(
          seconds,
          named.map(({ name, bytes }) => senders.keepSending(name, bytes)),
        )
        const total = [...sent.values()].reduce((sum, bytes) => sum + bytes, 0)
        expect(total).toBeLessThanOrEqual(100 * MB * (seconds + 0.01) + MB)
        expect(total).toBeGreaterThan(100 * MB * seconds * 0.98)
        const weights = named.reduce((sum, { weight }) => sum + weight, 0)
        for (const { name, weight } of named) {
          const share = (sent.get(name) ?? 0) / total
          expect(Math.abs(share / (weight / weights) - 1)).toBeLessThan(0.1)
        }
      }),
      { numRuns: 40 },
    )
  }, 60_000)

  it('gives what an idle flow leaves to the others, and an idle flow saves nothing up', async () => {
    const senders = new Senders(100 * MB)
    const running = [senders.keepSending('replication', MB)]
    await senders.alarm.run(senders.alarm.wait(2))
    expect(senders.sent.get('replication')).toBeGreaterThan(195 * MB)
    senders.sent.clear()
    running.push(senders.keepSending('prefill:1', MB))
    const sent = await senders.run(1, running)
    expect(sent.get('prefill:1')).toBeGreaterThan(75 * MB)
    expect(sent.get('prefill:1')).toBeLessThan(85 * MB)
    expect(sent.get('replication')).toBeGreaterThan(18 * MB)
  })

  it('lets a flow that asks rarely go before one that fills the link', async () => {
    const senders = new Senders(100 * MB)
    const running = [
      senders.keepSending('replication:1', MB),
      senders.keepSending('replication:2', MB),
      senders.keepSending('prefill:1', MB, 0.1),
    ]
    const sent = await senders.run(5, running)
    // Each waits for the message that is on its way and one of a flow that has had as little.
    expect(sent.get('prefill:1')).toBeGreaterThan(40 * MB)
  })

  it('forgets a waiter that is aborted, whose flow then is charged nothing for it', async () => {
    const { alarm, link } = new Senders(MB)
    await link.admit('sync', MB)
    const controller = new AbortController()
    const aborted = link.admit('sync', 100 * MB, controller.signal)
    const follower = link.admit('sync', MB)
    const other = link.admit('replication', MB)
    expect(link.waitingBytes).toBe(102 * MB)
    controller.abort(new Error('enough'))
    await expect(aborted).rejects.toMatchObject({ code: 'ABORTED' })
    expect(link.waitingBytes).toBe(2 * MB)
    await alarm.run(Promise.all([follower, other]))
    expect(alarm.seconds()).toBeLessThan(2.1)
    expect(alarm.pending).toBe(0)
    await expect(link.admit('sync', 1, controller.signal)).rejects.toMatchObject({ code: 'ABORTED' })
  })

  it('refuses more waiters than there is room for, and has room again', async () => {
    const { alarm, link } = new Senders(MB)
    await link.admit('sync', MB)
    const waiters = Array.from({ length: LIMITS.fairLinkWaitersMax }, () => link.admit('sync', 1))
    await expect(link.admit('prefill', 1)).rejects.toMatchObject({ code: 'RATE_LIMITED' })
    await alarm.run(Promise.all(waiters))
    await alarm.run(link.admit('prefill', 1))
  })

  it('is not shaped while its capacity is not known, and follows what is said of it', async () => {
    const alarm = new VirtualAlarm()
    const link = new FairLink(alarm, alarm)
    for (let k = 0; k < 10; k++) await link.admit('prefill', 1000 * MB)
    expect(alarm.seconds()).toBe(0)
    link.setBytesPerSecond(10 * MB)
    await link.admit('prefill', 10 * MB)
    const next = link.admit('prefill', 10 * MB)
    // What is left of the first second takes ten.
    link.setBytesPerSecond(MB)
    await alarm.run(next)
    expect(alarm.seconds()).toBeCloseTo(10, 0)
    const last = link.admit('prefill', MB)
    link.setBytesPerSecond(null)
    await last
    expect(alarm.pending).toBe(0)
    expect(() => link.setBytesPerSecond(0)).toThrow('more than 0')
  })
})
