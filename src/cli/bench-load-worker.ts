/** Asks for a large value without a pause, from a thread of its own, until it is ended: what small look-ups are held against. */
import { parentPort, workerData } from 'node:worker_threads'
import { WireClient, type WireTarget } from './bench-wire.ts'

export interface BenchLoad {
  readonly target: WireTarget
  readonly request: Uint8Array
  readonly replyBytes: number
}

const { target, request, replyBytes }: BenchLoad = workerData
const client = await WireClient.connect(target, replyBytes)
// Told once, when the load is on.
await client.exchange([request], replyBytes)
// oxlint-disable-next-line unicorn/require-post-message-target-origin -- A thread has no origin.
parentPort?.postMessage('running')
for (;;) await client.exchange([request], replyBytes)
