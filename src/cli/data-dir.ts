/** The commands that work on a data directory open it here, without a server. */
import { randomInt } from 'node:crypto'
import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { Command } from 'commander'
import { MembraneError } from '../core/errors.ts'
import { fragmentKey, parseFragmentKey } from '../core/fragment-key.ts'
import { DEFAULT_TENANT, parseTenantId, type TenantId } from '../core/ids.ts'
import { LIMITS } from '../core/limits.ts'
import { loadContentHashers } from '../hashing/content-hashers.ts'
import { EVICTION_POLICIES, parseEvictionPolicy } from '../policy/evict-policies.ts'
import { DEFAULT_FABRIC_OPTIONS, type Fabric, openFabric } from '../server/fabric.ts'
import type { TenantFabric } from '../server/tenant-fabric.ts'
import { openTenantQuotas, type TenantQuotas } from '../server/tenant-quotas.ts'
import { type DiskStore, openDiskStore } from '../store/disk.ts'
import { FileQuarantine } from '../store/quarantine.ts'
import { SnapshotFile } from '../store/snapshot-file.ts'
import { isPrintable } from './printable.ts'
import type { GlobalFlags } from './run-command.ts'
import { bytesOf } from './units.ts'

export interface DataDirFlags extends GlobalFlags {
  readonly dataDir?: string
  readonly tenant?: string
  readonly durability?: string
  readonly maxBytes?: number
  readonly policy?: string
}

export function addDataDirFlags(command: Command): Command {
  return command
    .optionsGroup('Where:')
    .option('--data-dir <dir>', 'directory of the store')
    .option('--tenant <name>', 'whose fragments (default: default)')
}

/** For commands that may have to make room. */
export function addBoundFlags(command: Command): Command {
  return command
    .option('--durability <kind>', 'process: survives a killed process; power: a power cut too (default process)')
    .option('--max-bytes <size>', 'evict to keep within, such as 10GB (default: no bound)', bytesOf)
    .option(
      '--policy <name>',
      `what is evicted first: ${Object.keys(EVICTION_POLICIES).join(', ')} (default ${DEFAULT_FABRIC_OPTIONS.policy})`,
    )
}

export interface OpenedDataDir {
  readonly fabric: Fabric
  readonly disk: DiskStore
  readonly quarantine: FileQuarantine
  /** Of all tenants; they hold for what this process puts. */
  readonly quotas: TenantQuotas
  readonly tenant: TenantId
  /** What the tenant of the flags sees. */
  readonly own: TenantFabric
}

/** Opens the directory, and closes it whatever happens, so that an acknowledged put is on the device when the command ends. */
export async function withDataDir<T>(flags: DataDirFlags, use: (opened: OpenedDataDir) => Promise<T>): Promise<T> {
  await checkThere(flags.dataDir)
  return withNewDataDir(flags, use)
}

/** The same for commands that make the directory when there is none. */
export async function withNewDataDir<T>(flags: DataDirFlags, use: (opened: OpenedDataDir) => Promise<T>): Promise<T> {
  const opened = await openDataDir(flags)
  try {
    return await use(opened)
  } finally {
    await opened.fabric.close()
  }
}

async function openDataDir({
  dataDir,
  tenant: tenantName,
  durability = 'process',
  maxBytes,
  policy,
}: DataDirFlags): Promise<OpenedDataDir> {
  if (dataDir === undefined) throw new MembraneError('INVALID_REQUEST', 'A data directory is needed: give --data-dir.')
  if (durability !== 'process' && durability !== 'power')
    throw new MembraneError('INVALID_REQUEST', `--durability must be process or power, found ${durability}.`)
  const tenant = tenantName === undefined ? DEFAULT_TENANT : parseTenantId(tenantName)
  const policyName = policy === undefined ? DEFAULT_FABRIC_OPTIONS.policy : parseEvictionPolicy(policy)
  const { hashers } = await loadContentHashers()
  const clock = { nowMs: Date.now }
  const disk = await openDiskStore({ directory: dataDir, durability, hashers, clock })
  try {
    const quarantine = await FileQuarantine.open({ directory: join(dataDir, 'quarantine'), clock })
    const quotas = await openTenantQuotas(new SnapshotFile(join(dataDir, 'tenants.json')))
    const fabric = await openFabric({
      ...DEFAULT_FABRIC_OPTIONS,
      quotaOf: quotas.quotaOf,
      store: disk,
      hashers,
      clock,
      quarantine,
      policy: policyName,
      bound: { payloadBytesMax: maxBytes ?? Infinity, entriesMax: LIMITS.indexFragmentsMax },
      seed: randomInt(2 ** 32),
      snapshot: new SnapshotFile(join(dataDir, 'indices')),
    })
    return { fabric, disk, quarantine, quotas, tenant, own: fabric.of(tenant) }
  } catch (error) {
    await disk.close()
    throw error
  }
}

/** Whoever reads from a directory that is not there has mistyped its name. */
async function checkThere(dataDir: string | undefined): Promise<void> {
  if (dataDir === undefined || (await stat(dataDir).catch(() => null)) !== null) return
  throw new MembraneError('NOT_FOUND', `There is no data directory ${dataDir}.`, {
    remedy: 'Check the name; `membrane put` and `membrane import` make a new one.',
  })
}

/** A key as users write it: one that a listing prints, or a name that they gave. */
export function keyOfArgument(text: string): string {
  try {
    parseFragmentKey(text)
    return text
  } catch (error) {
    if (!(error instanceof MembraneError)) throw error
    return fragmentKey({ kind: 'opaque', name: new TextEncoder().encode(text) })
  }
}

/** A key as users wrote it: the name that they gave, or the key itself. A name that a terminal would obey stays a key. */
export function argumentOfKey(key: string): string {
  const name = parseFragmentKey(key)
  if ('block' in name || name.kind !== 'opaque' || typeof name.name === 'string') return key
  const text = new TextDecoder().decode(name.name)
  return isPrintable(text) && keyOfArgument(text) === key ? text : key
}
