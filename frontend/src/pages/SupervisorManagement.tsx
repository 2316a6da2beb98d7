import { Button, Group, Paper, SimpleGrid, Text, UnstyledButton } from '@mantine/core'
import { useQuery } from '@tanstack/react-query'
import { Suspense } from 'react'
import { Link, Outlet, useSearchParams } from 'react-router'
import { supervisorColumns, supervisorDefault } from '../components/columns'
import { CRASH_LOOP } from '../components/fleet'
import { FleetList } from '../components/FleetList'
import { Page } from '../components/Page'
import { AsOf, Empty } from '../components/States'
import { TONES } from '../components/SupervisorStatus'
import { supervisorApi } from '../services/api'
import { POLL_MILLISECONDS, queries } from '../services/queries'

const FIXED = { management_mode: 'supervisor' } as const

/** Agents that run under a supervisor: what can be restarted and configured. */
export default function SupervisorManagement() {
  return (
    <Page title="Supervisors">
      <Dashboard />
      <FleetList
        base="/supervisors"
        label="Supervisor-managed agents"
        columns={supervisorColumns}
        defaults={supervisorDefault}
        fixed={FIXED}
        whenEmpty={
          <Empty
            title="No agent runs under a supervisor yet"
            action={
              <Button component={Link} to="/onboarding" mt="sm">
                Connect one
              </Button>
            }
          >
            opampsupervisor runs a collector as its subprocess: then it can be configured and restarted from here.
          </Empty>
        }
      />
      <Suspense fallback={null}>
        <Outlet />
      </Suspense>
    </Page>
  )
}

const total = (query: Parameters<typeof supervisorApi.listAgents>[0]) =>
  supervisorApi.listAgents({ ...query, limit: 1 }).then((page) => page.total)

function Dashboard() {
  const [, setParams] = useSearchParams()
  const { data: summary } = useQuery(queries.summary)
  const query = useQuery({
    queryKey: ['supervised', 'counts'],
    queryFn: async () => {
      const [all, unhealthy, online, stale, offline] = await Promise.all([
        total({}),
        total({ health: ['unhealthy'] }),
        total({ status: ['online'] }),
        total({ status: ['stale'] }),
        total({ status: ['offline'] }),
      ])
      return { all, unhealthy, online, stale, offline }
    },
    refetchInterval: POLL_MILLISECONDS,
  })
  const counts = query.data
  const states = summary?.by_config_state
  const loops = summary?.supervisors?.crash_looping
  const collectors = Object.entries(summary?.supervisors?.by_collector_state ?? {}).filter(([, number]) => number > 0)
  const cards: [string, number | undefined, string, Record<string, string>][] = [
    ['Under a supervisor', counts?.all, 'calm', {}],
    ['Online', counts?.online, 'good', { status: 'online' }],
    ['Unhealthy', counts?.unhealthy, counts?.unhealthy ? 'bad' : 'calm', { health: 'unhealthy' }],
    ['Crash loops', loops, loops ? 'bad' : 'calm', { health: CRASH_LOOP }],
    ['Stale', counts?.stale, counts?.stale ? 'warn' : 'calm', { status: 'stale' }],
    ['Offline', counts?.offline, 'calm', { status: 'offline' }],
  ]
  return (
    <>
    <AsOf error={query.error} at={query.dataUpdatedAt} />
    <SimpleGrid cols={{ base: 2, sm: 4, lg: 8 }} spacing="xs">
      {cards.map(([title, number, tone, query]) => (
        <UnstyledButton key={title} onClick={() => setParams(query)}>
          <Paper p="xs" h="100%">
            <Text size="xs" c="dimmed">
              {title}
            </Text>
            <Text size="xl" fw={700} style={{ color: `var(--fg-${tone})` }}>
              {number?.toLocaleString() ?? (query.isError ? '–' : '…')}
            </Text>
          </Paper>
        </UnstyledButton>
      ))}
      <Paper p="xs">
        <Text size="xs" c="dimmed">
          Collectors
        </Text>
        <Group gap={4} mt={6}>
          {collectors.map(([state, number]) => (
            <span key={state} className="fg-pill" data-tone={TONES[state] ?? 'calm'}>
              {number.toLocaleString()} {state}
            </span>
          ))}
          {summary?.supervisors === null && <Text size="sm">supervisor-control does not answer now</Text>}
          {summary?.supervisors && !collectors.length && <Text size="sm">none</Text>}
        </Group>
      </Paper>
      <Paper p="xs">
        <Text size="xs" c="dimmed">
          Configurations
        </Text>
        <Group gap={4} mt={6}>
          {states
            ? Object.entries(states)
                .filter(([, number]) => number > 0)
                .map(([state, number]) => (
                  <button
                    type="button"
                    key={state}
                    className="fg-pill"
                    data-tone={state === 'failed' ? 'bad' : state === 'applied' ? 'good' : 'warn'}
                    onClick={() => setParams({ config: state })}
                  >
                    {number} {state}
                  </button>
                ))
            : '…'}
          {states && !Object.values(states).some(Boolean) && <Text size="sm">none sent</Text>}
        </Group>
      </Paper>
    </SimpleGrid>
    </>
  )
}
