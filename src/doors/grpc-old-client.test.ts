/** A client made from the messages as they were before there were payloads. */
import { createHash } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Client } from '@grpc/grpc-js'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import {
  call,
  clientOf,
  type DoorUnderTest,
  failureOf,
  openTestDoor,
  simulatedNode,
} from '../../test/contracts/grpc-fixtures.ts'

const OLD_PROTO = `
syntax = "proto3";
package membrane;
service Membrane {
  rpc StoreFragment(StoreRequest) returns (StoreResponse);
  rpc RetrieveFragment(RetrieveRequest) returns (RetrieveResponse);
  rpc SyncInventory(InventoryRequest) returns (InventoryResponse);
  rpc Prefill(PrefillRequest) returns (PrefillResponse);
  rpc Heartbeat(HeartbeatRequest) returns (HeartbeatResponse);
}
message Fragment {
  string content_hash = 1;
  repeated double embedding = 2;
  string model_id = 3;
  int32 layer_start = 4;
  int32 layer_end = 5;
  int32 token_start = 6;
  int32 token_end = 7;
  int32 size = 8;
  double ttl = 9;
  double reuse_score = 10;
  int32 version_id = 11;
}
message StoreRequest { Fragment fragment = 1; string node_id = 2; bool is_primary = 3; }
message StoreResponse { bool success = 1; string content_hash = 2; string error = 3; }
message RetrieveRequest { string content_hash = 1; string node_id = 2; }
message RetrieveResponse { Fragment fragment = 1; bool found = 2; string error = 3; }
message InventoryRequest { string node_id = 1; }
message InventoryResponse { map<string, int32> digest = 1; string node_id = 2; }
message PrefillRequest { repeated int32 prompt_tokens = 1; string model_id = 2; string node_id = 3; }
message PrefillResponse {
  repeated Fragment fragments = 1;
  double kv_size_mib = 2;
  double latency_seconds = 3;
  bool success = 4;
  string error = 5;
}
message HeartbeatRequest { string node_id = 1; }
message HeartbeatResponse {
  string node_id = 1;
  double load = 2;
  int64 memory_used_bytes = 3;
  int64 memory_limit_bytes = 4;
  int32 fragment_count = 5;
  bool healthy = 6;
}
`

const folder = mkdtempSync(join(tmpdir(), 'membrane-old-proto-'))
const protoPath = join(folder, 'membrane.proto')
let under: DoorUnderTest
let old: Client
let current: Client

beforeAll(async () => {
  writeFileSync(protoPath, OLD_PROTO)
  under = await openTestDoor({
    engine: (fabric) => ({ kind: 'node', node: simulatedNode(fabric) }),
  })
  old = clientOf(under.door, 'membrane.Membrane', { protoPath })
  current = clientOf(under.door, 'membrane.Membrane')
})

afterAll(async () => {
  old.close()
  current.close()
  await under.close()
  rmSync(folder, { recursive: true })
})

describe('an old client', () => {
  test('is told that a fragment needs its bytes', async () => {
    const fragment = { contentHash: 'ab'.repeat(32), size: 10, layerEnd: 31, tokenEnd: 15, ttl: 3600, versionId: 1 }
    expect(await failureOf(call(old, 'StoreFragment', { request: { fragment } }))).toMatchObject({
      status: 3,
      code: 'PAYLOAD_REQUIRED',
    })
  })

  test('retrieves what others stored, its span inclusive, and lists it', async () => {
    const payload = Buffer.from('what is stored')
    const digits = createHash('sha256').update(payload).digest('hex')
    const fragment = { contentHash: digits, modelId: 'gpt', tokenStart: 16, tokenEnd: 31, ttl: 3600 }
    const stored = await call(current, 'StoreFragment', { request: { fragment, payload } })
    expect(stored).toMatchObject({ success: true, contentHash: `s256:${digits}` })
    const head = await under.fabric.of('ann' as never).head(stored.key)
    expect(head?.description.signature.tokens).toEqual({ start: 16, end: 32 })
    for (const contentHash of [digits, `s256:${digits}`]) {
      const found = await call(old, 'RetrieveFragment', { request: { contentHash } })
      expect(found).toMatchObject({ found: true, error: '' })
      expect(found.fragment).toMatchObject({ modelId: 'gpt', tokenStart: 16, tokenEnd: 31, size: 14, versionId: 1 })
      expect(found.fragment.ttl).toBeGreaterThan(3000)
    }
    const { digest, nodeId } = await call(old, 'SyncInventory')
    expect(digest).toMatchObject({ [`s256:${digits}`]: 1 })
    expect(nodeId).toBe('test')
  })

  test('retrieves by bare digits what the node named by BLAKE3', async () => {
    const { contentHash } = await call(current, 'StoreFragment', {
      request: { fragment: {}, payload: Buffer.from('b') },
    })
    expect(contentHash).toMatch(/^b3:/)
    expect(await call(old, 'RetrieveFragment', { request: { contentHash: contentHash.slice(3) } })).toMatchObject({
      found: true,
    })
  })

  test('is told that there is nothing under a hash, and which hashes there are', async () => {
    const missing = await call(old, 'RetrieveFragment', { request: { contentHash: 'cd'.repeat(32) } })
    expect(missing).toMatchObject({ found: false, fragment: null })
    expect(await failureOf(call(old, 'RetrieveFragment', { request: { contentHash: 'md5' } }))).toMatchObject({
      code: 'INVALID_REQUEST',
    })
  })

  test('has a prompt made ready, with the size of its KV', async () => {
    const promptTokens = Array.from({ length: 40 }, (_, index) => index + 1)
    const made = await call(old, 'Prefill', { request: { promptTokens, modelId: 'default' } })
    // K and V of two layers of two heads of eight numbers of four bytes.
    expect(made).toMatchObject({ success: true, kvSizeMib: (40 * 2 * 2 * 2 * 8 * 4) / 1024 ** 2, error: '' })
    expect(made.latencySeconds).toBeGreaterThan(0)
    const again = await call(current, 'Prefill', { request: { promptTokens } })
    expect(again).toMatchObject({ kvSizeBytes: 40 * 256 })
    expect(again.reusedTokens + again.prefilledTokens).toBe(40)
    expect(again.reusedTokens).toBeGreaterThanOrEqual(32)
    for (const { fragments } of [made, again]) {
      expect(fragments[0]).toMatchObject({ tokenStart: 0, layerStart: 0, layerEnd: 1 })
      expect(fragments.at(-1).tokenEnd).toBeGreaterThanOrEqual(31)
      for (const { contentHash } of fragments) expect(contentHash).toMatch(/^b3:/)
    }
    expect(await failureOf(call(old, 'Prefill', { request: { promptTokens, modelId: 'other' } }))).toMatchObject({
      code: 'INVALID_REQUEST',
    })
    expect(await failureOf(call(old, 'Prefill', { request: { promptTokens: [-1] } }))).toMatchObject({
      code: 'INVALID_REQUEST',
    })
  })

  test('hears the heart of the node', async () => {
    const heard = await call(old, 'Heartbeat')
    expect(heard).toMatchObject({ nodeId: 'test', healthy: true })
    // Of its own tenant; who may observe hears of the process.
    expect(Number(heard.memoryUsedBytes)).toBeLessThan(1e6)
    const observed = await call(old, 'Heartbeat', { token: 'monitor' })
    expect(Number(observed.memoryUsedBytes)).toBeGreaterThan(1e7)
    expect(Number(observed.memoryLimitBytes)).toBeGreaterThan(Number(observed.memoryUsedBytes))
  })
})

describe('a fragment that is stored in one message', () => {
  test('must have the hash that it names', async () => {
    for (const contentHash of ['ab'.repeat(32), `b3:${'ab'.repeat(32)}`, `s256:${'ab'.repeat(32)}`]) {
      const request = { fragment: { contentHash }, payload: Buffer.from('other bytes') }
      expect(await failureOf(call(current, 'StoreFragment', { request }))).toMatchObject({
        status: 3,
        code: 'CONTENT_MISMATCH',
      })
    }
  })
})
