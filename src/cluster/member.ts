/** What nodes know of each other. */
import { MembraneError } from '../core/errors.ts'
import { LIMITS } from '../core/limits.ts'
import {
  choiceField,
  countField,
  type Fields,
  fieldsOf,
  flagField,
  listField,
  numberField,
  orNullField,
  textField,
} from './fields.ts'

/**
 * What a node does for others. `store`: keeps replicas. `prefill`: computes prompts for others. `decode`: generates.
 * `supernode`: answers for its datacentre and talks to those of other datacentres.
 */
export const MEMBER_ROLES = ['store', 'prefill', 'decode', 'supernode'] as const
/** One of MEMBER_ROLES. */
export type MemberRole = (typeof MEMBER_ROLES)[number]

/** Of the messages between nodes: a node refuses what is newer, and reads what is older. */
export const CLUSTER_FORMAT = 1

/** What this node measured on the way to another datacentre. */
export interface LinkReport {
  readonly datacentre: string
  readonly bytesPerSecond: number
  readonly rttSeconds: number
  /** Share of probes and transfers that failed, 0 to 1. */
  readonly lossRatio: number
  /** Share of the bandwidth in use, 0 to 1. */
  readonly utilisation: number
}

/** What computing takes at a node, as its engine was measured: seconds of a call, of a token, of a pair of tokens. */
export interface PrefillReport {
  /** Of the model that it computes. */
  readonly model: string
  readonly callSeconds: number
  readonly secondsPerToken: number
  readonly secondsPerPair: number
  /** How long a prompt that comes now waits before it is computed. */
  readonly waitSeconds: number
}

/** How a node is, as it says itself; new every few seconds. */
export interface Telemetry {
  readonly storedBytes: number
  readonly fragments: number
  /** Share of the time in which its event loop had work, 0 to 1. */
  readonly eventLoopRatio: number
  /** Requests that compute or generate. */
  readonly running: number
  /** Null for a node without an engine. */
  readonly prefill: PrefillReport | null
  /** To other datacentres, at most LIMITS.clusterLinksMax. */
  readonly links: readonly LinkReport[]
}

/** A node, in its own words. */
export interface MemberFacts {
  /** 1 to 64 letters, digits, `.`, `_` and `-`; unique in the cluster. */
  readonly node: string
  /**
   * Grows with every start of the node, and with every time it has to say that it lives after all: of two facts of one
   * node, those of the greater incarnation hold.
   */
  readonly incarnation: number
  /** Grows with every change of what follows within an incarnation. */
  readonly sequence: number
  /** `host:port` of its HTTP door, as others reach it. */
  readonly address: string
  /** 1 to 64 letters, digits, `.`, `_` and `-`. */
  readonly datacentre: string
  readonly roles: readonly MemberRole[]
  /** Of the program. */
  readonly version: string
  /** The newest format of messages that it reads. */
  readonly format: number
  /** Bytes of payloads that it may keep; null for no bound. */
  readonly capacityBytes: number | null
  /** Milliseconds since 1970, of its own clock: younger nodes are given work slowly. */
  readonly startedMs: number
  /** It is about to leave: nothing new goes there. */
  readonly isDraining: boolean
  readonly telemetry: Telemetry
}

/**
 * `suspect`: did not answer, and has some time to say that it lives; nothing new is sent there. `gone`: taken for dead.
 * `left`: said goodbye.
 */
export const MEMBER_STATES = ['alive', 'suspect', 'gone', 'left'] as const
/** One of MEMBER_STATES. */
export type MemberState = (typeof MEMBER_STATES)[number]

/** A node, as this node sees it. */
export interface Member extends MemberFacts {
  readonly state: MemberState
  /** Since when it is in this state here, milliseconds of this node's clock. */
  readonly sinceMs: number
}

/** Of a node that has just begun. */
export const NO_TELEMETRY: Telemetry = {
  storedBytes: 0,
  fragments: 0,
  eventLoopRatio: 0,
  running: 0,
  prefill: null,
  links: [],
}

const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/
const ADDRESS = /^(?:\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9._-]{1,253}):\d{1,5}$/
/** Addresses that mean every interface of whoever uses them. */
const NOWHERE = /^(?:0\.0\.0\.0|\[::\]|\*):/

/** Reads what `memberFields` wrote, here or in another version. Throws INVALID_REQUEST. */
export function memberFacts(value: unknown, what = 'member'): MemberFacts {
  const fields = fieldsOf(value, what)
  const address = textField(fields, 'address', 300)
  if (!ADDRESS.test(address) || NOWHERE.test(address))
    throw new MembraneError('INVALID_REQUEST', `A node is reached at host:port, found ${JSON.stringify(address)}.`)
  return {
    node: nameField(fields, 'node'),
    incarnation: countField(fields, 'incarnation'),
    sequence: countField(fields, 'sequence'),
    address,
    datacentre: nameField(fields, 'datacentre'),
    // Roles that are not known here are those of a newer version.
    roles: listField(fields, 'roles', { itemsMax: 32, read: String }).flatMap(
      (role) => MEMBER_ROLES.find((known) => known === role) ?? [],
    ),
    version: textField(fields, 'version', 64),
    format: countField(fields, 'format'),
    capacityBytes: orNullField(fields, 'capacityBytes', () => countField(fields, 'capacityBytes')),
    startedMs: countField(fields, 'startedMs'),
    isDraining: flagField(fields, 'isDraining'),
    telemetry: telemetryOf(fields['telemetry']),
  }
}

/** What one node says of another: its facts, and the state that it sees it in. */
export interface SeenMember extends MemberFacts {
  readonly state: MemberState
}

/** Throws INVALID_REQUEST. */
export function seenMember(value: unknown, what: string): SeenMember {
  return { ...memberFacts(value, what), state: choiceField(fieldsOf(value, what), 'state', MEMBER_STATES) }
}

function telemetryOf(value: unknown): Telemetry {
  const fields = fieldsOf(value, 'telemetry')
  return {
    storedBytes: countField(fields, 'storedBytes'),
    fragments: countField(fields, 'fragments'),
    eventLoopRatio: numberField(fields, 'eventLoopRatio', { max: 1 }),
    running: countField(fields, 'running'),
    prefill: orNullField(fields, 'prefill', () => prefillOf(fields['prefill'])),
    links: listField(fields, 'links', { itemsMax: LIMITS.clusterLinksMax, read: linkOf }),
  }
}

function prefillOf(value: unknown): PrefillReport {
  const fields = fieldsOf(value, 'prefill')
  return {
    model: textField(fields, 'model', 200),
    callSeconds: numberField(fields, 'callSeconds'),
    secondsPerToken: numberField(fields, 'secondsPerToken'),
    secondsPerPair: numberField(fields, 'secondsPerPair'),
    waitSeconds: numberField(fields, 'waitSeconds'),
  }
}

function linkOf(value: unknown, what: string): LinkReport {
  const fields = fieldsOf(value, what)
  return {
    datacentre: nameField(fields, 'datacentre'),
    bytesPerSecond: numberField(fields, 'bytesPerSecond'),
    rttSeconds: numberField(fields, 'rttSeconds'),
    lossRatio: numberField(fields, 'lossRatio', { max: 1 }),
    utilisation: numberField(fields, 'utilisation', { max: 1 }),
  }
}

/** A node's or datacentre's name. Throws INVALID_REQUEST. */
function nameField(fields: Fields, name: string): string {
  const text = textField(fields, name, 64)
  if (NAME.test(text)) return text
  throw new MembraneError(
    'INVALID_REQUEST',
    `${name} is 1 to 64 letters, digits, dots, underscores and dashes, found ${JSON.stringify(text)}.`,
  )
}
