import { Button, Group, Paper, SegmentedControl, Text, TextInput } from '@mantine/core'
import { IconPlayerPause, IconPlayerPlay, IconSearch } from '@tabler/icons-react'
import { useQuery } from '@tanstack/react-query'
import { useCallback, useMemo, useState } from 'react'
import { useSearchParams } from 'react-router'
import { EventTimeline } from '../components/EventTimeline'
import { told } from '../components/events'
import { useNames } from '../components/names'
import { Page } from '../components/Page'
import { Empty, Shown } from '../components/States'
import type { FleetEvent } from '../services/api'
import { useFleetEvents } from '../services/live'
import { queries } from '../services/queries'

const KEPT = 500
const DOMAINS = ['agent', 'config', 'supervisor'] as const

/** Everything that happens in the fleet. */
export default function Events() {
  const [params, setParams] = useSearchParams()
  const domain = DOMAINS.find((one) => one === params.get('domain'))
  const [text, setText] = useState('')
  const [isPaused, setPaused] = useState(false)
  const [fresh, setFresh] = useState<FleetEvent[]>([])
  const query = useQuery({
    ...queries.recent({ limit: 200, ...(domain ? { domain: [domain] } : {}) }),
    refetchInterval: isPaused ? false : 30_000,
  })
  useFleetEvents(
    useCallback((events) => setFresh((known) => [...events.toReversed(), ...known].slice(0, KEPT)), []),
  )
  const [frozen, setFrozen] = useState<FleetEvent[] | null>(null)
  const all = useMemo(() => {
    const byId = new Map<string, FleetEvent>()
    for (const event of [...fresh, ...(query.data ?? [])]) {
      if (!domain || event.event.startsWith(`${domain}.`)) byId.set(event.event_id ?? JSON.stringify(event), event)
    }
    return [...byId.values()].sort((a, b) => (b.occurred_at ?? '').localeCompare(a.occurred_at ?? '')).slice(0, KEPT)
  }, [fresh, query.data, domain])
  const shown = frozen ?? all
  const waiting = frozen ? all.filter((event) => (event.occurred_at ?? '') > (frozen[0]?.occurred_at ?? '')).length : 0
  const names = useNames(shown)
  const found = useMemo(() => {
    const wanted = text.trim().toLowerCase()
    if (!wanted) return shown
    return shown.filter((event) =>
      `${event.event} ${told(event).text} ${told(event).detail ?? ''} ${event.instance_id} ${names.get(event.instance_id ?? '') ?? ''}`
        .toLowerCase()
        .includes(wanted),
    )
  }, [shown, text, names])
  return (
    <Page
      title="Events"
      actions={
        <Button
          variant="default"
          leftSection={isPaused ? <IconPlayerPlay size={14} /> : <IconPlayerPause size={14} />}
          onClick={() => {
            setPaused(!isPaused)
            setFrozen(isPaused ? null : all)
          }}
        >
          {isPaused ? `Go on${waiting ? ` (${waiting} new)` : ''}` : 'Pause'}
        </Button>
      }
    >
      <Group gap="xs">
        <TextInput
          data-search
          w={260}
          aria-label="Search events"
          placeholder="Search  ( / )"
          leftSection={<IconSearch size={14} />}
          value={text}
          onChange={(event) => setText(event.currentTarget.value)}
        />
        <SegmentedControl
          aria-label="About"
          value={domain ?? 'all'}
          onChange={(value) => setParams(value === 'all' ? {} : { domain: value }, { replace: true })}
          data={[
            { value: 'all', label: 'All' },
            { value: 'agent', label: 'Agents' },
            { value: 'config', label: 'Configurations' },
            { value: 'supervisor', label: 'Supervisors' },
          ]}
        />
        <Text size="xs" c="dimmed">
          Events are kept for seven days; the latest {KEPT} are shown.
        </Text>
      </Group>
      <Paper style={{ flex: 1, overflow: 'auto', minHeight: 0 }} tabIndex={0} aria-label="List of events" role="region">
        <Shown query={query} what="Events cannot be read" rows={10}>
          {() =>
            found.length ? (
              <EventTimeline events={found} names={names} />
            ) : (
              <Empty title={text ? 'No event fits the search' : 'Nothing has happened yet'} />
            )
          }
        </Shown>
      </Paper>
    </Page>
  )
}
