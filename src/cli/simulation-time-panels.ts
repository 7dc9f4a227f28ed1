import type { SimulationSeries } from '../planner/sim-series.ts'
import { type Column, thinColumn } from './simulation-thin.ts'
import type { Point } from './report-layers.ts'

/** What is shown over time, in the order that it is read in: the outcome, the queues behind it, the causes. */

export interface TimePanel {
  readonly id: string
  readonly name: string
  readonly unit: string
  /** Values hold until they change, and are not joined by slopes. */
  readonly isStepped?: boolean
  /** Queues are shown as counts where they differ by orders of magnitude. */
  readonly spread?: 'count' | 'positive'
  readonly column: (series: SimulationSeries) => Column
  /** Given, not an outcome: drawn behind. */
  readonly given?: (series: SimulationSeries) => Column
  /** The scheduler `off` does not look at it. */
  readonly isThreshold?: boolean
}

export const TIME_PANELS: readonly TimePanel[] = [
  {
    id: 'time-ttft',
    name: 'Mean TTFT of the requests that finished',
    unit: 's',
    spread: 'positive',
    column: ({ endSeconds, ttftSecondsMean, completionsRps }) => {
      return { endSeconds, values: ttftSecondsMean, kind: 'mean', weights: completionsRps }
    },
  },
  {
    id: 'time-arrivals',
    name: 'Arrivals',
    unit: 'req/s',
    column: ({ endSeconds, arrivalsRps }) => ({ endSeconds, values: arrivalsRps, kind: 'mean' }),
  },
  {
    id: 'time-remote-queue',
    name: 'Waiting for a remote prefill instance',
    unit: 'requests',
    spread: 'count',
    column: ({ endSeconds, remoteQueue }) => ({ endSeconds, values: remoteQueue, kind: 'most' }),
  },
  {
    id: 'time-completions',
    name: 'Completions',
    unit: 'req/s',
    column: ({ endSeconds, completionsRps }) => ({ endSeconds, values: completionsRps, kind: 'mean' }),
  },
  {
    id: 'time-local-queue',
    name: 'Waiting for a local prefill instance',
    unit: 'requests',
    spread: 'count',
    column: ({ endSeconds, localQueue }) => ({ endSeconds, values: localQueue, kind: 'most' }),
  },
  {
    id: 'time-link-use',
    name: 'Link bandwidth in use',
    unit: '%',
    column: ({ endSeconds, linkUtilisation, linkGbps }) => {
      return { endSeconds, values: linkUtilisation.map((share) => 100 * share), kind: 'mean', weights: linkGbps }
    },
  },
  {
    id: 'time-slot-queue',
    name: 'Waiting for a decode slot',
    unit: 'requests',
    spread: 'count',
    column: ({ endSeconds, slotQueue }) => ({ endSeconds, values: slotQueue, kind: 'most' }),
  },
  {
    id: 'time-transfers',
    name: 'Transfers on the link, or waiting for it',
    unit: 'transfers',
    spread: 'count',
    column: ({ endSeconds, transfers }) => ({ endSeconds, values: transfers, kind: 'most' }),
  },
  {
    id: 'time-link',
    name: 'Carried by the link, and its bandwidth (grey)',
    unit: 'Gbps',
    column: ({ endSeconds, linkUtilisation, linkGbps }) => {
      return { endSeconds, values: linkUtilisation.map((share, k) => share * (linkGbps[k] ?? 0)), kind: 'mean' }
    },
    given: ({ endSeconds, linkGbps }) => ({ endSeconds, values: linkGbps, kind: 'last' }),
  },
  {
    id: 'time-roles',
    name: 'Local prefill instances as asked for, N_p',
    unit: 'instances',
    isStepped: true,
    column: ({ endSeconds, localPrefill }) => ({ endSeconds, values: localPrefill, kind: 'last' }),
  },
  {
    id: 'time-threshold',
    name: 'Threshold t',
    unit: 'tokens',
    isStepped: true,
    isThreshold: true,
    column: ({ endSeconds, thresholdTokens }) => ({ endSeconds, values: thresholdTokens, kind: 'last' }),
  },
]

/** The points of one line; a step begins at time 0. */
export function pointsOf(panel: TimePanel, column: Column, count: number): readonly Point[] {
  const points = thinColumn(column, count)
  const [first] = points
  const isStepped = panel.isStepped === true || column.kind === 'last'
  return first !== undefined && isStepped ? [{ x: 0, y: first.y }, ...points] : points
}
