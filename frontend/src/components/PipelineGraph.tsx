import '@xyflow/react/dist/style.css'
import { graphlib, layout } from '@dagrejs/dagre'
import { Text, useComputedColorScheme } from '@mantine/core'
import { Background, Controls, type Edge, type Node, Position, ReactFlow } from '@xyflow/react'
import { useMemo } from 'react'
import { type Graph, type GraphEdge, type Kind, pipelineGraph } from './pipelines'
import { type Rate, rateText } from './rates'
import { Empty } from './States'

const WIDTH = 170
const HEIGHT = 44
const TONES: Record<Kind, string> = { receivers: 'blue', processors: 'warn', exporters: 'good', connectors: 'violet' }

type Rates = (edge: GraphEdge, graph: Graph) => Rate | null

/** The way of telemetry through a collector, with what flows over each edge where it is known. */
export default function PipelineGraph({ config, rates }: { config: string; rates?: Rates }) {
  const scheme = useComputedColorScheme('light')
  const { nodes, edges } = useMemo(() => placed(config, rates), [config, rates])
  if (!nodes.length) return <Empty title="There are no pipelines in this configuration" />
  return (
    <>
      <div style={{ height: '56vh', border: '1px solid var(--mantine-color-default-border)', borderRadius: 4 }}>
        <ReactFlow
          nodes={nodes}
          edges={edges}
          colorMode={scheme}
          fitView
          minZoom={0.2}
          nodesDraggable={false}
          nodesConnectable={false}
          edgesFocusable={false}
          aria-label="Pipelines"
        >
          <Background />
          <Controls showInteractive={false} />
        </ReactFlow>
      </div>
      <Text size="xs" c="dimmed" mt={4}>
        Receivers are blue, processors amber, exporters green, connectors violet. Rates are those of the last minutes; collectors
        count a component that is in several pipelines once for all of them.
      </Text>
    </>
  )
}

function placed(config: string, rates?: Rates): { nodes: Node[]; edges: Edge[] } {
  let graph: ReturnType<typeof pipelineGraph>
  try {
    graph = pipelineGraph(config)
  } catch {
    return { nodes: [], edges: [] }
  }
  const g = new graphlib.Graph().setGraph({ rankdir: 'LR', nodesep: 18, ranksep: 80 }).setDefaultEdgeLabel(() => ({}))
  for (const { id } of graph.nodes) g.setNode(id, { width: WIDTH, height: HEIGHT })
  for (const { from, to } of graph.edges) g.setEdge(from, to)
  layout(g)
  return {
    nodes: graph.nodes.map((node) => {
      const { x, y } = g.node(node.id) as { x: number; y: number }
      return {
        id: node.id,
        position: { x: x - WIDTH / 2, y: y - HEIGHT / 2 },
        data: {
          label: (
            <div style={{ fontSize: 12, lineHeight: 1.3 }}>
              <b className="fg-ellipsis" style={{ display: 'block' }}>
                {node.name}
              </b>
              <span style={{ color: 'var(--mantine-color-dimmed)', fontSize: 11 }}>{node.pipeline || 'connector'}</span>
            </div>
          ),
        },
        sourcePosition: Position.Right,
        targetPosition: Position.Left,
        ariaLabel: `${node.kind.slice(0, -1)} ${node.name}${node.pipeline ? ` of ${node.pipeline}` : ''}`,
        style: { width: WIDTH, padding: '5px 8px', borderColor: `var(--fg-${TONES[node.kind]})`, borderWidth: 2, borderRadius: 6 },
      }
    }),
    edges: graph.edges.map((edge, index) => {
      const rate = rates?.(edge, graph) ?? null
      return {
        id: `${index}`,
        source: edge.from,
        target: edge.to,
        animated: rate !== null && rate.perSecond > 0,
        ...(rate
          ? {
              label: rateText(rate),
              labelStyle: { fontSize: 11, fill: 'var(--mantine-color-text)' },
              labelBgStyle: { fill: 'var(--mantine-color-body)' },
            }
          : {}),
      }
    }),
  }
}
