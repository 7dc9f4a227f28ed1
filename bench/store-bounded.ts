import type { FragmentPut } from '../src/core/ports.ts'
import { loadContentHashers } from '../src/hashing/content-hashers.ts'
import { MemoryStore } from '../src/store/memory.ts'
import { openBoundedStore } from '../src/store/bounded.ts'
import type { EvictionPolicyName } from '../src/policy/evict-policies.ts'
import type { Bench, Findings } from './bench.ts'
import { ratioOf, RUNS } from './harness.ts'

const ENTRIES_MAX = 10_000
const PUTS = 50_000
const PAYLOAD_BYTES = 100
/** 100,000 puts a second. */
const TARGET_MS = PUTS / 100

const { hashers } = await loadContentHashers()

export const bench: Bench = {
  summary: `puts of ${PAYLOAD_BYTES} bytes into a full store of ${ENTRIES_MAX} entries: each evicts one`,
  probes: {},
  run: async (): Promise<Findings> => {
    const policies: readonly EvictionPolicyName[] = ['lru', 'leaf-lru', 'chain-lhd']
    const runs = new Map<string, number[]>([...policies, 'map'].map((name) => [name, []]))
    const time = async (name: string, work: () => Promise<void>): Promise<void> => {
      const startMs = performance.now()
      await work()
      runs.get(name)?.push(performance.now() - startMs)
    }
    const stores = await Promise.all(policies.map(async (policy) => ({ policy, store: await fullStore(policy) })))
    const map = new MapLru()
    let next = ENTRIES_MAX
    // One turn more than counts: the first warms up.
    for (let turn = 0; turn <= RUNS; turn++) {
      const puts = Array.from({ length: PUTS }, (_, index) => smallPut(next + index))
      next += PUTS
      for (const { policy, store } of stores) {
        await time(policy, async () => {
          for (const put of puts) await store.put(put)
        })
      }
      await time('map', async () => {
        for (const put of puts) await map.put(put)
      })
    }
    const counted = (name: string): number[] => (runs.get(name) ?? []).slice(1)
    return {
      rows: policies.map((policy) => ({
        what: `${PUTS} puts, each of which evicts, ${policy}`,
        runsMs: counted(policy),
        targetMs: TARGET_MS,
      })),
      ratios: policies.map((policy) => ratioOf(`${policy} / a Map in order of use`, counted('map'), counted(policy))),
      notes: [
        `100,000 puts a second are the target. The peer copies the bytes and deletes the first key of a Map, no more.`,
        ...stores.map(
          ({ policy, store }) => `${policy}: ${store.boundedStats().refusals} refused of ${PUTS * (RUNS + 1)}.`,
        ),
      ],
    }
  },
}

function smallPut(index: number): FragmentPut {
  const payload = new Uint8Array(PAYLOAD_BYTES)
  new DataView(payload.buffer).setUint32(0, index)
  const contentHash = hashers.b3.hash(payload)
  return { key: `tenant/${index}`, head: new Uint8Array(0), contentHash, payloadBytes: PAYLOAD_BYTES, payload }
}

async function fullStore(policy: EvictionPolicyName) {
  const memory = new MemoryStore({ nowMs: Date.now })
  const store = await openBoundedStore(memory, {
    payloadBytesMax: Infinity,
    entriesMax: ENTRIES_MAX,
    policy,
    clock: { nowMs: Date.now },
    traitsOf: () => ({ chainName: null, parentName: null, density: 1, priority: 1, isPinned: false }),
    quotaOf: () => null,
    ttlMs: null,
    heldBytes: () => memory.stats().payloadBytes,
    joined: () => {},
    left: () => {},
  })
  for (let index = 0; index < ENTRIES_MAX; index++) await store.put(smallPut(index))
  return store
}

/** What one would write first. */
class MapLru {
  readonly #entries = new Map<string, Uint8Array>()

  async put({ key, payload }: FragmentPut): Promise<void> {
    if (!(payload instanceof Uint8Array)) return
    this.#entries.delete(key)
    this.#entries.set(key, payload.slice())
    if (this.#entries.size <= ENTRIES_MAX) return
    for (const oldest of this.#entries.keys()) {
      this.#entries.delete(oldest)
      return
    }
  }
}
