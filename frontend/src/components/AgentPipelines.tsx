import { useQuery } from '@tanstack/react-query'
import { useCallback } from 'react'
import { queries } from '../services/queries'
import PipelineGraph from './PipelineGraph'
import type { Graph, GraphEdge } from './pipelines'
import { RATE_METRICS, rateOf } from './rates'
import { AsOf } from './States'

const WANTED = { names: RATE_METRICS }

/** The pipelines of an agent's configuration, with what it tells of the flow through them. */
export default function AgentPipelines({ id, config }: { id: string; config: string }) {
  const query = useQuery(queries.metrics(id, 5, WANTED))
  const { data } = query
  const rates = useCallback((edge: GraphEdge, graph: Graph) => (data ? rateOf(edge, graph, data) : null), [data])
  return (
    <>
      <AsOf error={query.error} at={query.dataUpdatedAt} />
      <PipelineGraph config={config} rates={rates} />
    </>
  )
}
