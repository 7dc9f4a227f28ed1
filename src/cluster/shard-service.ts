/** The side of a sharded directory that keeps others' entries: answers what they ask of this node's shard. */
import { LIMITS } from '../core/limits.ts'
import { MembraneError } from '../core/errors.ts'
import { BLOCK_NAME_BYTES, type BlockNames, type Holding } from './block-directory.ts'
import type { DirectoryShard } from './directory-shard.ts'
import { countField, type Fields, fieldsOf, listField, textField } from './fields.ts'
import { BUCKETS, DIGEST_WORDS } from './name-table.ts'
import { type PeerHandlers, type PeerMessage, peerMessage } from './peer-calls.ts'

/** Kinds of messages: entries come and go, who holds these, what is said of one node, and all that it holds in some buckets. */
export const CHANGE = 'directory-change'
export const LOCATE = 'directory-locate'
export const DIGEST = 'directory-digest'
export const REPLACE = 'directory-replace'
/** Who holds these in the whole datacentre of whoever is asked. */
export const ASK = 'directory-ask'

/** A start of a node: what an earlier start of it said is forgotten. */
export interface Teller {
  readonly node: string
  readonly startedMs: number
}

/** Answers for a shard. What it gives ends it. */
export function answerForShard(handlers: PeerHandlers, shard: DirectoryShard): () => void {
  const off = [
    handlers.on(CHANGE, async ({ fields, bytes }, { tenant }) => {
      const { node } = tellerOf(fields, shard)
      let at = 0
      for (const { value, count } of listField(fields, 'changes', { itemsMax: LIMITS.directoryNamesMax, read: part })) {
        const names = namesAt(bytes, at, count)
        if (value === 0) shard.remove(tenant, node, names)
        else shard.add(tenant, node, { names, value })
        at += count
      }
      return peerMessage(CHANGE, { refused: shard.refused })
    }),
    handlers.on(LOCATE, async ({ bytes }, { tenant }) => {
      const count = bytes.length / BLOCK_NAME_BYTES
      if (!Number.isInteger(count) || count > LIMITS.directoryNamesMax) throw notNames(bytes.length)
      return encodeHoldings(shard.locate(tenant, bytes))
    }),
    handlers.on(DIGEST, async ({ fields }, { tenant }) => {
      const { node } = tellerOf(fields, shard)
      const digest = shard.digest(tenant, node)
      return peerMessage(DIGEST, {}, new Uint8Array(digest.buffer, digest.byteOffset, digest.byteLength).slice())
    }),
    handlers.on(REPLACE, async ({ fields, bytes }, { tenant }) => {
      const { node } = tellerOf(fields, shard)
      const parts = listField(fields, 'buckets', { itemsMax: BUCKETS, read: bucketPart })
      let at = 0
      const changed: number[][] = []
      for (const { bucket, value, count } of parts) {
        const { added, removed } = shard.replace(tenant, { node, bucket, names: namesAt(bytes, at, count), value })
        changed.push([added, removed])
        at += count
      }
      return peerMessage(REPLACE, { changed })
    }),
  ]
  return () => {
    for (const end of off) end()
  }
}

/** As fields say it, in an answer of `locate`. */
export function decodeHoldings({ fields, bytes }: PeerMessage, names: number): readonly Holding[] {
  const nodes = listField(fields, 'nodes', { itemsMax: LIMITS.clusterMembersMax, read: String })
  if (bytes.length !== nodes.length * names) throw notNames(bytes.length)
  return nodes.map((node, index) => ({ node, tiers: bytes.subarray(index * names, (index + 1) * names) }))
}

export function encodeHoldings(found: readonly Holding[]): PeerMessage {
  const each = found[0]?.tiers.length ?? 0
  const bytes = new Uint8Array(each * found.length)
  for (const [index, { tiers }] of found.entries()) bytes.set(tiers, index * each)
  return peerMessage(LOCATE, { nodes: found.map(({ node }) => node) }, bytes)
}

/** Of 256 buckets, in the order of the machine: all that Node runs on is little-endian. */
export function decodeDigest({ bytes }: PeerMessage): Uint32Array {
  if (bytes.length !== 4 * BUCKETS * DIGEST_WORDS) throw notNames(bytes.length)
  // A copy, whatever kind of view it is: numbers lie at multiples of four.
  return new Uint32Array(Uint8Array.from(bytes).buffer)
}

function tellerOf(fields: Fields, shard: DirectoryShard): Teller {
  const teller = { node: textField(fields, 'node', 64), startedMs: countField(fields, 'startedMs') }
  shard.begun(teller)
  return teller
}

function part(item: unknown, what: string): { readonly value: number; readonly count: number } {
  const fields = fieldsOf(item, what)
  return {
    value: countField(fields, 'value', 254),
    count: countField(fields, 'count', LIMITS.clusterMessageBytesMax / BLOCK_NAME_BYTES),
  }
}

function bucketPart(item: unknown, what: string) {
  return { ...part(item, what), bucket: countField(fieldsOf(item, what), 'bucket', BUCKETS - 1) }
}

function namesAt(bytes: Uint8Array, at: number, count: number): BlockNames {
  const names = bytes.subarray(at * BLOCK_NAME_BYTES, (at + count) * BLOCK_NAME_BYTES)
  if (names.length === count * BLOCK_NAME_BYTES) return names
  throw notNames(bytes.length)
}

function notNames(bytes: number): MembraneError {
  return new MembraneError(
    'INVALID_REQUEST',
    `Names of blocks of ${BLOCK_NAME_BYTES} bytes were expected; found ${bytes} bytes.`,
  )
}
