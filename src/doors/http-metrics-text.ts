/** Metrics as Prometheus reads them, written by prom-client: a registry of its own for each scrape, so that no caller sees another's series. */
import { Counter, Gauge, Registry } from 'prom-client'
import type { Observation } from '../server/observe-operations.ts'
import { type DurationSeries, durationsOf, metricsOf, REQUEST_DURATION } from '../server/node-metrics.ts'

export async function metricsText(
  observation: Observation,
): Promise<{ readonly text: string; readonly contentType: string }> {
  const registry = new Registry()
  for (const { name, help, type, labels, samples } of metricsOf(observation)) {
    const configuration = { name, help, labelNames: [...labels], registers: [registry] }
    if (type === 'gauge') {
      const gauge = new Gauge(configuration)
      for (const sample of samples) gauge.set(sample.labels, sample.value)
    } else {
      const counter = new Counter(configuration)
      for (const sample of samples) counter.inc(sample.labels, sample.value)
    }
  }
  const durations = durationsOf(observation)
  const text = await registry.metrics()
  return { text: durations.length === 0 ? text : text + histogramText(durations), contentType: registry.contentType }
}

/** prom-client's histograms take observations one by one; these were counted where they happened. */
function histogramText(series: readonly DurationSeries[]): string {
  const { name, help } = REQUEST_DURATION
  const lines = series.flatMap(({ labels: { door, route }, buckets, requests, seconds }) => {
    const labels = `door="${escaped(door)}",route="${escaped(route)}"`
    return [
      ...buckets.map(
        ([bound, count]) => `${name}_bucket{${labels},le="${bound === Infinity ? '+Inf' : bound}"} ${count}`,
      ),
      `${name}_sum{${labels}} ${seconds}`,
      `${name}_count{${labels}} ${requests}`,
    ]
  })
  return `\n# HELP ${name} ${help}\n# TYPE ${name} histogram\n${lines.join('\n')}\n`
}

function escaped(value: string): string {
  return value.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n')
}
