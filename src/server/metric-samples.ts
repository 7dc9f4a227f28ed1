/** Metrics, as nodes give them. */

/** Labels and values of one metric. */
export interface MetricSamples {
  readonly name: string
  readonly help: string
  readonly type: 'gauge' | 'counter'
  readonly labels: readonly string[]
  readonly samples: readonly MetricSample[]
}

interface MetricSample {
  readonly labels: Readonly<Record<string, string>>
  readonly value: number
}
