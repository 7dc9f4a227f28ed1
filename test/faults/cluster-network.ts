/**
 * A network between nodes of one test: on a virtual clock, it drops, delays, duplicates, reorders, corrupts and parts
 * what is sent, by a seeded chance. What arrives damaged arrives as other bytes: whoever reads must notice.
 */
import { MembraneError } from '../../src/core/errors.ts'
import { DEFAULT_TENANT } from '../../src/core/ids.ts'
import type { Random } from '../../src/core/random.ts'
import {
  decodePeerMessage,
  encodePeerMessage,
  type PeerCallOptions,
  type PeerCalls,
  PeerHandlers,
  type PeerMessage,
} from '../../src/cluster/peer-calls.ts'
import type { VirtualAlarm } from './virtual-alarm.ts'

/** Chances are for each message, one way. */
export interface NetworkFaults {
  readonly dropRatio: number
  readonly duplicateRatio: number
  readonly corruptRatio: number
  readonly delaySecondsMin: number
  readonly delaySecondsMax: number
}

export const CALM: NetworkFaults = {
  dropRatio: 0,
  duplicateRatio: 0,
  corruptRatio: 0,
  delaySecondsMin: 0.001,
  delaySecondsMax: 0.002,
}

/** A node as the network knows it. */
export interface NetworkNode {
  readonly address: string
  readonly handlers: PeerHandlers
  /** `hung`: takes what comes and answers nothing. `down`: refuses. */
  state: 'up' | 'hung' | 'down'
}

export class ClusterNetwork {
  faults: NetworkFaults = CALM
  /** Whether what `from` sends reaches `to`; one way. */
  isParted: (from: string, to: string) => boolean = () => false
  messages = 0
  bytes = 0
  /** Bytes that each address has sent. */
  readonly sentBytes = new Map<string, number>()
  readonly #nodes = new Map<string, NetworkNode>()
  readonly #alarm: VirtualAlarm
  readonly #random: Random

  constructor(alarm: VirtualAlarm, random: Random) {
    this.#alarm = alarm
    this.#random = random
  }

  /** In place of what had the address before. */
  add(address: string): NetworkNode {
    const node: NetworkNode = { address, handlers: new PeerHandlers(), state: 'up' }
    this.#nodes.set(address, node)
    return node
  }

  /** How a node at `from` calls others. */
  callsOf(from: string): PeerCalls {
    return { call: (to, message, options) => this.#call({ from, to }, message, options) }
  }

  #call({ from, to }: Way, message: PeerMessage, options: PeerCallOptions): Promise<PeerMessage> {
    const { signal, timeoutSeconds, tenant } = options
    return new Promise((resolve, reject) => {
      const sender = this.#nodes.get(from)
      const end = (): void => {
        cancel()
        signal?.removeEventListener('abort', aborted)
      }
      const fail = (text: string): void => {
        end()
        reject(new MembraneError('PEER_UNAVAILABLE', text))
      }
      const aborted = (): void => {
        end()
        reject(new MembraneError('ABORTED', 'The call was cancelled.'))
      }
      const cancel = this.#alarm.after(timeoutSeconds, () => fail(`${to} did not answer in time.`))
      signal?.addEventListener('abort', aborted)
      if (signal?.aborted === true) {
        aborted()
        return
      }
      // A process that is gone hears nothing more.
      const isSender = (): boolean => this.#nodes.get(from) === sender && sender?.state === 'up'
      this.#send({ from, to }, encodePeerMessage(message), (arrived) => {
        const node = this.#nodes.get(to)
        if (node === undefined || node.state === 'down') {
          this.#send({ from: to, to: from }, new Uint8Array(0), () => isSender() && fail(`${to} refuses connections.`))
          return
        }
        if (node.state === 'hung') return
        void answer(node, arrived, tenant ?? DEFAULT_TENANT).then((outcome) => {
          if (this.#nodes.get(to) !== node || node.state !== 'up') return
          if (outcome instanceof MembraneError) {
            this.#send({ from: to, to: from }, new Uint8Array(0), () => {
              if (!isSender()) return
              end()
              reject(outcome)
            })
            return
          }
          this.#send({ from: to, to: from }, encodePeerMessage(outcome), (bytes) => {
            if (!isSender()) return
            end()
            try {
              resolve(decodePeerMessage(bytes))
            } catch (error) {
              reject(error)
            }
          })
        })
      })
    })
  }

  #send({ from, to }: Way, bytes: Uint8Array, arrived: (bytes: Uint8Array) => void): void {
    this.messages += 1
    this.bytes += bytes.length
    this.sentBytes.set(from, (this.sentBytes.get(from) ?? 0) + bytes.length)
    const { dropRatio, duplicateRatio, corruptRatio, delaySecondsMin, delaySecondsMax } = this.faults
    const copies = this.#random() < duplicateRatio ? 2 : 1
    for (let copy = 0; copy < copies; copy++) {
      if (this.#random() < dropRatio) continue
      const seconds = delaySecondsMin + this.#random() * (delaySecondsMax - delaySecondsMin)
      const sent = Uint8Array.from(bytes)
      if (this.#random() < corruptRatio && sent.length > 0) {
        const at = Math.floor(this.#random() * sent.length)
        sent[at] = (sent[at] ?? 0) ^ (1 << Math.floor(this.#random() * 8))
      }
      this.#alarm.after(seconds, () => {
        // A partition that begins while something is on its way loses it.
        if (!this.isParted(from, to)) arrived(sent)
      })
    }
  }
}

interface Way {
  readonly from: string
  readonly to: string
}

async function answer(
  { handlers }: NetworkNode,
  bytes: Uint8Array,
  tenant: typeof DEFAULT_TENANT,
): Promise<PeerMessage | MembraneError> {
  try {
    return await handlers.answer(decodePeerMessage(bytes), { tenant })
  } catch (error) {
    if (error instanceof MembraneError) return error
    throw error
  }
}
