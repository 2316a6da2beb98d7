import { Paper, SimpleGrid, Text } from '@mantine/core'
import { Link } from 'react-router'
import type { FleetSummary } from '../services/api'
import classes from './CountBars.module.css'

type Part = { name: string; count: number; tone: string; to?: string }

const MOST_VERSIONS = 6
const MOST_ASKED = 32 // versions in one filter

/** Counts of the fleet as bars; each part leads to the agents that it counts. */
export function CountBars({ summary }: { summary: FleetSummary }) {
  const { by_mode: mode, by_status: status, by_health: health, by_config_state: config } = summary
  const versions = Object.entries(summary.by_version).sort(([, a], [, b]) => b - a)
  const others = versions.slice(MOST_VERSIONS)
  const rest = others.reduce((sum, [, count]) => sum + count, 0)
  const bars: [string, Part[], string?][] = [
    [
      'Status',
      [
        { name: 'online', count: status.online ?? 0, tone: 'good', to: '?status=online' },
        { name: 'stale', count: status.stale ?? 0, tone: 'warn', to: '?status=stale' },
        { name: 'offline', count: status.offline ?? 0, tone: 'calm', to: '?status=offline' },
      ],
    ],
    [
      'Health',
      [
        { name: 'healthy', count: health.healthy ?? 0, tone: 'good', to: '?health=healthy' },
        { name: 'unhealthy', count: health.unhealthy ?? 0, tone: 'bad', to: '?health=unhealthy' },
        { name: 'unknown', count: health.unknown ?? 0, tone: 'calm', to: '?health=unknown' },
      ],
    ],
    [
      'Mode',
      [
        { name: 'supervisor', count: mode.supervisor ?? 0, tone: 'violet', to: '?mode=supervisor' },
        { name: 'extension', count: mode.extension ?? 0, tone: 'blue', to: '?mode=extension' },
      ],
    ],
    [
      'Version',
      [
        ...versions.slice(0, MOST_VERSIONS).map(([name, count], index) => ({
          name,
          count,
          tone: ['blue', 'violet', 'good', 'warn', 'calm', 'blue'][index] ?? 'calm',
          to: `?version=${encodeURIComponent(name)}`,
        })),
        ...(rest
          ? [
              {
                name: 'others',
                count: rest,
                tone: 'calm',
                ...(others.length <= MOST_ASKED
                  ? { to: `?${new URLSearchParams(others.map(([name]) => ['version', name]))}` }
                  : {}),
              },
            ]
          : []),
      ],
    ],
    [
      'Latest configuration',
      Object.entries(config).map(([name, count]) => ({
        name,
        count,
        tone: name === 'applied' ? 'good' : name === 'failed' ? 'bad' : 'warn',
        to: `?config=${name}`,
      })),
      'No configuration was sent yet',
    ],
  ]
  return (
    <SimpleGrid cols={{ base: 1, xs: 2, md: 3, lg: 5 }} spacing="sm">
      {bars.map(([title, parts, nothing]) => (
        <Bar key={title} title={title} parts={parts} nothing={nothing ?? 'None'} />
      ))}
    </SimpleGrid>
  )
}

function Bar({ title, parts, nothing }: { title: string; parts: Part[]; nothing: string }) {
  const shown = parts.filter((part) => part.count > 0)
  return (
    <Paper component="section" aria-label={title}>
      <Text size="xs" fw={600} mb={6}>
        {title}
      </Text>
      {shown.length === 0 && (
        <Text size="xs" c="dimmed">
          {nothing}
        </Text>
      )}
      <div className={classes.bar} aria-hidden>
        {shown.map((part) => (
          <span key={part.name} style={{ flexGrow: part.count, background: `var(--fg-${part.tone})` }} />
        ))}
      </div>
      <ul className={classes.legend}>
        {shown.map((part) => {
          const line = (
            <>
              <span className={classes.swatch} style={{ background: `var(--fg-${part.tone})` }} />
              <span className="fg-ellipsis">{part.name}</span>{' '}
              <b>{part.count.toLocaleString()}</b>
            </>
          )
          return (
            <li key={part.name}>
              {part.to ? (
                <Link to={`/agents${part.to}`} className={classes.line}>
                  {line}
                </Link>
              ) : (
                <span className={classes.line}>{line}</span>
              )}
            </li>
          )
        })}
      </ul>
    </Paper>
  )
}
