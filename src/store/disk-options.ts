/** How a disk store is opened. */
import { MembraneError } from '../core/errors.ts'
import { LIMITS } from '../core/limits.ts'
import type { Alarm, Clock, ContentHashers } from '../core/ports.ts'
import type { Files } from './files.ts'

/**
 * What an acknowledgement means. `process`: the kernel has it, so no death of this process loses it, and it is on the
 * device within a second. `power`: it is on the device.
 */
export type Durability = 'process' | 'power'

/** Where a disk store is and what it promises. */
export interface DiskStoreOptions {
  /** Made if it is not there. One process at a time has it open. */
  readonly directory: string
  /** For what was written just before a crash, and for `scrub`. See `loadContentHashers`. */
  readonly hashers: ContentHashers
  readonly durability?: Durability
  /** Payloads of at least so many bytes get a file of their own: they are removed without copying anything. */
  readonly ownSegmentBytesMin?: number
  /** Bytes of a file that smaller payloads share. Up to LIMITS.segmentBytesMax. */
  readonly segmentBytesMax?: number
  /** Milliseconds until what was written is synced without anybody asking. 1 to 1000. */
  readonly syncIntervalMs?: number
  /** Files kept open while nobody reads them. */
  readonly idleFilesMax?: number
  /** Default: the system's. */
  readonly clock?: Clock
  readonly alarm?: Alarm
}

/** What is not given is so. */
export const DEFAULT_DISK_OPTIONS = {
  durability: 'process',
  // Below, a file of 4 KiB blocks and its inode cost more than 1.05 of the payload; above, compaction would copy much.
  ownSegmentBytesMin: 256 * 1024,
  segmentBytesMax: 64 * 1024 * 1024,
  // Leaves the sync a tenth of the second that is promised.
  syncIntervalMs: 900,
  idleFilesMax: 128,
} as const satisfies Partial<DiskStoreOptions>

/** What tests put in the place of the file system. */
export interface DiskPorts {
  readonly files: Files
  /** Takes the directory for this process alone. The result gives it back. */
  readonly lock: () => () => void
  readonly newSalt: () => Uint8Array
}

export type DiskSettings = Required<Omit<DiskStoreOptions, 'directory'>>

/** Throws INVALID_CONFIG. */
export function diskSettings(options: DiskStoreOptions): DiskSettings {
  const settings = { clock: SYSTEM_CLOCK, alarm: SYSTEM_ALARM, ...DEFAULT_DISK_OPTIONS, ...options }
  checkWhole('segmentBytesMax', settings.segmentBytesMax, 64, LIMITS.segmentBytesMax)
  checkWhole('ownSegmentBytesMin', settings.ownSegmentBytesMin, 1, LIMITS.payloadBytesMax)
  checkWhole('syncIntervalMs', settings.syncIntervalMs, 1, 1000)
  checkWhole('idleFilesMax', settings.idleFilesMax, 1, 100_000)
  return settings
}

function checkWhole(name: string, value: number, min: number, max: number): void {
  if (Number.isSafeInteger(value) && value >= min && value <= max) return
  throw new MembraneError('INVALID_CONFIG', `${name} is a whole number from ${min} to ${max}, found ${value}.`, {
    details: { name, value, min, max },
  })
}

const SYSTEM_CLOCK: Clock = { nowMs: () => Date.now() }

const SYSTEM_ALARM: Alarm = {
  after: (seconds, callback) => {
    const timer = setTimeout(callback, seconds * 1000)
    // A sync that waits keeps no process alive: `close` syncs, and the kernel has what was acknowledged.
    timer.unref()
    return () => {
      clearTimeout(timer)
    }
  },
}
