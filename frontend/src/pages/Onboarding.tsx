import { Alert, Button, Group, Loader, Paper, SegmentedControl, Stack, Text, TextInput, Title } from '@mantine/core'
import { IconCircleCheck } from '@tabler/icons-react'
import { useMutation, useQuery } from '@tanstack/react-query'
import { type ReactNode, useCallback, useEffect, useState } from 'react'
import { Link, useSearchParams } from 'react-router'
import { BundleDownload } from '../components/BundleDownload'
import { COLLECTOR, type Choice, isAddress, isProgram, needs, RELEASES, steps } from '../components/commands'
import { CopyBlock } from '../components/CopyBlock'
import { ModeBadge } from '../components/ModeBadge'
import { Page } from '../components/Page'
import { Failed } from '../components/States'
import { agentApi, type Gateway, tokenApi } from '../services/api'
import { useFleetEvents } from '../services/live'
import { queries } from '../services/queries'

const MODES: Record<Choice['mode'], string> = {
  supervisor:
    'opampsupervisor runs the collector as its subprocess. FlowGate configures and restarts it; its logs and metrics come here.',
  extension: 'The collector reports by its own opampextension. FlowGate watches it; its configuration stays where it is.',
}
const HOUR = 3_600_000

/** From nothing to an agent in the fleet, or from one mode to the other: choose, copy, wait for it. */
export default function Onboarding() {
  const about = useQuery(queries.about)
  const [params] = useSearchParams()
  const wanted = params.get('move')
  const moved = useQuery({ ...queries.gateway(wanted ?? ''), enabled: wanted !== null })
  // Commands are typed as root, and a link may say anything: only an id that FlowGate knows gets into them.
  const instanceId = moved.data?.instance_id
  const isMove = wanted !== null
  const [mode, setMode] = useState<Choice['mode']>('supervisor')
  const [platform, setPlatform] = useState<Choice['platform']>(isMove ? 'docker' : 'linux')
  const [url, setUrl] = useState('')
  const [executable, setExecutable] = useState(COLLECTOR)
  useEffect(() => {
    if (about.data?.opamp_url) setUrl((known) => known || about.data.opamp_url!)
  }, [about.data])
  const make = useMutation({
    mutationFn: () =>
      tokenApi.create({
        name: `onboarding ${new Date().toISOString().slice(0, 19).replace('T', ' ')} ${Math.random().toString(36).slice(2, 6)}`,
        labels: {},
        max_uses: 1,
        expires_at: new Date(Date.now() + 24 * HOUR).toISOString(),
      }),
  })
  const isLocal = /\/\/(127\.|localhost|\[::1\])/.test(url)
  const isHost = mode === 'supervisor' && platform === 'linux'
  const isComplete = isAddress(url) && (!isHost || isProgram(executable)) && (!isMove || instanceId !== undefined)
  const choice = { mode, platform, url, executable, token: make.data?.token ?? '', ...(instanceId ? { instanceId } : {}) }
  return (
    <Page title={isMove ? 'Move an agent to another mode' : 'Connect an agent'} aside={moved.data?.name}>
      <Stack gap="md" maw={880} pb="xl">
        {moved.isError && <Failed error={moved.error} what="The agent that moves is not known" />}
        {isMove && (
          <Alert color="blue" title="It stays the same gateway">
            Name, labels and history stay: what runs there next has the identity of this agent. Stop the old collector first, since
            two must not run with one identity.
          </Alert>
        )}
        <Step number={1} title="What should FlowGate do with it?">
          <SegmentedControl
            aria-label="Mode"
            value={mode}
            onChange={(value) => setMode(value as Choice['mode'])}
            data={[
              { value: 'supervisor', label: 'Manage it (supervisor)' },
              { value: 'extension', label: 'Watch it (extension)' },
            ]}
          />
          <Text size="sm" mt={6}>
            {MODES[mode]}
          </Text>
        </Step>
        <Step number={2} title="Where does it run?">
          <Group align="end">
            <SegmentedControl
              aria-label="Platform"
              value={platform}
              onChange={(value) => setPlatform(value as Choice['platform'])}
              data={[
                { value: 'linux', label: 'Linux host' },
                { value: 'docker', label: 'Docker' },
                { value: 'kubernetes', label: 'Kubernetes' },
              ]}
            />
            <TextInput
              label="FlowGate's address, as the agent reaches it"
              w={380}
              value={url}
              error={url && !isAddress(url) ? 'It is ws:// or wss://, a host, and perhaps a port and a path' : undefined}
              onChange={(event) => setUrl(event.currentTarget.value)}
              placeholder="wss://flowgate.example.com/v1/opamp"
            />
          </Group>
          {isLocal && (
            <Text size="xs" c="dimmed" mt={6}>
              This is an address of FlowGate's own machine: agents elsewhere need a name or address that they can reach.
            </Text>
          )}
          {isHost && (
            <TextInput
              label="The collector's program there"
              mt="sm"
              w={260}
              value={executable}
              error={isProgram(executable) ? undefined : 'It is an absolute path'}
              onChange={(event) => setExecutable(event.currentTarget.value)}
            />
          )}
        </Step>
        <Step number={3} title="Run this there">
          {make.data && isComplete ? (
            <Stack gap="sm">
              <Text size="sm">
                {needs(choice)}
                {platform === 'linux' && (
                  <>
                    {' '}
                    See the{' '}
                    <a href={RELEASES} target="_blank" rel="noreferrer">
                      releases of the OpenTelemetry Collector
                    </a>
                    .
                  </>
                )}
              </Text>
              {steps(choice).map((step) => (
                <div key={step.title}>
                  <Text size="sm" fw={600} mb={4}>
                    {step.title}
                  </Text>
                  <CopyBlock text={step.text} label={step.title} />
                </div>
              ))}
              {platform === 'docker' && (
                <BundleDownload key={moved.data?.host_name} choice={choice} name={moved.data?.host_name?.split('.')[0] || 'gateway'} />
              )}
              <Text size="xs" c="dimmed">
                The token in it is good for one agent and 24 hours. It is not shown again once you leave this page;{' '}
                <Link to="/enrollment">Enrollment tokens</Link> makes others and revokes this one.
              </Text>
            </Stack>
          ) : (
            <Stack gap="xs">
              {make.isError && <Failed error={make.error} what="No token could be made" />}
              <Group>
                <Button loading={make.isPending} disabled={!isComplete} onClick={() => make.mutate()}>
                  Make the commands, with a fresh token
                </Button>
                <Text size="xs" c="dimmed">
                  A token for one agent, good for 24 hours.
                </Text>
              </Group>
            </Stack>
          )}
        </Step>
        {make.data && isComplete && (
          // In view however long the commands are.
          <div style={{ position: 'sticky', bottom: 0, boxShadow: 'var(--mantine-shadow-md)' }}>
            <Step number={4} title="It appears here">
              {instanceId ? <Moved instanceId={instanceId} mode={mode} /> : <Arrival tokenId={make.data.token_id} />}
            </Step>
          </div>
        )}
      </Stack>
    </Page>
  )
}

function Step({ number, title, children }: { number: number; title: string; children: ReactNode }) {
  return (
    <Paper component="section" aria-label={title}>
      <Title order={2} size="h5" mb="xs">
        <Text span c="dimmed" inherit>
          {number}.
        </Text>{' '}
        {title}
      </Title>
      {children}
    </Paper>
  )
}

/** Waits for the agent that comes with the token, live: others may come meanwhile. */
function Arrival({ tokenId }: { tokenId: string }) {
  const { data, refetch } = useQuery({
    queryKey: ['arrival', tokenId],
    queryFn: async () => {
      const { items } = await agentApi.list({ sort: '-first_seen_at', limit: 100 })
      return items.find((one) => one.enrollment_token_id === tokenId) ?? null
    },
    refetchInterval: 3000,
  })
  useFleetEvents(
    useCallback(
      (events) => {
        if (events.some((event) => event.enrollment_token_id === tokenId)) void refetch()
      },
      [tokenId, refetch],
    ),
  )
  return <Arrived agent={data ?? null} />
}

/** Waits for an agent to be there in the mode that was chosen for it. */
function Moved({ instanceId, mode }: { instanceId: string; mode: Choice['mode'] }) {
  const { data } = useQuery({ ...queries.gateway(instanceId), refetchInterval: 3000 })
  return <Arrived agent={data?.management_mode === mode && data.status === 'online' ? data : null} />
}

function Arrived({ agent }: { agent: Gateway | null }) {
  if (!agent) {
    return (
      <Group gap="sm" role="status">
        <Loader size="xs" type="dots" />
        <Text size="sm">
          Waiting for its first connection… One that was here before does not come as a new one: it is in{' '}
          <Link to="/agents?sort=-last_seen_at">the list of agents</Link>.
        </Text>
      </Group>
    )
  }
  return (
    <Alert color="green" icon={<IconCircleCheck />} title={`${agent.name} has connected`} role="status">
      <Group gap="sm">
        <ModeBadge mode={agent.management_mode} />
        <Text size="sm">
          {agent.agent_type} {agent.version}
        </Text>
        <Button component={Link} to={`/agents/${agent.instance_id}`}>
          Look at it
        </Button>
        {agent.capabilities.includes('AcceptsRemoteConfig') && (
          <Button component={Link} to={`/agents/${agent.instance_id}/edit`} variant="default">
            Change its configuration
          </Button>
        )}
      </Group>
    </Alert>
  )
}
