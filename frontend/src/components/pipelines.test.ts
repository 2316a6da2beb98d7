import { describe, expect, it } from 'vitest'
import type { Metrics } from '../services/api'
import { charts } from './metrics'
import { pipelineGraph } from './pipelines'
import { rateOf, rateText } from './rates'

const CONFIG = `receivers: {otlp: , nop: }
processors: {batch: }
exporters: {debug: , file: , nop: }
connectors: {spanmetrics: }
service:
  pipelines:
    traces: {receivers: [otlp], processors: [batch], exporters: [debug, spanmetrics]}
    traces/b: {receivers: [otlp], processors: [batch], exporters: [debug, file]}
    metrics: {receivers: [spanmetrics, nop], exporters: [nop]}
    profiles: {receivers: [otlp], exporters: [debug]}
`
const metrics = (...series: [name: string, attributes: Record<string, string>, ...values: (number | null)[]][]): Metrics =>
  ({
    series: series.map(([name, attributes, ...values]) => ({ name, attributes, values, unit: '1', kind: 'rate', source: 'collector' })),
    timestamps: [1, 2],
    step_seconds: 30,
  }) as unknown as Metrics

describe('pipelines as a graph', () => {
  const graph = pipelineGraph(CONFIG)
  const edges = () => graph.edges.map(({ from, to }) => `${from} → ${to}`)

  it('go from receivers by processors to exporters, a connector being the end of one and the begin of another', () => {
    expect(edges()).toContain('traces|receivers|otlp → traces|processors|batch')
    expect(edges()).toContain('traces|processors|batch → connector|spanmetrics')
    expect(edges()).toContain('connector|spanmetrics → metrics|exporters|nop')
    expect(graph.nodes.filter((node) => node.kind === 'connectors')).toHaveLength(1)
    expect(pipelineGraph('service: {pipelines: {traces: }}')).toEqual({ nodes: [], edges: [] })
    expect(pipelineGraph('')).toEqual({ nodes: [], edges: [] })
  })

  const told = metrics(
    ['otelcol_receiver_accepted_spans', { receiver: 'otlp', transport: 'grpc' }, 10, 20],
    ['otelcol_receiver_accepted_spans', { receiver: 'otlp', transport: 'http' }, 5, null],
    ['otelcol_exporter_sent_spans', { exporter: 'debug' }, 30, 400.4],
    ['otelcol_exporter_sent_spans', { exporter: 'file' }, 0.123, 0.123],
  )
  const label = (from: string, to: string, known = told) => {
    const rate = rateOf(graph.edges.find((edge) => edge.from === from && edge.to === to)!, graph, known)
    return rate && rateText(rate)
  }

  it('tell what a receiver accepts to each of its pipelines, over all of its transports', () => {
    expect(label('traces|receivers|otlp', 'traces|processors|batch')).toBe('25 /s')
    expect(label('traces/b|receivers|otlp', 'traces/b|processors|batch')).toBe('25 /s')
  })

  it('say over how many pipelines an exporter is counted', () => {
    expect(label('traces|processors|batch', 'traces|exporters|debug')).toBe('400 /s over 2 pipelines')
    expect(label('traces/b|processors|batch', 'traces/b|exporters|file')).toBe('0.12 /s')
  })

  it('tell what goes through processors and connectors where the collector does', () => {
    expect(label('traces|processors|batch', 'connector|spanmetrics')).toBeNull()
    const more = metrics(
      ['otelcol_processor_outgoing_items', { processor: 'batch', 'otel.signal': 'traces' }, 8, 8],
      ['otelcol_processor_outgoing_items', { processor: 'batch', 'otel.signal': 'logs' }, 99, 99],
      ['otelcol.connector.consumed.items', { 'otelcol.component.id': 'spanmetrics', 'otelcol.signal': 'traces' }, 6, 6],
      [
        'otelcol.connector.produced.items',
        { 'otelcol.component.id': 'spanmetrics', 'otelcol.signal': 'traces', 'otelcol.signal.output': 'metrics' },
        3,
        3,
      ],
    )
    expect(label('traces|processors|batch', 'connector|spanmetrics', more)).toBe('6 /s')
    expect(label('traces/b|processors|batch', 'traces/b|exporters|file', more)).toBe('8 /s over 2 pipelines')
    expect(label('connector|spanmetrics', 'metrics|exporters|nop', more)).toBe('3 /s')
  })

  it('tell nothing of what no metric counts', () => {
    expect(label('profiles|receivers|otlp', 'profiles|exporters|debug')).toBeNull()
    expect(label('metrics|receivers|nop', 'metrics|exporters|nop')).toBeNull()
  })
})

it('charts come in a fixed order, in people\u2019s units, without those that have no points', () => {
  const shown = charts(
    metrics(
      ['otelcol_exporter_queue_size', { exporter: 'otlp' }, 4, 5],
      ['otelcol_process_memory_rss', {}, 1024 * 1024, null],
      ['otelcol_process_cpu_seconds', {}, 0.25, 0.5],
      ['otelcol_receiver_refused_spans', { receiver: 'otlp' }, 1, 2],
      ['otelcol_exporter_sent_log_records', { exporter: 'otlp' }, null, null],
    ),
  )
  expect(shown).toEqual([
    { title: 'CPU', unit: '% of a core', series: [{ name: 'collector', values: [25, 50] }] },
    { title: 'Memory', unit: 'MiB', series: [{ name: 'collector', values: [1, null] }] },
    { title: 'Refused', unit: 'items/s', series: [{ name: 'otlp spans', values: [1, 2] }] },
    { title: 'Queue', unit: 'batches', series: [{ name: 'otlp', values: [4, 5] }] },
  ])
})
