/** Which of an agent's series make up which chart. */
import type { Metrics } from '../services/api'

export interface Chart {
  title: string
  unit: string
  series: { name: string; values: (number | null)[] }[]
}

const GROUPS: [title: string, unit: string, wanted: RegExp, scale: number][] = [
  ['CPU', '% of a core', /^otelcol_process_cpu_seconds/, 100],
  ['Memory', 'MiB', /^otelcol_process_memory_rss/, 1 / 1024 / 1024],
  ['Accepted', 'items/s', /^otelcol_receiver_accepted_/, 1],
  ['Refused', 'items/s', /^otelcol_receiver_(refused|failed)_/, 1],
  ['Sent', 'items/s', /^otelcol_exporter_sent_/, 1],
  ['Failed to send', 'items/s', /^otelcol_exporter_(send|enqueue)_failed_/, 1],
  ['Queue', 'batches', /^otelcol_exporter_queue_size/, 1],
]

/** Charts in a fixed order, without those that have no points. */
export function charts(metrics: Metrics): Chart[] {
  return GROUPS.map(([title, unit, wanted, scale]) => ({
    title,
    unit,
    series: metrics.series
      .filter((one) => wanted.test(one.name) && one.values.some((value) => value !== null))
      .map((one) => ({
        name: [one.attributes.receiver ?? one.attributes.exporter, signal(one.name)].filter(Boolean).join(' ') || one.source,
        values: one.values.map((value) => (value === null ? null : value * scale)),
      })),
  })).filter((chart) => chart.series.length > 0)
}

function signal(name: string): string {
  return /_(spans|metric_points|log_records)/.exec(name)?.[1]?.replace('_', ' ') ?? ''
}
