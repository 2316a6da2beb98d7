/** What flows over the edges of a pipeline graph, as far as a collector's metrics tell it. */
import type { Metrics } from '../services/api'
import type { Graph, GraphEdge, GraphNode } from './pipelines'

const ITEMS: Record<string, string> = { traces: 'spans', metrics: 'metric_points', logs: 'log_records' }
const SIGNALS = Object.keys(ITEMS)

/** Names of the metrics that tell it; collectors send those of connectors only where they are set to. */
export const RATE_METRICS = [
  ...SIGNALS.flatMap((signal) => [`otelcol_receiver_accepted_${ITEMS[signal]}`, `otelcol_exporter_sent_${ITEMS[signal]}`]),
  'otelcol_processor_outgoing_items',
  'otelcol.connector.consumed.items',
  'otelcol.connector.produced.items',
]

export interface Rate {
  perSecond: number
  /** Over how many pipelines of the signal the component was counted together: metrics do not tell them apart. */
  pipelines: number
}

const signalOf = (pipeline: string) => pipeline.split('/')[0] ?? ''

function latest(metrics: Metrics, name: string, wanted: Record<string, string>): number | null {
  const values = metrics.series
    .filter((one) => one.name === name && Object.entries(wanted).every(([key, value]) => one.attributes[key] === value))
    .map((one) => one.values.findLast((value) => value !== null))
    .filter((value) => value != null)
  return values.length ? values.reduce((sum, value) => sum + value, 0) : null
}

/** What flows over an edge; null where nothing is known of it. */
export function rateOf(edge: GraphEdge, graph: Graph, metrics: Metrics): Rate | null {
  const [from, to] = [edge.from, edge.to].map((id) => graph.nodes.find((node) => node.id === id))
  const signal = signalOf(edge.pipeline)
  const items = ITEMS[signal]
  if (!from || !to || !items) return null
  const found: Rate[] = []
  const add = (name: string, wanted: Record<string, string>, pipelines: number) => {
    const perSecond = latest(metrics, name, wanted)
    if (perSecond !== null) found.push({ perSecond, pipelines })
  }
  const pipelinesOf = (is: (one: GraphEdge) => boolean) =>
    new Set(graph.edges.filter((one) => signalOf(one.pipeline) === signal && is(one)).map((one) => one.pipeline)).size
  const together = (node: GraphNode) =>
    graph.nodes.filter((one) => one.kind === node.kind && one.name === node.name && signalOf(one.pipeline) === signal).length

  // Each pipeline gets all that a receiver accepts, and each exporter all that comes to the end of its pipeline.
  if (from.kind === 'receivers') add(`otelcol_receiver_accepted_${items}`, { receiver: from.name }, 1)
  if (from.kind === 'processors') {
    add('otelcol_processor_outgoing_items', { processor: from.name, 'otel.signal': signal }, together(from))
  }
  if (from.kind === 'connectors') {
    const wanted = { 'otelcol.component.id': from.name, 'otelcol.signal.output': signal }
    add('otelcol.connector.produced.items', wanted, pipelinesOf((one) => one.from === from.id))
  }
  // What comes to one is told by it, where nothing else comes to it in this pipeline.
  if (graph.edges.filter((one) => one.to === to.id && one.pipeline === edge.pipeline).length === 1) {
    if (to.kind === 'exporters') add(`otelcol_exporter_sent_${items}`, { exporter: to.name }, together(to))
    if (to.kind === 'connectors') {
      const wanted = { 'otelcol.component.id': to.name, 'otelcol.signal': signal }
      add('otelcol.connector.consumed.items', wanted, pipelinesOf((one) => one.to === to.id))
    }
  }
  return found.sort((a, b) => a.pipelines - b.pipelines)[0] ?? null
}

/** A rate in words. */
export function rateText({ perSecond, pipelines }: Rate): string {
  const number = perSecond >= 100 ? Math.round(perSecond).toLocaleString() : `${Number(perSecond.toPrecision(2))}`
  return `${number} /s${pipelines > 1 ? ` over ${pipelines} pipelines` : ''}`
}
