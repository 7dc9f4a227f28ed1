/**
 * What every fragment store promises (src/core/ports.ts), as tests. Every store and every wrapper runs all of them.
 */
import { afterEach, describe } from 'vitest'
import { describeStoreArguments } from './store-arguments.ts'
import { describeStoreClosing } from './store-closing.ts'
import { describeStoreEntries } from './store-entries.ts'
import { describeStoreExpiry } from './store-expiry.ts'
import { describeStoreHistories } from './store-histories.ts'
import { type StoreUnderTest, VirtualClock, type WithStore } from './store-fixtures.ts'
import { describeStoreStreams } from './store-streams.ts'

export function describeFragmentStore(name: string, subject: StoreUnderTest): void {
  const withStore: WithStore = (use) => async () => {
    const clock = new VirtualClock()
    const store = await subject.open(clock)
    try {
      await use(store, clock)
    } finally {
      await store.close()
    }
  }

  describe(`${name} as a fragment store`, () => {
    afterEach(async () => {
      await subject.cleanUp?.()
    })
    describeStoreEntries(withStore)
    describeStoreArguments(withStore)
    describeStoreExpiry(withStore)
    describeStoreStreams(withStore)
    describeStoreHistories(withStore, subject)
    describeStoreClosing(withStore, subject)
  })
}
