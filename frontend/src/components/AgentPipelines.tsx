import { useQuery } from '@tanstack/react-query'
import { useCallback } from 'react'
import { queries } from '../services/queries'
import { rateOf } from './metrics'
import PipelineGraph from './PipelineGraph'
import type { GraphNode } from './pipelines'

/** The pipelines of an agent's configuration, with what it tells of the flow through them. */
export default function AgentPipelines({ id, config }: { id: string; config: string }) {
  const { data } = useQuery(queries.metrics(id, 5))
  const rates = useCallback(
    (node: GraphNode) =>
      data && (node.kind === 'receivers' || node.kind === 'exporters') ? rateOf(data, node.kind, node.name, node.pipeline) : null,
    [data],
  )
  return <PipelineGraph config={config} rates={rates} />
}
