import 'uplot/dist/uPlot.min.css'
import { Group, Paper, SegmentedControl, SimpleGrid, Text, Title, useComputedColorScheme } from '@mantine/core'
import { useQuery } from '@tanstack/react-query'
import { useEffect, useRef, useState } from 'react'
import uPlot from 'uplot'
import { queries } from '../services/queries'
import { type Chart, charts } from './metrics'
import { Empty, Shown } from './States'

const RANGES = { '15': '15 min', '60': '1 h', '360': '6 h', '1440': '24 h' }
const COLOURS = {
  light: ['#1c5fbf', '#1a7f37', '#8a5300', '#6236c4', '#b42318', '#4a5361'],
  dark: ['#8fbcff', '#6fdd8b', '#f2c265', '#c4a8ff', '#ff9d92', '#b9c1cc'],
}

/** Charts of what the collector tells about itself. */
export default function AgentMetrics({ id }: { id: string }) {
  const [minutes, setMinutes] = useState('60')
  const query = useQuery({ ...queries.metrics(id, Number(minutes)), placeholderData: (known) => known })
  return (
    <>
      <Group justify="space-between" mb="xs">
        <SegmentedControl
          aria-label="Time"
          value={minutes}
          onChange={setMinutes}
          data={Object.entries(RANGES).map(([value, label]) => ({ value, label }))}
        />
        {query.data && (
          <Text size="xs" c="dimmed">
            a value every {query.data.step_seconds} s
          </Text>
        )}
      </Group>
      <Shown query={query} what="Its metrics cannot be shown" rows={6}>
        {(metrics) => {
          const shown = charts(metrics)
          return shown.length ? (
            <SimpleGrid cols={{ base: 1, md: 2 }} spacing="sm">
              {shown.map((chart) => (
                <Plot key={chart.title} chart={chart} timestamps={metrics.timestamps} />
              ))}
            </SimpleGrid>
          ) : (
            <Empty title="No metrics yet">
              They come when the agent takes connection settings with own_metrics, ten seconds after that. A policy can switch
              them off.
            </Empty>
          )
        }}
      </Shown>
    </>
  )
}

const last = (values: (number | null)[]) => values.findLast((value) => value !== null) ?? null
const short = (value: number | null) =>
  value === null ? '–' : Math.abs(value) >= 100 ? Math.round(value).toLocaleString() : `${Number(value.toPrecision(3))}`

function Plot({ chart, timestamps }: { chart: Chart; timestamps: number[] }) {
  const box = useRef<HTMLDivElement>(null)
  const scheme = useComputedColorScheme('light')
  useEffect(() => {
    const element = box.current
    if (!element) return
    const [ink, grid] = scheme === 'dark' ? ['#a7afba', '#33383f'] : ['#545c66', '#e4e7eb']
    const axis = { stroke: ink, grid: { stroke: grid, width: 1 }, ticks: { stroke: grid }, font: '11px system-ui' }
    const plot = new uPlot(
      {
        width: element.clientWidth,
        height: 170,
        cursor: { y: false },
        legend: { show: false },
        scales: { y: { range: (_, min, max) => [Math.min(0, min ?? 0), (max || 1) * 1.1] } },
        series: [
          {},
          ...chart.series.map((one, index) => {
            const stroke = COLOURS[scheme][index % 6]!
            const isSparse = one.values.filter((value) => value !== null).length < 20
            return { label: one.name, stroke, width: 1.5, points: { show: isSparse, size: 5, fill: stroke }, ...(chart.series.length === 1 ? { fill: `${stroke}22` } : {}) }
          }),
        ],
        axes: [axis, { ...axis, size: 54, values: (_, ticks) => ticks.map((tick) => short(tick)) }],
      },
      [timestamps, ...chart.series.map((one) => one.values)],
      element,
    )
    const observer = new ResizeObserver(() => plot.setSize({ width: element.clientWidth, height: 170 }))
    observer.observe(element)
    return () => {
      observer.disconnect()
      plot.destroy()
    }
  }, [chart, timestamps, scheme])
  const now = chart.series.map((one) => `${one.name} ${short(last(one.values))}`).join(', ')
  return (
    <Paper component="section" aria-label={chart.title}>
      <Group justify="space-between" mb={4} wrap="nowrap">
        <Title order={2} size="h6">
          {chart.title}{' '}
          <Text span size="xs" c="dimmed" fw={400}>
            {chart.unit}
          </Text>
        </Title>
      </Group>
      <div ref={box} role="img" aria-label={`${chart.title} in ${chart.unit}. Latest: ${now}`} style={{ height: 170 }} />
      <Group gap="xs">
        {chart.series.map((one, index) => (
          // biome-ignore lint/suspicious/noArrayIndexKey: two series may have one name
          <Text size="xs" key={`${one.name}${index}`}>
            <span className="fg-dot" style={{ display: 'inline-block', color: COLOURS[scheme][index % 6] }} /> {one.name}{' '}
            <b>{short(last(one.values))}</b>
          </Text>
        ))}
      </Group>
    </Paper>
  )
}
