import { Accordion, Anchor, Grid, Paper, Stack, Text, Title } from '@mantine/core'
import { useQuery } from '@tanstack/react-query'
import type { ReactNode } from 'react'
import { Link } from 'react-router'
import type { Gateway } from '../services/api'
import { queries } from '../services/queries'
import { CAPABILITIES } from './capabilities'
import { Facts } from './Facts'
import { HealthTree } from './HealthTree'
import { LabelEditor } from './LabelEditor'
import { duration, RelativeTime } from './RelativeTime'
import { RemoveAgent } from './RemoveAgent'
import { Shown } from './States'
import { SupervisorStatus } from './SupervisorStatus'

/** Who the agent is, how it does, and what it can do. */
export function AgentOverview({ gateway, toDiagnosis, onRemoved }: { gateway: Gateway; toDiagnosis: () => void; onRemoved: () => void }) {
  const health = useQuery(queries.health(gateway.instance_id))
  return (
    <Grid gap="md">
      <Grid.Col span={{ base: 12, md: 7 }}>
        <Section title="Health">
          <Shown query={health} what="Its health cannot be shown">
            {(data) => {
              const known = data.last_known
              const error = known?.last_error ?? data.last_error
              return (
                <Stack gap="xs">
                  {known && (
                    <Text size="sm" c="dimmed">
                      It is not connected. This is what it reported last:
                    </Text>
                  )}
                  <Text size="sm">
                    {known
                      ? (known.health_status ?? 'no state given')
                      : data.state === 'unknown'
                        ? 'It has not told how it does.'
                        : `${data.state === 'healthy' ? 'Healthy' : 'Not healthy'}${data.health_status ? `, ${data.health_status}` : ''}`}
                    {(known?.since ?? data.since) && (
                      <>
                        {' '}
                        since <RelativeTime at={known?.since ?? data.since} />
                      </>
                    )}
                    {data.uptime_seconds !== null && `, up for ${duration(data.uptime_seconds)}`}
                  </Text>
                  {error && (
                    <Text size="sm" c="var(--fg-bad)">
                      {error}{' '}
                      <Anchor component="button" size="sm" onClick={toDiagnosis}>
                        Why, and what to do
                      </Anchor>
                    </Text>
                  )}
                  <HealthTree components={known?.components ?? data.components} />
                </Stack>
              )
            }}
          </Shown>
        </Section>
        {gateway.management_mode === 'supervisor' ? <SupervisorSection id={gateway.instance_id} /> : <MoveToSupervisor gateway={gateway} />}
      </Grid.Col>
      <Grid.Col span={{ base: 12, md: 5 }}>
        <Section title="Identity">
          <Facts
            items={[
              ['Agent', `${gateway.agent_type ?? 'unknown'} ${gateway.version ?? ''}`],
              ['Host', gateway.host_name],
              ['System', [gateway.os_type, gateway.host_arch].filter(Boolean).join(' / ') || null],
              [
                'Connection',
                gateway.status === 'offline' ? (
                  <>
                    away since <RelativeTime at={gateway.disconnected_at} />
                  </>
                ) : (
                  <>
                    {gateway.transport === 'http' ? 'HTTP polls' : 'WebSocket'} since <RelativeTime at={gateway.connected_at} />
                  </>
                ),
              ],
              ['Address', gateway.remote_address],
              ['Ingress', gateway.ingress],
              ['First seen', <RelativeTime key="first" at={gateway.first_seen_at} />],
              ['Gateway id', <span key="gid" className="fg-mono">{gateway.gateway_id}</span>],
              ['Instance id', <span key="iid" className="fg-mono">{gateway.instance_id}</span>],
            ]}
          />
        </Section>
        <Section title="Name and labels">
          <LabelEditor gateway={gateway} />
        </Section>
        <Description gateway={gateway} />
        <Section title="What it can do">
          <ul style={{ margin: 0, paddingLeft: 18, fontSize: 13 }}>
            {gateway.capabilities.map((one) => (
              <li key={one} title={one}>
                {CAPABILITIES[one] ?? one}
              </li>
            ))}
          </ul>
        </Section>
        <Section title="Take it out of the fleet">
          <RemoveAgent gateway={gateway} onRemoved={onRemoved} />
        </Section>
      </Grid.Col>
    </Grid>
  )
}

const valueText = (value: unknown) => (typeof value === 'string' ? value : JSON.stringify(value))

/** The agent's own attributes, as it reported them. */
function Description({ gateway }: { gateway: Gateway }) {
  const query = useQuery(queries.description(gateway.instance_id, gateway.management_mode === 'supervisor'))
  return (
    <Section title="Description">
      <Shown query={query} what="Its attributes cannot be shown">
        {({ identifying_attributes: own, non_identifying_attributes: more }) => {
          const all = [...Object.entries(own), ...Object.entries(more)]
          return all.length ? (
            <Facts items={all.map(([name, value]) => [name, valueText(value)])} />
          ) : (
            <Text size="sm" c="dimmed">
              It has not described itself.
            </Text>
          )
        }}
      </Shown>
    </Section>
  )
}

function Section({ title, children }: { title: string; children: ReactNode }) {
  return (
    <Paper mb="md" component="section" aria-label={title}>
      <Title order={2} size="h6" mb="xs">
        {title}
      </Title>
      {children}
    </Paper>
  )
}

function SupervisorSection({ id }: { id: string }) {
  const query = useQuery(queries.supervisor(id))
  return (
    <Section title="Supervisor and collector">
      <Shown query={query} what="Its supervisor cannot be shown">
        {(status) => {
          const { collector, supervisor, own_telemetry: own } = status
          return (
            <Facts
              items={[
                ['Collector', <SupervisorStatus key="state" supervisor={status} />],
                [
                  'Running for',
                  collector.uptime_seconds === null ? 'not running' : duration(collector.uptime_seconds),
                ],
                [
                  'Starts',
                  `${collector.starts} seen; in the last ${duration(collector.crash_window_seconds)} ${collector.recent_starts}, and ${collector.recent_crashes} ${collector.recent_crashes === 1 ? 'crash' : 'crashes'}`,
                ],
                [
                  'Last error',
                  collector.last_error ? (
                    <span key="error" style={{ color: 'var(--fg-bad)' }}>
                      {collector.last_error} (<RelativeTime at={collector.last_error_at} />)
                    </span>
                  ) : (
                    'none'
                  ),
                ],
                [
                  'Supervisor',
                  supervisor.is_running
                    ? `connected${supervisor.uptime_seconds ? `, up for ${duration(supervisor.uptime_seconds)}` : ''}`
                    : (status.connection.disconnect_reason_text ?? 'not connected'),
                ],
                ['Logs on its host', supervisor.logs_path ?? 'it did not say'],
                [
                  'Own telemetry',
                  own
                    ? `${[own.own_logs && 'logs', own.own_metrics && 'metrics', own.own_traces && 'traces'].filter(Boolean).join(', ') || 'none'}; ${own.state}`
                    : 'takes no connection settings',
                ],
                [
                  'Last order',
                  status.command ? (
                    <span key="command">
                      {status.command.type} {status.command.state}, <RelativeTime at={status.command.updated_at} />
                    </span>
                  ) : (
                    'none'
                  ),
                ],
              ]}
            />
          )
        }}
      </Shown>
    </Section>
  )
}

/** How an agent in extension mode becomes one that can be managed. */
function MoveToSupervisor({ gateway }: { gateway: Gateway }) {
  return (
    <Section title="Move to supervisor mode">
      <Text size="sm" mb="xs">
        This collector reports by its own opampextension. It can be watched; configuration, restart and logs need a supervisor.
      </Text>
      <Accordion variant="contained">
        <Accordion.Item value="how">
          <Accordion.Control>How to move it</Accordion.Control>
          <Accordion.Panel>
            <ol style={{ margin: 0, paddingLeft: 18, fontSize: 13 }}>
              <li>
                <Link to={`/onboarding?move=${gateway.instance_id}`}>Make the commands, or a ready folder for a container</Link>, with
                the identity of this agent. On a shell, <code>flowgate gateway bundle</code> makes the same folder.
              </li>
              <li>Stop the collector, and take the opamp extension out of its configuration.</li>
              <li>Start opampsupervisor with it. The agent appears here in supervisor mode.</li>
              <li>Send it the old configuration from here.</li>
            </ol>
          </Accordion.Panel>
        </Accordion.Item>
      </Accordion>
    </Section>
  )
}
