import { Alert, Button, Group, Paper, Stack, Table, Text, Title } from '@mantine/core'
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query'
import { useState } from 'react'
import { type AgentConfig, type Delivery, type Gateway, supervisorApi } from '../services/api'
import { keys, queries } from '../services/queries'
import { ActionButton } from './ActionButton'
import { ConfigStateBadge } from './ConfigStateBadge'
import { whyNot } from './capabilities'
import { Dialog } from './Dialog'
import { RelativeTime } from './RelativeTime'
import { Failed, Shown } from './States'
import { YamlDiff } from './YamlText'

/** What was sent to an agent and what came of it; an earlier version is compared with the assigned one and sent again. */
export function DeliveryHistory({ gateway, config }: { gateway: Gateway; config: AgentConfig }) {
  const query = useQuery(queries.history(gateway.instance_id))
  const [open, setOpen] = useState<Delivery | null>(null)
  return (
    <Paper component="section" aria-label="Deliveries">
      <Title order={2} size="h6" mb="xs">
        Deliveries
      </Title>
      <Shown query={query} rows={3} what="Earlier deliveries cannot be listed">
        {(items) =>
          items.length ? (
            <Table aria-label="Deliveries">
              <Table.Thead>
                <Table.Tr>
                  {['Ordered', 'Outcome', 'Configuration', 'Why', ''].map((title) => (
                    <Table.Th key={title}>{title || <span className="fg-hidden">Actions</span>}</Table.Th>
                  ))}
                </Table.Tr>
              </Table.Thead>
              <Table.Tbody>
                {items.map((one) => (
                  <Table.Tr key={one.delivery_id}>
                    <Table.Td>
                      <RelativeTime at={one.created_at} />
                      {one.created_by && ` by ${one.created_by}`}
                    </Table.Td>
                    <Table.Td>
                      <ConfigStateBadge state={one.state} error={one.error} />
                    </Table.Td>
                    <Table.Td className="fg-mono">{one.config_hash.slice(0, 12)}</Table.Td>
                    <Table.Td maw={420} className="fg-ellipsis" title={one.error ?? undefined}>
                      {one.error}
                    </Table.Td>
                    <Table.Td>
                      <Button variant="subtle" onClick={() => setOpen(one)}>
                        Compare, send again
                      </Button>
                    </Table.Td>
                  </Table.Tr>
                ))}
              </Table.Tbody>
            </Table>
          ) : (
            <Text size="sm" c="dimmed">
              No configuration was sent to it yet.
            </Text>
          )
        }
      </Shown>
      <Dialog opened={open !== null} onClose={() => setOpen(null)} size="80%" title="An earlier configuration">
        {open && <Earlier delivery={open} gateway={gateway} assigned={config.assigned} onDone={() => setOpen(null)} />}
      </Dialog>
    </Paper>
  )
}

function Earlier({
  delivery,
  gateway,
  assigned,
  onDone,
}: {
  delivery: Delivery
  gateway: Gateway
  assigned: AgentConfig['assigned']
  onDone: () => void
}) {
  const queryClient = useQueryClient()
  const query = useQuery(queries.delivered(delivery.delivery_id))
  const send = useMutation({
    mutationFn: (text: string) => supervisorApi.pushConfig(gateway.instance_id, text, assigned?.config_hash ?? ''),
    onSuccess: async () => {
      await queryClient.invalidateQueries({ queryKey: keys.agent(gateway.instance_id) })
      onDone()
    },
  })
  return (
    <Shown query={query} what="This configuration cannot be shown">
      {(text) => (
        <Stack gap="sm">
          <YamlDiff left={assigned?.config ?? ''} right={text} leftName="Assigned now" rightName="This version" />
          {delivery.state === 'failed' && (
            <Alert color="orange" title="It was refused then">
              <pre className="fg-pre">{delivery.error}</pre>
            </Alert>
          )}
          {send.isError && <Failed error={send.error} what="Not sent" />}
          <Group justify="end">
            <Button variant="default" onClick={onDone}>
              Leave it as it is
            </Button>
            <ActionButton
              loading={send.isPending}
              reason={whyNot(gateway, 'AcceptsRemoteConfig')}
              onClick={() => send.mutate(text)}
            >
              Send this version again to 1 agent
            </ActionButton>
          </Group>
        </Stack>
      )}
    </Shown>
  )
}
