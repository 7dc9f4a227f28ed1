/** CLUSTER: a node answers as a Redis that is alone does. */
import type { RespCommandTable } from './resp-command.ts'
import { refuse } from './resp-refusal.ts'

const alone = {
  arity: -2,
  flags: ['stale'],
  keys: [0, 0, 0],
  group: 'cluster',
  summary: 'Answers that there is no cluster of Redis here.',
  run: () => {
    throw refuse('ERR This instance has cluster support disabled')
  },
} as const

export const CLUSTER_COMMANDS: RespCommandTable = {
  info: alone,
  nodes: alone,
  slots: alone,
  shards: alone,
  myid: alone,
  keyslot: alone,
}
