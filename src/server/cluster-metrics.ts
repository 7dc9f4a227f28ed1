/** What a node counts of its cluster, as metrics. */
import type { ClusterStatus } from './cluster-node.ts'
import type { MetricSamples } from './metric-samples.ts'

/** One number of the status: where it is, how it is called, and what it means. */
interface CountMetric {
  readonly of: (status: ClusterStatus) => number
  readonly type: 'gauge' | 'counter'
  readonly name: string
  readonly help: string
}

const COUNTS: readonly CountMetric[] = [
  count('counter', 'membership', 'messages', 'membrane_cluster_messages_total', 'Messages sent to find out who lives.'),
  count('counter', 'membership', 'bytes', 'membrane_cluster_message_bytes_total', 'Bytes of them.'),
  count('counter', 'membership', 'suspected', 'membrane_cluster_suspected_total', 'Nodes that did not answer in time.'),
  count('counter', 'membership', 'refuted', 'membrane_cluster_refuted_total', 'Those that turned out to live.'),
  count('counter', 'membership', 'removed', 'membrane_cluster_removed_total', 'Nodes that were taken for gone.'),
  count('gauge', 'directory', 'own', 'membrane_directory_own_blocks', 'Blocks that this node says that it holds.'),
  count('gauge', 'directory', 'waiting', 'membrane_directory_waiting_changes', 'Changes of them that wait to be told.'),
  count('counter', 'directory', 'lookups', 'membrane_directory_lookups_total', 'Look-ups of who holds blocks.'),
  count('counter', 'directory', 'failures', 'membrane_directory_failures_total', 'Calls to the directory that failed.'),
  count(
    'counter',
    'directory',
    'refused',
    'membrane_directory_refused_total',
    'Entries that the directory had no room for.',
  ),
  count(
    'counter',
    'reads',
    'asked',
    'membrane_elsewhere_reads_total',
    'Fragments that were looked for at other nodes.',
  ),
  count('counter', 'reads', 'brought', 'membrane_elsewhere_brought_total', 'Those that were brought here.'),
  count(
    'counter',
    'reads',
    'missed',
    'membrane_elsewhere_missed_total',
    'Those that a node was said to have, and did not.',
  ),
  count('counter', 'reads', 'failed', 'membrane_elsewhere_failed_total', 'Fetches from other nodes that failed.'),
  count('counter', 'reads', 'demoted', 'membrane_elsewhere_demoted_total', 'Brought copies that nobody read any more.'),
  count('counter', 'replication', 'sent', 'membrane_replication_sent_total', 'Copies that others took over.'),
  count('counter', 'replication', 'sentBytes', 'membrane_replication_sent_bytes_total', 'Bytes of them.'),
  count('counter', 'replication', 'refused', 'membrane_replication_refused_total', 'Copies that others did not take.'),
  count('counter', 'replication', 'failed', 'membrane_replication_failed_total', 'Offers of copies that failed.'),
  count('counter', 'replication', 'received', 'membrane_replication_received_total', 'Copies that were taken over.'),
  count('counter', 'replication', 'receivedBytes', 'membrane_replication_received_bytes_total', 'Bytes of them.'),
  count(
    'gauge',
    'replication',
    'replicas',
    'membrane_replication_replicas',
    'Fragments that were taken over from others.',
  ),
  count('gauge', 'replication', 'waiting', 'membrane_replication_waiting', 'Fragments that wait to be offered.'),
  count(
    'gauge',
    'replication',
    'short',
    'membrane_replication_short',
    'Fragments with too few copies and no node to take one.',
  ),
  count(
    'counter',
    'prefill',
    'asked',
    'membrane_remote_prefill_asked_total',
    'Prefills that other nodes were asked for.',
  ),
  count('counter', 'prefill', 'used', 'membrane_remote_prefill_used_total', 'Those of which all was used.'),
  count(
    'counter',
    'prefill',
    'failed',
    'membrane_remote_prefill_failed_total',
    'Those that failed and were computed here.',
  ),
  count(
    'counter',
    'prefill',
    'hedged',
    'membrane_remote_prefill_hedged_total',
    'Those that a second node was asked for.',
  ),
  count('counter', 'prefill', 'bytes', 'membrane_remote_prefill_bytes_total', 'Bytes of KV that came that way.'),
]

/** Of a node in a cluster. */
export function clusterMetrics(status: ClusterStatus): readonly MetricSamples[] {
  const { members, self } = status
  const states = new Map<string, number>()
  for (const { state, datacentre } of members) {
    const label = `${state} ${datacentre}`
    states.set(label, (states.get(label) ?? 0) + 1)
  }
  const links = members.find(({ node }) => node === self)?.links ?? []
  const link = (name: string, help: string, valueOf: (report: (typeof links)[number]) => number): MetricSamples => ({
    name,
    help,
    type: 'gauge',
    labels: ['datacentre'],
    samples: links.map((report) => ({ labels: { datacentre: report.datacentre }, value: valueOf(report) })),
  })
  return [
    {
      name: 'membrane_cluster_nodes',
      help: 'Nodes, by how this one sees them: alive, suspect, gone or left.',
      type: 'gauge',
      labels: ['state', 'datacentre'],
      samples: [...states].map(([label, value]) => {
        const [state = '', datacentre = ''] = label.split(' ')
        return { labels: { state, datacentre }, value }
      }),
    },
    ...COUNTS.map(({ of, type, name, help }) => ({
      name,
      help,
      type,
      labels: [],
      samples: [{ labels: {}, value: of(status) }],
    })),
    link('membrane_link_bytes_per_second', 'Measured bandwidth to another datacentre.', (of) => of.bytesPerSecond),
    link('membrane_link_round_trip_seconds', 'Measured round trip to it.', (of) => of.rttSeconds),
    link('membrane_link_loss_ratio', 'Share of calls to it that failed.', (of) => of.lossRatio),
    link('membrane_link_utilisation_ratio', 'Share of the bandwidth in use.', (of) => of.utilisation),
  ]
}

function count(
  type: CountMetric['type'],
  part: 'membership' | 'directory' | 'reads' | 'replication' | 'prefill',
  key: string,
  name: string,
  help: string,
): CountMetric {
  return { type, name, help, of: (status) => status[part][key] ?? 0 }
}
