/** The pipelines of a collector's configuration as a graph. */
import { parse } from 'yaml'

export type Kind = 'receivers' | 'processors' | 'exporters' | 'connectors'

export interface GraphNode {
  id: string
  kind: Kind
  name: string
  pipeline: string
}

export interface GraphEdge {
  from: string
  to: string
  pipeline: string
}

export interface Graph {
  nodes: GraphNode[]
  edges: GraphEdge[]
}

interface Pipeline {
  receivers?: string[]
  processors?: string[]
  exporters?: string[]
}

interface Config {
  connectors?: Record<string, unknown>
  service?: { pipelines?: Record<string, Pipeline | null> }
}

/** Components of each pipeline in order; a connector is one node that ends one pipeline and begins another. */
export function pipelineGraph(text: string): Graph {
  const config = parse(text, { logLevel: 'silent' }) as Config | null
  const connectors = new Set(Object.keys(config?.connectors ?? {}))
  const nodes = new Map<string, GraphNode>()
  const edges: GraphEdge[] = []
  for (const [pipeline, parts] of Object.entries(config?.service?.pipelines ?? {})) {
    if (!parts) continue
    const add = (kind: Kind, name: string): string => {
      const isConnector = connectors.has(name) && kind !== 'processors'
      const id = isConnector ? `connector|${name}` : `${pipeline}|${kind}|${name}`
      nodes.set(id, { id, kind: isConnector ? 'connectors' : kind, name, pipeline: isConnector ? '' : pipeline })
      return id
    }
    const receivers = list(parts.receivers).map((name) => add('receivers', name))
    const processors = list(parts.processors).map((name) => add('processors', name))
    const exporters = list(parts.exporters).map((name) => add('exporters', name))
    const link = (from: string, to: string) => edges.push({ from, to, pipeline })
    for (const [index, to] of processors.slice(1).entries()) link(processors[index]!, to)
    const [first, last] = [processors[0], processors.at(-1)]
    if (first && last) {
      for (const from of receivers) link(from, first)
      for (const to of exporters) link(last, to)
    } else for (const from of receivers) for (const to of exporters) link(from, to)
  }
  return { nodes: [...nodes.values()], edges }
}

const list = (value: unknown): string[] => (Array.isArray(value) ? value.filter((one) => typeof one === 'string') : [])
