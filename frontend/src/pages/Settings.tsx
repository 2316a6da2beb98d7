import { Anchor, Paper, SegmentedControl, SimpleGrid, Stack, Switch, Text, Title, useMantineColorScheme } from '@mantine/core'
import { useQuery } from '@tanstack/react-query'
import { Facts } from '../components/Facts'
import { Page } from '../components/Page'
import { Policies } from '../components/Policies'
import { useShortcuts } from '../components/preferences'
import { RelativeTime } from '../components/RelativeTime'
import { Shown } from '../components/States'
import { queries } from '../services/queries'

/** How this browser shows things, what this FlowGate is, and what agents are offered. */
export default function Settings() {
  const { colorScheme, setColorScheme } = useMantineColorScheme()
  const [hasShortcuts, setShortcuts] = useShortcuts()
  const about = useQuery(queries.about)
  const session = useQuery(queries.session)
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
            <Switch
              label="Keys that work by themselves"
              description="g and a letter, /, d and ?; “?” lists them"
              checked={hasShortcuts}
              onChange={(event) => setShortcuts(event.currentTarget.checked)}
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
        <Policies />
      </Paper>
    </Page>
  )
}
