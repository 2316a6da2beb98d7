import { Button, Drawer, Group, Stack, Tabs, Text, Title } from '@mantine/core'
import { IconEdit, IconFileText } from '@tabler/icons-react'
import { useQuery } from '@tanstack/react-query'
import { lazy, Suspense, useEffect } from 'react'
import { Link, type NavigateOptions, useLocation, useNavigate, useParams } from 'react-router'
import { ActionButton } from '../components/ActionButton'
import { AgentConfigViewer } from '../components/AgentConfigViewer'
import { AgentEvents } from '../components/AgentEvents'
import { AgentOverview } from '../components/AgentOverview'
import { AgentStatusBadge } from '../components/AgentStatusBadge'
import { AgentVersionView } from '../components/AgentVersionView'
import { whyNot } from '../components/capabilities'
import { DeliveryHistory } from '../components/DeliveryHistory'
import { Diagnosis } from '../components/Diagnosis'
import { useTopmost } from '../components/Dialog'
import { HealthIndicator } from '../components/HealthIndicator'
import { LogViewer } from '../components/LogViewer'
import { ModeBadge } from '../components/ModeBadge'
import { RelativeTime } from '../components/RelativeTime'
import { RestartButton } from '../components/RestartButton'
import { Empty, Loading, Shown } from '../components/States'
import { effectiveText } from '../components/stages'
import type { Gateway } from '../services/api'
import { queries } from '../services/queries'

const AgentMetrics = lazy(() => import('../components/AgentMetrics'))
const AgentPipelines = lazy(() => import('../components/AgentPipelines'))

const TABS = [
  ['overview', 'Overview'],
  ['config', 'Configuration'],
  ['pipelines', 'Pipelines'],
  ['logs', 'Logs'],
  ['metrics', 'Metrics'],
  ['events', 'Events'],
  ['diagnosis', 'Diagnosis'],
  ['version', 'Version & components'],
] as const
type Tab = (typeof TABS)[number][0]

/** One agent, beside the list that it was opened from. */
export default function AgentDetail({ list }: { list: string }) {
  const { id = '', tab } = useParams()
  const { search } = useLocation()
  const navigate = useNavigate()
  const query = useQuery(queries.gateway(id))
  const name = query.data?.name
  useEffect(() => {
    if (name) document.title = `${name} · FlowGate`
  }, [name])
  const shown = TABS.find(([key]) => key === tab)?.[0] ?? 'overview'
  const close = () => void navigate({ pathname: list, search })
  const to = (tab: string, options: NavigateOptions = {}) => void navigate({ pathname: `${list}/${id}/${tab}`, search }, options)
  const isTopmost = useTopmost(true)
  return (
    <Drawer
      opened
      onClose={close}
      closeOnEscape={isTopmost}
      position="right"
      size="min(1080px, 94vw)"
      title={
        <Text fw={650} fz="lg">
          {name ?? 'Agent'}
        </Text>
      }
      padding="md"
      transitionProps={{ duration: 0 }}
      overlayProps={{ backgroundOpacity: 0.25 }}
    >
      <Shown query={query} what="This agent cannot be shown" rows={8}>
        {(gateway) => (
          <Stack gap="sm">
            <Heading gateway={gateway} toLogs={() => to('logs')} />
            <Tabs
              value={shown}
              keepMounted={false}
              onChange={(value) => to(value === 'overview' ? '' : value!, { replace: true })}
            >
              <Tabs.List mb="sm">
                {TABS.map(([key, title]) => (
                  <Tabs.Tab key={key} value={key}>
                    {title}
                  </Tabs.Tab>
                ))}
              </Tabs.List>
              <Tabs.Panel value={shown}>
                <Suspense fallback={<Loading />}>
                  <Content tab={shown} gateway={gateway} toDiagnosis={() => to('diagnosis')} onRemoved={close} />
                </Suspense>
              </Tabs.Panel>
            </Tabs>
          </Stack>
        )}
      </Shown>
    </Drawer>
  )
}

function Heading({ gateway, toLogs }: { gateway: Gateway; toLogs: () => void }) {
  const noConfig = whyNot(gateway, 'AcceptsRemoteConfig')
  return (
    <Group justify="space-between" gap="sm">
      <Group gap={6}>
        <AgentStatusBadge status={gateway.status} />
        <HealthIndicator health={gateway.health} />
        <ModeBadge mode={gateway.management_mode} />
        <Text size="xs" c="dimmed">
          seen <RelativeTime at={gateway.last_seen_at} />
        </Text>
      </Group>
      <Group gap="xs">
        <ActionButton
          variant="default"
          leftSection={<IconFileText size={14} />}
          reason={
            gateway.management_mode === 'extension'
              ? 'Logs come through the supervisor, and this collector has none: “Move to supervisor mode” on its overview shows how.'
              : null
          }
          onClick={toLogs}
        >
          Supervisor Logs
        </ActionButton>
        {noConfig ? (
          <ActionButton variant="default" leftSection={<IconEdit size={14} />} reason={noConfig}>
            Edit configuration
          </ActionButton>
        ) : (
          <Button
            component={Link}
            to={`/agents/${gateway.instance_id}/edit`}
            variant="default"
            leftSection={<IconEdit size={14} />}
          >
            Edit configuration
          </Button>
        )}
        <RestartButton gateway={gateway} />
      </Group>
    </Group>
  )
}

interface ContentProps {
  tab: Tab
  gateway: Gateway
  toDiagnosis: () => void
  onRemoved: () => void
}

function Content({ tab, gateway, toDiagnosis, onRemoved }: ContentProps) {
  switch (tab) {
    case 'overview':
      return <AgentOverview gateway={gateway} toDiagnosis={toDiagnosis} onRemoved={onRemoved} />
    case 'config':
      return <Configuration gateway={gateway} />
    case 'pipelines':
      return <Pipelines gateway={gateway} />
    case 'logs':
      return gateway.management_mode === 'extension' ? (
        <Empty title="Logs come through the supervisor">
          This collector runs without one. Under opampsupervisor its logs and those of the supervisor are here.
        </Empty>
      ) : (
        <LogViewer id={gateway.instance_id} name={gateway.name} />
      )
    case 'metrics':
      return <AgentMetrics id={gateway.instance_id} />
    case 'events':
      return <AgentEvents id={gateway.instance_id} />
    case 'diagnosis':
      return <Diagnosis id={gateway.instance_id} />
    case 'version':
      return <AgentVersionView id={gateway.instance_id} />
  }
}

function Configuration({ gateway }: { gateway: Gateway }) {
  const query = useQuery(queries.config(gateway.instance_id))
  return (
    <Shown query={query} what="Its configuration cannot be shown">
      {(config) => (
        <Stack gap="md">
          <AgentConfigViewer config={config} />
          <DeliveryHistory gateway={gateway} config={config} />
        </Stack>
      )}
    </Shown>
  )
}

function Pipelines({ gateway }: { gateway: Gateway }) {
  const query = useQuery(queries.config(gateway.instance_id))
  return (
    <Shown query={query} what="Its configuration cannot be shown">
      {(config) => {
        const text = effectiveText(config) || config.assigned?.config || ''
        return text ? (
          <>
            <Title order={2} className="fg-hidden">
              Pipelines
            </Title>
            <AgentPipelines id={gateway.instance_id} config={text} />
          </>
        ) : (
          <Empty title="No configuration is known" />
        )
      }}
    </Shown>
  )
}
