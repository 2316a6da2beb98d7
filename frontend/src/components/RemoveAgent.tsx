import { Alert, Button, Group, Stack, Text } from '@mantine/core'
import { useMutation, useQueryClient } from '@tanstack/react-query'
import { useState } from 'react'
import { agentApi, type Gateway } from '../services/api'
import { keys } from '../services/queries'
import { ActionButton } from './ActionButton'
import { Dialog } from './Dialog'
import { RelativeTime } from './RelativeTime'
import { Failed } from './States'

/** Takes an agent that is gone for good out of the fleet, after asking. */
export function RemoveAgent({ gateway, onRemoved }: { gateway: Gateway; onRemoved: () => void }) {
  const queryClient = useQueryClient()
  const [isOpen, setOpen] = useState(false)
  const remove = useMutation({
    mutationFn: () => agentApi.remove(gateway.gateway_id),
    onSuccess: async () => {
      onRemoved()
      queryClient.removeQueries({ queryKey: keys.agent(gateway.instance_id) })
      await Promise.all([
        queryClient.resetQueries({ queryKey: keys.agents }),
        queryClient.invalidateQueries({ queryKey: keys.summary }),
        queryClient.invalidateQueries({ queryKey: keys.supervised }),
      ])
    },
  })
  return (
    <>
      <Text size="sm" mb="xs">
        For one that was decommissioned. By itself an agent leaves the fleet when it has been away for long.
      </Text>
      <ActionButton
        variant="default"
        c="var(--fg-bad)"
        reason={
          gateway.status === 'offline' ? null : 'It is connected, and would come back with its next report: stop its agent first'
        }
        onClick={() => setOpen(true)}
      >
        Remove…
      </ActionButton>
      <Dialog opened={isOpen} onClose={() => setOpen(false)} title={`Remove ${gateway.name}?`}>
        <Stack gap="sm">
          <Alert color="red">
            This one agent, away since <RelativeTime at={gateway.disconnected_at} />, leaves the fleet with its name, its labels, its
            configuration and what was logged of it. If its collector connects again, it comes as a new one. This cannot be undone.
          </Alert>
          {remove.isError && <Failed error={remove.error} what="Not removed" />}
          <Group justify="end">
            <Button variant="default" onClick={() => setOpen(false)}>
              Keep it
            </Button>
            <Button color="red.9" loading={remove.isPending} onClick={() => remove.mutate()}>
              Remove 1 agent
            </Button>
          </Group>
        </Stack>
      </Dialog>
    </>
  )
}
