import { Anchor, Paper, SegmentedControl, SimpleGrid, Stack, Table, Text, Title, useMantineColorScheme } from '@mantine/core'
import { useQuery } from '@tanstack/react-query'
import { Facts } from '../components/Facts'
import { Labels } from '../components/Labels'
import { Page } from '../components/Page'
import { RelativeTime } from '../components/RelativeTime'
import { Shown } from '../components/States'
import { queries } from '../services/queries'

const said = (value: boolean | null | undefined) => (value == null ? 'says nothing' : value ? 'on' : 'off')

/** How this browser shows things, what this FlowGate is, and what agents are offered. */
export default function Settings() {
  const { colorScheme, setColorScheme } = useMantineColorScheme()
  const about = useQuery(queries.about)
  const session = useQuery(queries.session)
  const policies = useQuery(queries.policies)
  return (
    <Page title="Settings">
      <SimpleGrid cols={{ base: 1, md: 2 }} spacing="md">
        <Paper component="section" aria-label="This browser">
          <Title order={2} size="h5" mb="xs">
            This browser
          </Title>
          <Stack gap="xs">
            <SegmentedControl
              aria-label="Colours"
              value={colorScheme}
              onChange={(value) => setColorScheme(value as 'light' | 'dark' | 'auto')}
              data={[
                { value: 'auto', label: 'As the system' },
                { value: 'light', label: 'Light' },
                { value: 'dark', label: 'Dark' },
              ]}
            />
            <Facts
              items={[
                ['Signed in as', 'admin'],
                ['Session ends', <RelativeTime key="end" at={session.data?.expires_at} />],
              ]}
            />
          </Stack>
        </Paper>
        <Paper component="section" aria-label="This FlowGate">
          <Title order={2} size="h5" mb="xs">
            This FlowGate
          </Title>
          <Shown query={about} rows={2}>
            {(data) => (
              <Facts
                items={[
                  ['Version', data.version],
                  ['Agents connect to', data.opamp_url ?? 'not told: set FLOWGATE_API_GATEWAY_OPAMP_URL'],
                  [
                    'API',
                    <Anchor key="api" href="/api/v1/openapi.json" size="sm">
                      OpenAPI description
                    </Anchor>,
                  ],
                ]}
              />
            )}
          </Shown>
        </Paper>
      </SimpleGrid>
      <Paper component="section" aria-label="Policies">
        <Title order={2} size="h5" mb={4}>
          Policies
        </Title>
        <Text size="xs" c="dimmed" mb="xs">
          What agents are offered: whether they send their own logs, metrics and traces, and how often they report. The policy
          with the most labels in its selector counts.
        </Text>
        <Shown query={policies} what="Policies cannot be listed">
          {({ items }) => (
            <Table aria-label="Policies">
              <Table.Thead>
                <Table.Tr>
                  {['Policy', 'For agents with', 'Logs', 'Metrics', 'Traces', 'Heartbeat', 'Changed'].map((title) => (
                    <Table.Th key={title}>{title}</Table.Th>
                  ))}
                </Table.Tr>
              </Table.Thead>
              <Table.Tbody>
                {items.map((policy) => (
                  <Table.Tr key={policy.name}>
                    <Table.Td fw={600}>{policy.name}</Table.Td>
                    <Table.Td>
                      {Object.keys(policy.selector ?? {}).length ? <Labels labels={policy.selector ?? {}} /> : 'any labels'}
                    </Table.Td>
                    <Table.Td>{said(policy.own_logs)}</Table.Td>
                    <Table.Td>{said(policy.own_metrics)}</Table.Td>
                    <Table.Td>{said(policy.own_traces)}</Table.Td>
                    <Table.Td>{policy.heartbeat_interval_seconds ? `${policy.heartbeat_interval_seconds} s` : 'says nothing'}</Table.Td>
                    <Table.Td>
                      <RelativeTime at={policy.updated_at} /> {policy.updated_by && `by ${policy.updated_by}`}
                    </Table.Td>
                  </Table.Tr>
                ))}
              </Table.Tbody>
            </Table>
          )}
        </Shown>
      </Paper>
    </Page>
  )
}
