import { describe, expect, test } from 'vitest'
import { open } from '../../test/contracts/fabric-fixtures.ts'
import { parseTenantId } from '../core/ids.ts'
import type { Caller } from '../server/caller.ts'
import type { Engine } from '../server/compute-operations.ts'
import { Gate } from '../server/gate.ts'
import { ObserveOperations } from '../server/observe-operations.ts'
import { RateLimits } from '../server/rate-limits.ts'
import { RequestMeters } from '../server/request-meters.ts'
import { openTenantQuotas } from '../server/tenant-quotas.ts'
import { MetricsTexts } from './http-metrics-text.ts'

const callerOf = (name: string, role: Caller['role']): Caller => ({ name, tenant: parseTenantId(name), role })
const engine = { kind: 'none' } as unknown as Engine

async function openTexts({ requestsPerSecondMax }: { readonly requestsPerSecondMax: number | null }) {
  const { fabric } = await open()
  const meters = new RequestMeters()
  const quotas = await openTenantQuotas(null)
  const limits = { requestsPerSecondMax, bytesPerSecondMax: null, stopwatch: { seconds: () => 0 } }
  const gate = new Gate(new RateLimits(limits))
  const observe = new ObserveOperations({ fabric, engine, gate, quotas, meters, node: 'n' })
  return { meters, texts: new MetricsTexts(observe) }
}

describe('scrapes that come together', () => {
  test('are answered with one text', async () => {
    const { texts } = await openTexts({ requestsPerSecondMax: null })
    const scraper = callerOf('ann', 'monitor')
    const [first, ...others] = await Promise.all(Array.from({ length: 20 }, () => texts.textFor(scraper)))
    expect(others.every((other) => other === first)).toBe(true)
  })

  test('see what each may see, and no more', async () => {
    const { texts } = await openTexts({ requestsPerSecondMax: null })
    const callers = [callerOf('ann', 'monitor'), callerOf('ann', 'reader'), callerOf('bob', 'reader')]
    const [all, ann, bob] = (await Promise.all(callers.map((caller) => texts.textFor(caller)))).map(({ text }) => text)
    expect(all).toMatch(/^membrane_fragments 0$/m)
    expect([ann, bob].map((text) => text?.includes('membrane_fragments '))).toEqual([false, false])
    expect(ann).toMatch(/^membrane_tenant_fragments\{tenant="ann"\} 0$/m)
    expect(ann).not.toMatch(/bob/)
    expect(bob).not.toMatch(/ann/)
  })

  test('count against the rate of their caller one by one', async () => {
    const { texts } = await openTexts({ requestsPerSecondMax: 3 })
    const scraper = callerOf('ann', 'monitor')
    const scrapes = await Promise.allSettled(Array.from({ length: 5 }, () => texts.textFor(scraper)))
    expect(scrapes.map(({ status }) => status === 'fulfilled')).toEqual([true, true, true, false, false])
  })
})

test('A scrape that comes after another was answered sees what has happened between', async () => {
  const { meters, texts } = await openTexts({ requestsPerSecondMax: null })
  const scraper = callerOf('ann', 'monitor')
  const counted = (text: string) => /^membrane_requests_total\{.*\} (\d+)$/m.exec(text)?.[1]
  meters.answered({ door: 'resp', route: 'GET', outcome: 'ok', seconds: 0.001 })
  expect(counted((await texts.textFor(scraper)).text)).toBe('1')
  meters.answered({ door: 'resp', route: 'GET', outcome: 'ok', seconds: 0.001 })
  expect(counted((await texts.textFor(scraper)).text)).toBe('2')
})
