/** Checks of `membrane doctor` on this machine: versions, and a data directory. */
import { randomBytes } from 'node:crypto'
import { access, constants, open, rm, stat, statfs } from 'node:fs/promises'
import { join } from 'node:path'
import { MembraneError } from '../core/errors.ts'
import { byteDescription } from '../core/fragment-bytes.ts'
import { loadContentHashers } from '../hashing/content-hashers.ts'
import { withDataDir } from './data-dir.ts'
import { type Check, failed, type Finding, ok, warning } from './doctor-check.ts'
import { bytesText } from './units.ts'

const NODE_MIN = [22, 18] as const
const VALUE_BYTES = 1024 * 1024
const FSYNC_BYTES = 4096
const FSYNCS = 5
const FSYNC_MS_MAX = 50
const FREE_BYTES_MIN = 100e6
const FREE_BYTES_LOW = 2e9

export function versionChecks(version: string): readonly Check[] {
  return [
    { name: 'versions', run: async () => nodeFinding(process.versions.node, version) },
    { name: 'hashing', run: hashing },
    { name: 'engines', run: async () => enginesFinding() },
  ]
}

export function nodeFinding(node: string, version: string): Finding {
  const [major = 0, minor = 0] = node.split('.').map(Number)
  const found = `membrane ${version}, Node ${node}, ${process.platform} ${process.arch}`
  const isOld = major < NODE_MIN[0] || (major === NODE_MIN[0] && minor < NODE_MIN[1])
  return isOld ? failed(found, `Node ${NODE_MIN.join('.')} or later is needed.`) : ok(found)
}

async function hashing(): Promise<Finding> {
  const { implementation, reason } = await loadContentHashers()
  return hashingFinding(implementation, reason)
}

export function hashingFinding(implementation: 'native' | 'pure', reason: string | null): Finding {
  return implementation === 'native'
    ? ok('BLAKE3 by native code')
    : warning(
        `BLAKE3 by JavaScript, some four times slower: ${reason ?? 'no reason is known'}`,
        'Install the optional package @napi-rs/blake-hash for this machine.',
      )
}

/** Engines that are installed beside the built-in one. */
const ENGINE_PACKAGES = { llama: 'node-llama-cpp', transformers: '@huggingface/transformers' } as const

function enginesFinding(): Finding {
  const names = Object.entries(ENGINE_PACKAGES).map(([engine, name]) => {
    try {
      import.meta.resolve(name)
      return engine
    } catch {
      return `no ${engine} (npm install ${name})`
    }
  })
  return ok(['cpu, simulated', ...names].join(', '))
}

/** `isServed`: a server that is tested too may have it open. */
export function directoryChecks(dataDir: string, isServed: boolean): readonly Check[] {
  return [
    { name: 'directory', run: () => writable(dataDir) },
    { name: 'free space', run: () => freeSpace(dataDir) },
    { name: 'fsync', run: () => fsync(dataDir) },
    { name: 'store', run: () => store(dataDir, isServed) },
  ]
}

async function writable(dataDir: string): Promise<Finding> {
  const found = await stat(dataDir).catch(() => null)
  if (found === null)
    return failed(`There is no directory ${dataDir}.`, 'Check the name; `membrane put` makes a new one.')
  if (!found.isDirectory()) return failed(`${dataDir} is no directory.`, 'Name the directory of the store.')
  try {
    await access(dataDir, constants.R_OK | constants.W_OK | constants.X_OK)
    return ok(`${dataDir} can be read and written`)
  } catch {
    return failed(
      `${dataDir} cannot be read and written by this user.`,
      'Give this user the directory, with chown or chmod.',
    )
  }
}

async function freeSpace(dataDir: string): Promise<Finding> {
  const { bavail, blocks, bsize } = await statfs(dataDir)
  return freeSpaceFinding({ freeBytes: bavail * bsize, totalBytes: blocks * bsize })
}

export function freeSpaceFinding({
  freeBytes,
  totalBytes,
}: {
  readonly freeBytes: number
  readonly totalBytes: number
}): Finding {
  const found = `${bytesText(freeBytes)} free of ${bytesText(totalBytes)}`
  const remedy = 'Make room on the disk, or bound the store with --max-bytes.'
  if (freeBytes < FREE_BYTES_MIN) return failed(found, remedy)
  return freeBytes < FREE_BYTES_LOW ? warning(found, remedy) : ok(found)
}

/** What each put costs that is to survive a power cut. */
async function fsync(dataDir: string): Promise<Finding> {
  const path = join(dataDir, `doctor-${process.pid}.tmp`)
  const file = await open(path, 'wx')
  try {
    const times: number[] = []
    for (let turn = 0; turn < FSYNCS; turn += 1) {
      await file.write(randomBytes(FSYNC_BYTES), 0, FSYNC_BYTES, turn * FSYNC_BYTES)
      const startMs = performance.now()
      await file.sync()
      times.push(performance.now() - startMs)
    }
    return fsyncFinding(times.toSorted((a, b) => a - b)[Math.floor(FSYNCS / 2)] ?? 0)
  } finally {
    await file.close()
    await rm(path, { force: true })
  }
}

export function fsyncFinding(medianMs: number): Finding {
  const found = `${medianMs.toFixed(1)} ms to sync ${bytesText(FSYNC_BYTES)}`
  return medianMs <= FSYNC_MS_MAX
    ? ok(found)
    : warning(found, 'With --durability power every put waits so long: take another disk, or --durability process.')
}

/** Takes the lock, writes, reads back, compares and removes. */
async function store(dataDir: string, isServed: boolean): Promise<Finding> {
  try {
    return await withDataDir({ dataDir }, async ({ own, fabric }) => {
      const payload = randomBytes(VALUE_BYTES)
      const { key } = await own.put({ payload, description: byteDescription('artifact') })
      const found = await own.get(key)
      await own.remove([key])
      if (found === null || !payload.equals(found.payload))
        return failed('Other bytes were read than were written.', 'Run `membrane scrub`, and check the disk.')
      const { fragments } = fabric.stats()
      return ok(`locked; ${bytesText(VALUE_BYTES)} written, read back and equal; ${fragments} fragments`)
    })
  } catch (error) {
    if (!(error instanceof MembraneError) || error.code !== 'STORE_LOCKED') throw error
    if (isServed) return ok(`${error.message} It is tested through the server`)
    return failed(error.message, 'If that is a server, test it with --url in place of --data-dir.')
  }
}
