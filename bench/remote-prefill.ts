/**
 * Prefill by a node in another datacentre, over a link of 1 Gbps and 40 ms, shaped by a proxy: times of the case study a
 * tenth as long, by the simulated engine, and real bytes over a real door.
 */
import { openSimulatedBackend } from '../src/compute/simulated.ts'
import type { KvBackend } from '../src/core/compute.ts'
import { createHashChain } from '../src/core/hash-chains.ts'
import { DEFAULT_TENANT } from '../src/core/ids.ts'
import { type Member, CLUSTER_FORMAT, NO_TELEMETRY, type PrefillReport } from '../src/cluster/member.ts'
import { loadChainHashes } from '../src/hashing/chain-hashes.ts'
import { loadContentHashers } from '../src/hashing/content-hashers.ts'
import { buildScenario } from '../src/planner/scenario.ts'
import { preset } from '../src/planner/presets.ts'
import { MeasuredRates } from '../src/policy/measured-rates.ts'
import { DEFAULT_FABRIC_OPTIONS, openFabric } from '../src/server/fabric.ts'
import { Node } from '../src/server/node.ts'
import { DEFAULT_NODE_OPTIONS } from '../src/server/node-options.ts'
import { NodeTokens } from '../src/server/node-tokens.ts'
import { PeerConnections } from '../src/server/peer-connections.ts'
import { ClusterPrefill } from '../src/server/remote-prefill.ts'
import { systemAlarm, systemStopwatch } from '../src/server/system-time.ts'
import { MemoryStore } from '../src/store/memory.ts'
import { openShapedLink } from '../test/shaped-link.ts'
import { openTestServer } from '../test/test-server.ts'
import type { Bench, Findings, Row } from './bench.ts'

const BLOCK = 16
const FRAGMENT = 512
/** Of the case study's seconds. */
const SCALE = 0.1
const LINK = { bytesPerSecond: 125e6, delaySeconds: 0.02 }
const RTT_SECONDS = 2 * LINK.delaySeconds
const LENGTHS = [16_384, 32_768, 65_536] as const
const RUNS = 5
const WAIT_SECONDS_MIN = 0.002
/** 16 layers of 16 bytes a token: 32,768 tokens are 8.4 MB, a fifteenth of a second of the link. */
const SHAPE = { name: 'case', layers: 16, kvHeads: 1, headDim: 8, dtype: 'I8', contextTokensMax: 70_000 } as const
const TOKEN_BYTES = 16 * 2 * 8

const clock = { nowMs: Date.now }

export const bench: Bench = {
  summary: 'prefill in another datacentre over 1 Gbps and 40 ms, layer by layer, beside prefill here',
  probes: {},
  run: async (): Promise<Findings> => {
    const { hashers } = await loadContentHashers()
    const chainHashes = await loadChainHashes()
    const tokens = new NodeTokens('a secret of sixteen', 'bench')
    const scenario = buildScenario(preset('case-study'))
    const remoteSeconds = (length: number): number =>
      SCALE * scenario.remote.profile.prefillSeconds.at(Math.max(1, length))
    const localSeconds = (length: number): number =>
      SCALE * scenario.local.profile.prefillSeconds.at(Math.max(1, length))
    const far = engineOf(remoteSeconds)
    const server = await openTestServer({
      compute: far,
      tokens: { [tokens.tokenFor(DEFAULT_TENANT)]: { tenant: DEFAULT_TENANT, role: 'node', name: 'node' } },
    })
    const link = await openShapedLink(server.port('http'), LINK)
    const connections = new PeerConnections({ tokens, tls: null })
    const rows: Row[] = []
    const notes: string[] = []
    const ratios: { what: string; values: number[] }[] = []
    try {
      for (const length of LENGTHS) {
        const runsMs: number[] = []
        const localMs: number[] = []
        let predictedSeconds = 0
        let overlapSeconds = 0
        for (let run = 0; run < RUNS; run++) {
          const self = memberOf('near', 'east', 1, null)
          const report = reportOf(far.model.fingerprint, remoteSeconds, length)
          const other = memberOf('far', 'west', link.port, report)
          const remote = new ClusterPrefill({
            membership: { self, members: () => [self, other], watch: () => () => undefined },
            connections,
            blake3: hashers.b3,
            alarm: systemAlarm,
            stopwatch: systemStopwatch,
            threshold: null,
            links: null,
            link: () => ({ bytesPerSecond: LINK.bytesPerSecond, rttSeconds: RTT_SECONDS }),
          })
          const near = engineOf(localSeconds)
          const rates = new MeasuredRates()
          // Measured, as they are after some prompts: what is assumed would decide otherwise.
          for (let at = 0; at < 40; at++) {
            const end = 1024 * (1 + (at % 32))
            rates.observePrefill({ start: 0, end }, localSeconds(end))
          }
          remote.begin({ model: near.model, fragmentize: { blockTokens: BLOCK, fragmentTokens: FRAGMENT } })
          const fabric = await openFabric({
            ...DEFAULT_FABRIC_OPTIONS,
            store: new MemoryStore(clock),
            hashers,
            clock,
            tier: 'memory',
            seed: 1,
          })
          const node = new Node({
            ...DEFAULT_NODE_OPTIONS,
            fabric,
            backend: near,
            chain: createHashChain('blake3', { hashes: chainHashes, blockTokens: BLOCK }),
            rates,
            hashers,
            fragmentTokens: FRAGMENT,
            stopwatch: systemStopwatch,
            alarm: systemAlarm,
            remotePrefill: remote,
          })
          const tokenIds = Uint32Array.from({ length }, (_, index) => (index * 37 + run * 11 + (index >> 3)) % 300)
          const asked = { tenant: DEFAULT_TENANT, prompt: { tokenIds } }
          predictedSeconds = (await node.plan(asked)).expectedSeconds
          const rebuilt = await node.rebuild(asked)
          runsMs.push(1000 * rebuilt.seconds)
          localMs.push(1000 * localSeconds(length))
          overlapSeconds += remote.stats().overlapSeconds / RUNS
          const sent = rebuilt.explain.reduce(
            (sum, { source, start, end }) => sum + (source === 'remote-prefill' ? end - start : 0),
            0,
          )
          if (run === 0 && sent < length / 2)
            notes.push(`${length} tokens: only ${sent} of them were computed remotely.`)
          await node.close()
          await fabric.close()
        }
        const best = Math.min(...runsMs) / 1000
        const transferSeconds = (length * TOKEN_BYTES) / LINK.bytesPerSecond
        const serialSeconds = remoteSeconds(length) + transferSeconds + RTT_SECONDS
        rows.push({ what: `${length.toLocaleString('en-US')} tokens, computed in the other datacentre`, runsMs })
        ratios.push({
          what: `${length} tokens: here over there`,
          values: runsMs.map((ms, run) => (localMs[run] ?? 0) / ms),
        })
        ratios.push({
          what: `${length} tokens: measured over predicted (aim 0.9 to 1.1)`,
          values: runsMs.map((ms) => ms / 1000 / predictedSeconds),
        })
        notes.push(
          `${length.toLocaleString('en-US')} tokens: ${best.toFixed(3)} s at best, predicted ${predictedSeconds.toFixed(3)} s; here ${localSeconds(length).toFixed(3)} s. There it takes ${remoteSeconds(length).toFixed(3)} s to compute and ${transferSeconds.toFixed(3)} s to send: ${serialSeconds.toFixed(3)} s one after the other, so streaming by layers gains ${(serialSeconds - best).toFixed(3)} s (${overlapSeconds.toFixed(3)} s of the other node's computing overlapped).`,
        )
      }
    } finally {
      connections.close()
      await link.close()
      await server.close()
    }
    return { rows, ratios, notes }
  },
}

function engineOf(prefillSeconds: (tokens: number) => number): KvBackend {
  return openSimulatedBackend({
    ...SHAPE,
    prefillSeconds: (count) => (count === 0 ? 0 : prefillSeconds(count)),
    memoryBytesMax: 2 ** 30,
    wait: pacedWait(),
  })
}

/** Timers are late by a millisecond, and an engine of sixteen layers waits often: what is owed adds up, and is waited for at once. */
function pacedWait(): (seconds: number) => Promise<void> {
  let freeAtSeconds = 0
  return async (seconds) => {
    const now = systemStopwatch.seconds()
    freeAtSeconds = Math.max(now, freeAtSeconds) + seconds
    if (freeAtSeconds - now > WAIT_SECONDS_MIN)
      await new Promise<void>((resolve) => void systemAlarm.after(freeAtSeconds - now, resolve))
  }
}

/** As a node that has measured this engine around this length would report it. */
function reportOf(model: string, seconds: (tokens: number) => number, length: number): PrefillReport {
  const [half, whole] = [seconds(length / 2), seconds(length)]
  // Through both, and 0 at 0: a l + b l^2 / 2.
  const secondsPerPair = (8 * (whole / 2 - half)) / length ** 2
  const secondsPerToken = whole / length - (secondsPerPair * length) / 2
  return { model, callSeconds: 0, secondsPerToken, secondsPerPair: Math.max(0, secondsPerPair), waitSeconds: 0 }
}

function memberOf(node: string, datacentre: string, port: number, prefill: PrefillReport | null): Member {
  return {
    node,
    incarnation: 1,
    sequence: 1,
    address: `127.0.0.1:${port}`,
    datacentre,
    roles: ['prefill', 'decode'],
    version: '0.1.0',
    format: CLUSTER_FORMAT,
    capacityBytes: null,
    startedMs: 0,
    isDraining: false,
    telemetry: { ...NO_TELEMETRY, prefill },
    state: 'alive',
    sinceMs: 0,
  }
}
