/** Makes and drops copies by how often they are read here: the acting side of `HotCopies`. */
import type { CallOptions } from '../core/compute.ts'
import { MembraneError } from '../core/errors.ts'
import { parseTenantId, type TenantId } from '../core/ids.ts'
import type { Alarm, HashFunction, PeerFetch, RemoteFragment } from '../core/ports.ts'
import type { BlockDirectory } from '../cluster/block-directory.ts'
import type { HotCopies } from '../cluster/hot-copies.ts'
import type { Membership } from '../cluster/membership.ts'
import { isColdCopy } from '../policy/place.ts'
import { type Elsewhere, nameOfKey } from './cluster-elsewhere.ts'
import type { Fabric } from './fabric.ts'

export interface ClusterHeatParts {
  readonly fabric: Fabric
  readonly copies: HotCopies
  readonly directory: BlockDirectory
  readonly membership: Membership
  readonly hash: HashFunction
  readonly alarm: Alarm
  /** Copies that are wanted of each fragment. */
  readonly wanted: number
}

const LOOK_SECONDS = 60

/** Reads from others; what is read often is brought here as well. */
export function promoting(fetch: PeerFetch, copies: HotCopies, elsewhere: Pick<Elsewhere, 'bring'>): PeerFetch {
  return {
    fetch: async (tenant: TenantId, fragment: RemoteFragment, options?: CallOptions) => {
      const payload = await fetch.fetch(tenant, fragment, options)
      // Beside the read, which waits for nothing; it never throws for other nodes.
      if (payload !== null && copies.fetched(tenant, fragment.key)) void elsewhere.bring(tenant, fragment.key)
      return payload
    },
  }
}

/** Looks once a minute; what it gives ends it. `demoted` is told of each copy that went. */
export function demoteCold(parts: ClusterHeatParts, demoted: () => void): () => void {
  const { alarm, fabric, copies } = parts
  let cancel = (): void => undefined
  const look = (): void => {
    void dropCold(parts, demoted)
    cancel = alarm.after(LOOK_SECONDS, look)
  }
  cancel = alarm.after(LOOK_SECONDS, look)
  const unwatch = fabric.watch({
    joined: () => undefined,
    left: (key) => {
      const slash = key.indexOf('/')
      copies.left(parseTenantId(key.slice(0, slash)), key.slice(slash + 1))
    },
  })
  return () => {
    cancel()
    unwatch()
  }
}

async function dropCold(parts: ClusterHeatParts, demoted: () => void): Promise<void> {
  const { copies, directory, membership, hash, fabric, wanted } = parts
  for (const { tenant, key, idleSeconds } of copies.idle()) {
    // Nobody is asked about what was read lately.
    if (!isColdCopy({ idleSeconds, otherCopies: wanted, copies: wanted })) continue
    try {
      const holdings = await directory.locate(tenant, nameOfKey(key, hash))
      const others = holdings.filter(({ node, tiers }) => node !== membership.self.node && tiers[0] !== 0)
      if (!isColdCopy({ idleSeconds, otherCopies: others.length, copies: wanted })) continue
      if ((await fabric.of(tenant).remove([key])) > 0) demoted()
    } catch (error) {
      // Without a directory nobody knows what else there is: it stays.
      if (!(error instanceof MembraneError)) throw error
      return
    }
  }
}
