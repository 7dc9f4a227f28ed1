/** A client of one node: its memory and its engine, over HTTP. */
import { BlobPool } from './blob-pool.ts'
import { type CallOptions, ControlChannel } from './client-control.ts'
import { FragmentCalls } from './client-fragments.ts'
import { checkClientOptions, type ClientOptions } from './client-options.ts'
import { PRESENCE, type Presence } from './client-shapes.ts'

export class MembraneClient {
  readonly #control: ControlChannel
  readonly #blobs: BlobPool
  readonly #fragments: FragmentCalls

  /** Use `openClient`. Throws INVALID_CONFIG. */
  constructor(options: ClientOptions) {
    const checked = checkClientOptions(options)
    this.#control = new ControlChannel(checked)
    this.#blobs = new BlobPool(checked.origin, checked.limits.connectionsMax)
    this.#fragments = new FragmentCalls(checked, this.#blobs)
  }

  put: FragmentCalls['put'] = (put) => this.#fragments.put(put)

  get: FragmentCalls['get'] = (key, options) => this.#fragments.get(key, options)

  async has(
    keys: readonly string[],
    { leaseMs, ...options }: CallOptions & { readonly leaseMs?: number } = {},
  ): Promise<Presence> {
    if (keys.length === 0) return { isPresent: [], leadingPresent: 0, leasedUntilMs: Date.now() }
    const body = leaseMs === undefined ? { keys } : { keys, leaseMs }
    return this.#control.json(PRESENCE, { ...options, method: 'POST', path: '/v1/has', body })
  }

  async close(): Promise<void> {
    this.#blobs.close()
    await this.#control.close()
  }
}
