import type { Command } from 'commander'
import { encodeDescription } from '../core/fragment-codec.ts'
import type { StoredEntry } from '../core/ports.ts'
import { PRIORITIES } from '../server/fragment-head.ts'
import type { Described } from '../server/tenant-fabric.ts'
import { argumentOfKey } from './data-dir.ts'
import { addPlaceFlags, type Place, type PlaceFlags, withPlace } from './place.ts'
import { dim, printJson, printText, printWarnings, table } from './print.ts'
import { printable, shortened } from './printable.ts'
import { onRun } from './run-command.ts'
import { bytesText, fragmentsText } from './units.ts'

/** The last time that has a date, in milliseconds since 1970. */
const LAST_DATE_MS = 8.64e15

/** Characters of a column. Keys of KV have some 150; names that others gave may have thousands, and every row is as wide as the widest. */
const COLUMN_CHARACTERS_MAX = 200

interface LsFlags extends PlaceFlags {
  readonly long?: boolean
}

export function defineLs(command: Command): void {
  addPlaceFlags(
    command
      .description('list the fragments of a tenant')
      .argument('[prefix]', 'only keys that begin so, such as kv/ or opaque/=report')
      .optionsGroup('Output:')
      .option('--long', 'content hashes and descriptions too; --json has long keys and texts in full'),
  )
  onRun<LsFlags>(command, async (flags, [prefix = '']) => {
    await withPlace(flags, async (place) => {
      const entries: Described<StoredEntry>[] = []
      for await (const entry of place.own.list(prefix)) entries.push(entry)
      const unindexed = place.kind === 'directory' ? place.opened.fabric.stats().unindexed : 0
      if (unindexed > 0)
        printWarnings([`${unindexed} entries of the directory are not listed: what they are cannot be read.`])
      entries.sort((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0))
      if (flags.json === true) {
        printJson(entries.map(jsonOf))
        return
      }
      if (entries.length > 0)
        printText(
          table(
            headOf(flags),
            entries.map((entry) => rowOf(entry, flags)),
          ),
        )
      const payloadBytes = entries.reduce((sum, entry) => sum + entry.payloadBytes, 0)
      printText(dim(`${fragmentsText(entries.length)}, ${bytesText(payloadBytes)}; ${await restText(place)}`))
    })
  })
}

/** What there is beside what was listed. */
async function restText(place: Place): Promise<string> {
  if (place.kind === 'directory') {
    const { fragments, contentBytes } = place.opened.fabric.stats()
    return `the directory holds ${fragments} of all tenants, ${bytesText(contentBytes)} with equal bytes once`
  }
  const { tenant, fragments, payloadBytes } = await place.client.admin.usage()
  return `${tenant} has ${fragmentsText(fragments)} on the server, ${bytesText(payloadBytes)}`
}

function jsonOf({ key, payloadBytes, contentHash, expiresAtMs, hints, description }: Described<StoredEntry>) {
  return {
    key,
    name: argumentOfKey(key),
    payloadBytes,
    contentHash,
    expiresAtMs,
    ...hints,
    description: JSON.parse(new TextDecoder().decode(encodeDescription(description))) as unknown,
  }
}

function headOf({ long }: LsFlags): readonly string[] {
  return ['key', 'kind', 'bytes', 'kept', 'expires (UTC)', ...(long === true ? ['content hash', 'tokens', 'text'] : [])]
}

function rowOf(
  { key, payloadBytes, contentHash, expiresAtMs, hints, description }: Described<StoredEntry>,
  { long }: LsFlags,
) {
  const { kind, tokens } = description.signature
  const priority = Object.entries(PRIORITIES).find(([, value]) => value === hints.priority)?.[0] ?? ''
  const kept = hints.isPinned ? 'pinned' : priority
  const expires = expiresAtMs === null ? null : timeText(expiresAtMs)
  const text = description.text === null ? null : shortened(printable(description.text), COLUMN_CHARACTERS_MAX)
  const row = [shortened(argumentOfKey(key), COLUMN_CHARACTERS_MAX), kind, bytesText(payloadBytes), kept, expires]
  return long === true ? [...row, contentHash, `${tokens.start}-${tokens.end}`, text] : row
}

/** A later one is as good as never, and no date. */
function timeText(ms: number): string {
  return new Date(Math.min(ms, LAST_DATE_MS)).toISOString().slice(0, 19).replace('T', ' ')
}
