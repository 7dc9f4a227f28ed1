import type { Client } from '@grpc/grpc-js'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import {
  call,
  clientOf,
  type DoorUnderTest,
  failureOf,
  openTestDoor,
  readAll,
  simulatedNode,
} from '../../test/contracts/grpc-fixtures.ts'

let under: DoorUnderTest
let client: Client
beforeAll(async () => {
  under = await openTestDoor({ engine: (fabric) => ({ kind: 'node', node: simulatedNode(fabric) }) })
  client = clientOf(under.door, 'membrane.Membrane')
})
afterAll(async () => {
  client.close()
  await under.close()
})

const words = (count: number): string => Array.from({ length: count }, (_, index) => `w${index}`).join(' ')

describe('prompts over gRPC', () => {
  test('are explained, made ready and found ready, each by its own tenant', async () => {
    const request = { prompt: { text: words(40) } }
    const before = await call(client, 'Explain', { request })
    expect(before.steps).toMatchObject([{ start: 0, source: 'prefill' }])
    expect(before.steps[0].reason).not.toBe('')
    expect(before.prefillAllSeconds).toBeGreaterThan(0)
    const made = await call(client, 'Rebuild', { request: { ...request, wantsKvHash: true } })
    expect(made).toMatchObject({ reusedTokens: 0, isApproximate: false })
    expect(made.prefilledTokens).toBe(made.promptTokens)
    expect(made.storedFragments).toBeGreaterThan(0)
    expect(made.kvHash).toMatch(/^b3:/)
    const again = await call(client, 'Rebuild', { request: { ...request, wantsKvHash: true } })
    expect(again.kvHash).toBe(made.kvHash)
    expect(again.reusedTokens).toBeGreaterThan(30)
    expect(again.explain[0]).toMatchObject({ start: 0, source: 'resident' })
    const theirs = await call(client, 'Explain', { request, token: 'bob' })
    expect(theirs.steps).toMatchObject([{ source: 'prefill' }])
  })

  test('are continued piece by piece, then summed up', async () => {
    const request = { prompt: { text: words(30), session: 's' }, maxTokens: 12 }
    const events = await readAll(client, 'Generate', { request })
    const summary = events.at(-1)?.summary
    const pieces = events.slice(0, -1).map(({ text }) => text)
    expect(pieces.length).toBeGreaterThan(1)
    expect(summary).toMatchObject({ finish: 'length', completionTokens: 12, isSimulated: true })
    expect(summary.promptTokens).toBe(summary.reusedTokens + summary.prefilledTokens)
    const other = await readAll(client, 'Generate', { request: { ...request, temperature: 5, topK: 0, seed: 3 } })
    expect(other.slice(0, -1).map(({ text }) => text)).not.toEqual(pieces)
    expect(await failureOf(readAll(client, 'Generate', { request: { ...request, topP: 7 } }))).toMatchObject({
      code: 'INVALID_REQUEST',
    })
    expect(await failureOf(readAll(client, 'Generate', { request: { ...request, maxTokens: 0 } }))).toMatchObject({
      code: 'INVALID_REQUEST',
    })
  })
})
