/** Opens a data directory, and joins the parts of a disk store on it. */
import { randomBytes } from 'node:crypto'
import { DiskEntries } from './disk-entries.ts'
import { diskError } from './disk-errors.ts'
import { readFormat, refuseForeignDirectory } from './disk-format.ts'
import type { DiskIndex } from './disk-index.ts'
import { DiskMaintenance } from './disk-maintenance.ts'
import type { DiskPorts, DiskSettings } from './disk-options.ts'
import { DiskReader } from './disk-reader.ts'
import { recover, type Recovered, type RecoveryReport } from './disk-recovery.ts'
import { DiskReserve } from './disk-reserve.ts'
import { DiskSync } from './disk-sync.ts'
import { DiskWriter } from './disk-writer.ts'
import { nodeFiles } from './files-node.ts'
import type { Files } from './files.ts'
import { lockDirectory } from './lock.ts'
import { SALT_BYTES } from './record.ts'
import { SegmentFiles } from './segment-files.ts'
import { SegmentLog } from './segment-log.ts'
import { SEGMENTS_DIRECTORY, type SegmentTable } from './segment.ts'

export interface OpenDirectory {
  readonly files: Files
  readonly unlock: () => void
  readonly salt: Uint8Array
  readonly segmentFiles: SegmentFiles
  readonly recovered: Recovered
  readonly report: RecoveryReport
}

export interface DiskParts {
  readonly index: DiskIndex
  readonly table: SegmentTable
  readonly segmentFiles: SegmentFiles
  readonly log: SegmentLog
  readonly sync: DiskSync
  readonly entries: DiskEntries
  readonly reader: DiskReader
  readonly writer: DiskWriter
  readonly maintenance: DiskMaintenance
}

export function systemPorts(directory: string): DiskPorts {
  return {
    files: nodeFiles(directory),
    lock: () => lockDirectory(directory),
    newSalt: () => randomBytes(SALT_BYTES),
  }
}

/** Throws FILE_UNREADABLE, STORE_LOCKED, STORE_FORMAT and STORE_FULL. */
export async function openDirectory(ports: DiskPorts, settings: DiskSettings): Promise<OpenDirectory> {
  const { files } = ports
  let unlock: (() => void) | null = null
  try {
    await files.makeDirectory('.')
    refuseForeignDirectory(files)
    unlock = ports.lock()
    return await readDirectory(ports, settings, unlock)
  } catch (error) {
    unlock?.()
    throw diskError(error, files.root, 'open')
  }
}

async function readDirectory(ports: DiskPorts, settings: DiskSettings, unlock: () => void): Promise<OpenDirectory> {
  const { files } = ports
  const startMs = performance.now()
  const { salt, wasRepaired } = await readFormat(files, ports.newSalt())
  await files.makeDirectory(SEGMENTS_DIRECTORY)
  const segmentFiles = new SegmentFiles(files, settings.idleFilesMax)
  const recovered = await recover({ ...settings, files, segmentFiles, salt })
  const damagedRegions = recovered.report.damagedRegions + (wasRepaired ? 1 : 0)
  const report = { ...recovered.report, damagedRegions, ms: performance.now() - startMs }
  return { files, unlock, salt, segmentFiles, recovered, report }
}

export function joinDisk(directory: OpenDirectory, settings: DiskSettings, isClosed: () => boolean): DiskParts {
  const { files, segmentFiles, salt, recovered, report } = directory
  const { index, table } = recovered
  const reserve = new DiskReserve(files)
  const log: SegmentLog = new SegmentLog({
    ...recovered,
    segmentFiles,
    reserve,
    salt,
    segmentBytesMax: settings.segmentBytesMax,
    onDirty: () => {
      sync.wake()
    },
  })
  const sync: DiskSync = new DiskSync(log, {
    files,
    segmentFiles,
    table,
    alarm: settings.alarm,
    intervalMs: settings.syncIntervalMs,
    onSynced: () => {
      maintenance.compactIfWorthIt()
    },
  })
  const entries = new DiskEntries({ index, table, log, clock: settings.clock, corruptEntries: report.damagedRegions })
  const maintenance = new DiskMaintenance({
    ...settings,
    files,
    segmentFiles,
    table,
    index,
    log,
    salt,
    entries,
    sync,
  })
  const reader = new DiskReader({
    segmentFiles,
    index,
    salt,
    onDamaged: (key, entry) => {
      entries.dropDamaged(key, entry)
    },
    isClosed,
  })
  const writer = new DiskWriter({ log, segmentFiles, sync, ownSegmentBytesMin: settings.ownSegmentBytesMin })
  reserve.refill()
  log.takeOver(recovered)
  return { index, table, segmentFiles, log, sync, entries, reader, writer, maintenance }
}
