import { describe, expect, it } from 'vitest'
import { VirtualAlarm } from '../../test/faults/virtual-alarm.ts'
import { MembraneError } from '../core/errors.ts'
import { choosePrefill, DEFAULT_PREFILL_LINK, hedge, type PrefillChoice, reportedLink } from './dispatch-prefill.ts'
import { CLUSTER_FORMAT, type Member, NO_TELEMETRY } from './member.ts'

const REPORT = { model: 'm', callSeconds: 0.01, secondsPerToken: 1e-4, secondsPerPair: 0, waitSeconds: 0 }
const LINK = { bytesPerSecond: 1e9, rttSeconds: 0.001 }

function member(node: string, changes: Partial<Member> = {}, report: Partial<typeof REPORT> = {}): Member {
  return {
    node,
    incarnation: 1,
    sequence: 1,
    address: `${node}:1`,
    datacentre: 'a',
    roles: ['prefill'],
    version: '1',
    format: CLUSTER_FORMAT,
    capacityBytes: null,
    startedMs: 0,
    isDraining: false,
    telemetry: { ...NO_TELEMETRY, prefill: { ...REPORT, ...report } },
    state: 'alive',
    sinceMs: 0,
    ...changes,
  }
}

const work = { model: 'm', span: { start: 0, end: 1000 }, tokenBytes: 1000, layers: 10, chunkTokens: 500 }
const choose = (members: readonly Member[], changes: Partial<typeof work> = {}, link = LINK) =>
  choosePrefill(members, { ...work, ...changes }, { self: 'self', link: () => link })

describe('the choice of a node that computes', () => {
  it('is the one that is done first, waiting included', () => {
    const choices = choose([
      member('slow', {}, { secondsPerToken: 1e-3 }),
      member('busy', {}, { waitSeconds: 0.5 }),
      member('free'),
    ])
    expect(choices.map(({ node }) => node)).toEqual(['free', 'busy', 'slow'])
  })

  it('is among those that live, stay, have the role and compute the model, and never this node', () => {
    const others = [
      member('self'),
      member('dead', { state: 'suspect' }),
      member('leaving', { isDraining: true }),
      member('store', { roles: ['store'] }),
      member('other', {}, { model: 'n' }),
      member('idle', { telemetry: NO_TELEMETRY }),
    ]
    expect(choose(others)).toEqual([])
    expect(choose([...others, member('right')]).map(({ node }) => node)).toEqual(['right'])
  })

  it('counts of the transfer what is not hidden behind the computing', () => {
    const [quick] = choose([member('a')])
    expect(quick?.prefillSeconds).toBeCloseTo(0.11)
    // A megabyte in a millisecond is hidden; the last layer of the last chunk is not.
    expect(quick?.transferSeconds).toBeCloseTo(0.001 + 500_000 / 1e9 / 10)
    const [slow] = choose([member('a')], {}, { ...LINK, bytesPerSecond: 1e6 })
    expect(slow?.transferSeconds).toBeCloseTo(0.001 + (1 - 0.11) + 0.05)
  })

  it('counts what is before the span at the node: computed, or fetched where that is sooner', () => {
    const [fetched] = choose([member('a')], { span: { start: 1000, end: 2000 } })
    expect(fetched?.prefillSeconds).toBeCloseTo(0.11 + 1_000_000 / 1e9 + 0.001)
    const [computed] = choose([member('a')], { span: { start: 1000, end: 2000 } }, { ...LINK, bytesPerSecond: 1e3 })
    expect(computed?.prefillSeconds).toBeCloseTo(0.22)
  })

  it('takes links from telemetry, and else a modest one', () => {
    const links = [{ datacentre: 'b', ...LINK, lossRatio: 0, utilisation: 0 }]
    const self = member('self', { telemetry: { ...NO_TELEMETRY, links } })
    expect(reportedLink(self, member('x', { datacentre: 'b' }))).toMatchObject(LINK)
    expect(reportedLink(self, member('x'))).toEqual(DEFAULT_PREFILL_LINK)
  })
})

/** Nodes that answer when told to. */
function world(nodes: readonly string[]) {
  const alarm = new VirtualAlarm()
  const choices = choose(nodes.map((node) => member(node)))
  const asked: string[] = []
  const cancelled: string[] = []
  const hedged: string[] = []
  const answers = new Map<string, PromiseWithResolvers<string>>()
  const suspicions = new Map<string, () => void>()
  const abort = new AbortController()
  const ask = ({ node }: PrefillChoice, signal: AbortSignal): Promise<string> => {
    asked.push(node)
    const answer = Promise.withResolvers<string>()
    answers.set(node, answer)
    signal.addEventListener('abort', () => {
      cancelled.push(node)
      answer.reject(new MembraneError('ABORTED', 'cancelled'))
    })
    return answer.promise
  }
  const onSuspected = (node: string, callback: () => void) => {
    suspicions.set(node, callback)
    return () => void suspicions.delete(node)
  }
  const won = hedge(choices, {
    alarm,
    ask,
    onSuspected,
    onHedge: ({ node }) => hedged.push(node),
    signal: abort.signal,
  })
  const answer = (node: string): void => answers.get(node)?.resolve(`of ${node}`)
  const fail = (node: string): void => answers.get(node)?.reject(new MembraneError('PEER_UNAVAILABLE', `no ${node}`))
  return {
    alarm,
    won,
    asked,
    cancelled,
    hedged,
    suspicions,
    abort,
    answer,
    fail,
    firstSeconds: choices[0]?.firstSeconds ?? 0,
  }
}

describe('a hedged question', () => {
  it('asks one node when it answers in time, and leaves no alarm behind', async () => {
    const { won, asked, answer, alarm, suspicions, cancelled } = world(['a', 'b'])
    answer('a')
    expect(await won).toMatchObject({ choice: { node: 'a' }, first: 'of a' })
    expect([asked, cancelled, alarm.pending, suspicions.size]).toEqual([['a'], [], 0, 0])
  })

  it('asks the second when nothing has come after twice the expected time; the first to deliver wins', async () => {
    const { won, asked, answer, alarm, cancelled, hedged, firstSeconds } = world(['a', 'b', 'c'])
    alarm.onTurn = () => {
      if (asked.length === 2) answer('b')
    }
    expect(await alarm.run(won)).toMatchObject({ choice: { node: 'b' }, first: 'of b' })
    expect(alarm.seconds()).toBeCloseTo(2 * firstSeconds)
    expect([asked, hedged, cancelled]).toEqual([['a', 'b'], ['b'], ['a']])
    expect(alarm.pending).toBe(0)
  })

  it('takes the first after all when it delivers before the second', async () => {
    const { won, asked, answer, alarm, cancelled } = world(['a', 'b'])
    alarm.onTurn = () => {
      if (asked.length === 2) answer('a')
    }
    expect(await alarm.run(won)).toMatchObject({ choice: { node: 'a' } })
    expect(cancelled).toEqual(['b'])
  })

  it('asks the second at once when the first is suspected or fails', async () => {
    const suspected = world(['a', 'b'])
    suspected.suspicions.get('a')?.()
    suspected.answer('b')
    expect(await suspected.won).toMatchObject({ choice: { node: 'b' } })
    const failed = world(['a', 'b'])
    failed.fail('a')
    await new Promise(setImmediate)
    failed.answer('b')
    expect(await failed.won).toMatchObject({ choice: { node: 'b' } })
    expect([suspected.alarm.pending, failed.alarm.pending]).toEqual([0, 0])
  })

  it('asks no more than a second, and fails when both have', async () => {
    const { won, asked, fail, alarm } = world(['a', 'b', 'c'])
    fail('a')
    await new Promise(setImmediate)
    fail('b')
    await expect(won).rejects.toThrow('no b')
    expect([asked, alarm.pending]).toEqual([['a', 'b'], 0])
  })

  it('ends with everything that it began when it is cancelled', async () => {
    const { won, abort, cancelled, alarm, suspicions } = world(['a', 'b'])
    suspicions.get('a')?.()
    abort.abort()
    await expect(won).rejects.toMatchObject({ code: 'ABORTED' })
    expect([cancelled.toSorted(), alarm.pending, suspicions.size]).toEqual([['a', 'b'], 0, 0])
  })

  it('that is cancelled before it began asks nobody', async () => {
    const asked: string[] = []
    const question = hedge(choose([member('a')]), {
      alarm: new VirtualAlarm(),
      signal: AbortSignal.abort(),
      ask: async ({ node }) => asked.push(node),
      onSuspected: () => () => undefined,
      onHedge: () => undefined,
    })
    await expect(question).rejects.toMatchObject({ code: 'ABORTED' })
    expect(asked).toEqual([])
  })
})
