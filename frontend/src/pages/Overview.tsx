import { Button, Grid, Group, Paper, Stack, Text, Title } from '@mantine/core'
import { keepPreviousData, useQuery } from '@tanstack/react-query'
import type { ReactNode } from 'react'
import { Link } from 'react-router'
import { CountBars } from '../components/CountBars'
import { EventTimeline } from '../components/EventTimeline'
import { NameParts } from '../components/NameParts'
import { useNames } from '../components/names'
import { OperationBar } from '../components/OperationBar'
import { Page } from '../components/Page'
import { RelativeTime } from '../components/RelativeTime'
import { Empty, Shown } from '../components/States'
import { eventApi, type FleetEvent, type SupervisedAgent, supervisorApi } from '../services/api'
import { keys, POLL_MILLISECONDS, queries } from '../services/queries'

const HOUR = 3_600_000
const SHOWN = 8
const NONE: FleetEvent[] = []
const LATEST = 14 // events that are shown

/** The whole fleet at a glance: how many are how, what needs somebody, what happened lately. */
export default function Overview() {
  const summary = useQuery(queries.summary)
  return (
    <Page title="Overview" aside={summary.data && `${summary.data.total.toLocaleString()} agents`}>
      <Shown query={summary} what="The fleet cannot be counted" rows={8}>
        {(data) =>
          data.total === 0 ? (
            <Empty
              title="No agent has connected yet"
              action={
                <Button component={Link} to="/onboarding" mt="sm">
                  Connect the first one
                </Button>
              }
            >
              FlowGate shows OpenTelemetry Collectors that report over OpAMP. Connecting one takes two commands.
            </Empty>
          ) : (
            <Stack gap="md" pb="md">
              <CountBars summary={data} />
              <Grid gap="md">
                <Grid.Col span={{ base: 12, lg: 6 }}>
                  <Attention loops={data.supervisors?.crash_looping ?? 0} sick={data.by_health.unhealthy ?? 0} />
                  <Operations />
                </Grid.Col>
                <Grid.Col span={{ base: 12, lg: 6 }}>
                  <LastHour />
                </Grid.Col>
              </Grid>
            </Stack>
          )
        }
      </Shown>
    </Page>
  )
}

function Section({ title, more, children }: { title: string; more?: ReactNode; children: ReactNode }) {
  return (
    <Paper mb="md" component="section" aria-label={title}>
      <Group justify="space-between" mb="xs">
        <Title order={2} size="h5">
          {title}
        </Title>
        {more}
      </Group>
      {children}
    </Paper>
  )
}

/** Why an agent needs somebody, in words; null when it does well. */
export function reasonOf(row: SupervisedAgent): string | null {
  if (row.supervisor?.is_crash_looping) return `The collector crashes again and again. ${row.supervisor.last_error ?? ''}`
  if (row.delivery?.state === 'failed') return `It refused its configuration: ${row.delivery.error ?? 'no reason given'}`
  if (row.health.state === 'unhealthy') return row.health.last_error ?? `It reports ${row.health.health_status ?? 'a problem'}`
  if (row.status === 'stale') return 'Connected, but not heard of for longer than it should be'
  if (row.status === 'offline') return 'Not connected'
  return null
}

function Attention({ loops, sick }: { loops: number; sick: number }) {
  const query = useQuery({
    queryKey: [...keys.supervised, 'attention', loops],
    placeholderData: keepPreviousData,
    queryFn: async () => {
      const asked: Parameters<typeof supervisorApi.listFleet>[0][] = [
        ...(loops ? [{ crash_looping: true, limit: 20 }] : []),
        { health: ['unhealthy'], limit: 50 },
        { config_state: ['failed'], limit: 20 },
        { status: ['offline', 'stale'], sort: '-last_seen_at', limit: 20 },
      ]
      const answers = await Promise.allSettled(asked.map((query) => supervisorApi.listFleet(query)))
      const pages = answers.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []))
      const missing = answers.flatMap((one) => (one.status === 'rejected' ? [one.reason as Error] : []))
      if (!pages.length) throw missing[0]!
      const all = new Map(pages.flatMap((page) => page.items).map((row) => [row.instance_id, row]))
      return {
        rows: [...all.values()].filter(reasonOf),
        isCut: pages.some((page) => page.total > page.items.length),
        missing: missing[0]?.message ?? pages.flatMap((page) => page.partial.map((one) => `${one} does not answer.`))[0],
      }
    },
    refetchInterval: POLL_MILLISECONDS,
  })
  return (
    <Section
      title="Needs attention"
      more={
        <Group gap="md">
          {loops > 0 && (
            <Link to="/agents?health=crash-loop" className="fg-more">
              {loops === 1 ? '1 collector crashes' : `${loops.toLocaleString()} collectors crash`} again and again
            </Link>
          )}
          {sick > 0 && (
            <Link to="/agents?health=unhealthy" className="fg-more">
              {sick.toLocaleString()} unhealthy
            </Link>
          )}
        </Group>
      }
    >
      <Shown query={query}>
        {({ rows, isCut, missing }) => (
          <Stack gap={0}>
            {missing && (
              <Text size="sm" c="var(--fg-warn)" role="status">
                Part of it cannot be told now: {missing}
              </Text>
            )}
            {rows.length === 0 && !missing && (
              <Text size="sm" c="dimmed">
                Every agent is connected and healthy.
              </Text>
            )}
            {rows.slice(0, SHOWN).map((row) => (
              <Group key={row.instance_id} gap="sm" wrap="nowrap" py={5} className="fg-line">
                <Link to={`/agents/${row.instance_id}`} className="fg-link fg-name" title={row.name} style={{ flex: '0 0 220px', fontSize: 'var(--mantine-font-size-sm)' }}>
                  <NameParts name={row.name} />
                </Link>
                <Text size="sm" className="fg-ellipsis" style={{ flex: 1 }} title={reasonOf(row) ?? ''}>
                  {reasonOf(row)}
                </Text>
                <Text size="xs" c="dimmed" style={{ flex: 'none' }}>
                  <RelativeTime at={row.health.since ?? row.last_seen_at} />
                </Text>
              </Group>
            ))}
            {rows.length > SHOWN && (
              <Text size="xs" c="dimmed" mt={6}>
                and {isCut && 'at least '}
                {rows.length - SHOWN} more
              </Text>
            )}
          </Stack>
        )}
      </Shown>
    </Section>
  )
}

function Operations() {
  const query = useQuery(queries.operations)
  return (
    <Section
      title="Operations"
      more={
        <Link to="/operations" className="fg-more">
          All operations
        </Link>
      }
    >
      <Shown query={query} rows={2} what="Operations cannot be listed">
        {({ items }) => {
          const running = items.filter((one) => !one.is_over)
          const shown = running.length ? running : items.slice(0, 3)
          return shown.length ? (
            <Stack gap="xs">
              {shown.map((one) => (
                <OperationBar key={one.operation_id} operation={one} />
              ))}
            </Stack>
          ) : (
            <Text size="sm" c="dimmed">
              None yet. Select agents in a list to restart or configure many at once.
            </Text>
          )
        }}
      </Shown>
    </Section>
  )
}

function LastHour() {
  const query = useQuery({
    queryKey: [...keys.recent, 'last hour'],
    queryFn: () => eventApi.counted({ limit: LATEST, since: new Date(Date.now() - HOUR).toISOString() }),
    refetchInterval: 2 * POLL_MILLISECONDS,
  })
  const names = useNames(query.data?.items ?? NONE)
  return (
    <Section
      title="The last hour"
      more={
        <Link to="/events" className="fg-more">
          All events
        </Link>
      }
    >
      <Shown query={query} what="Events cannot be read">
        {({ items, total }) =>
          items.length ? (
            <>
              <Text size="xs" c="dimmed" mb={4}>
                {total === 1 ? '1 change' : `${total.toLocaleString()} changes`}
              </Text>
              <EventTimeline events={items} names={names} />
              {total > items.length && (
                <Link to="/events" className="fg-more">
                  and {(total - items.length).toLocaleString()} more
                </Link>
              )}
            </>
          ) : (
            <Text size="sm" c="dimmed">
              Nothing has changed.
            </Text>
          )
        }
      </Shown>
    </Section>
  )
}
