/**
 * Which nodes keep which part of a directory: for each of 256 buckets the nodes with the highest score of bucket and
 * name (rendezvous hashing), so that a node that comes or goes moves its own share and no other.
 */
import { BUCKETS } from './name-table.ts'

/** Copies of each part. */
export const SHARD_COPIES = 2

/** By bucket, the best first; fewer where there are fewer nodes. */
export function shardOwners(nodes: readonly string[]): readonly (readonly string[])[] {
  const seeds = nodes.map((node) => ({ node, seed: textHash(node) }))
  return Array.from({ length: BUCKETS }, (_, bucket) =>
    seeds
      .map(({ node, seed }) => ({ node, score: mixed(seed ^ Math.imul(bucket + 1, 0x9e3779b1)) }))
      .sort((a, b) => b.score - a.score || (a.node < b.node ? -1 : 1))
      .slice(0, SHARD_COPIES)
      .map(({ node }) => node),
  )
}

/** FNV-1a over UTF-16 units; names are ASCII. */
function textHash(text: string): number {
  let sum = 0x811c9dc5
  for (let at = 0; at < text.length; at++) sum = Math.imul(sum ^ text.charCodeAt(at), 0x01000193)
  return sum >>> 0
}

/** Every bit of the result depends on every bit given: the end of MurmurHash3. */
function mixed(value: number): number {
  let mix = Math.imul(value ^ (value >>> 16), 0x85ebca6b)
  mix = Math.imul(mix ^ (mix >>> 13), 0xc2b2ae35)
  return (mix ^ (mix >>> 16)) >>> 0
}
