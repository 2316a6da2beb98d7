import { Alert, Button, Group, Stack, Text } from '@mantine/core'
import { IconRefresh } from '@tabler/icons-react'
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query'
import { useState } from 'react'
import { type Gateway, supervisorApi } from '../services/api'
import { keys } from '../services/queries'
import { ActionButton } from './ActionButton'
import { whyNot } from './capabilities'
import { Dialog } from './Dialog'
import { Failed } from './States'

const OVER = ['completed', 'failed', 'expired']
const WORDS: Record<string, string> = {
  pending: 'Ordered. It waits for the agent.',
  delivered: 'Sent. The new start of the collector is waited for.',
  completed: 'The collector has started anew.',
}

/** Restarts a collector through its supervisor, after asking, and shows what comes of it. */
export function RestartButton({ gateway }: { gateway: Gateway }) {
  const queryClient = useQueryClient()
  const [isOpen, setOpen] = useState(false)
  const order = useMutation({
    mutationFn: () => supervisorApi.restartAgent(gateway.instance_id),
    onSettled: () => queryClient.invalidateQueries({ queryKey: keys.agent(gateway.instance_id) }),
  })
  const command = useQuery({
    queryKey: [...keys.agent(gateway.instance_id), 'command', order.data?.command_id],
    queryFn: () => supervisorApi.getCommand(order.data!.command_id),
    enabled: Boolean(order.data),
    refetchInterval: (query) => (OVER.includes(query.state.data?.state ?? '') ? false : 1000),
  })
  const state = command.data?.state ?? order.data?.state
  const close = () => {
    setOpen(false)
    if (!state || OVER.includes(state)) order.reset()
  }
  return (
    <>
      <ActionButton
        variant="default"
        leftSection={<IconRefresh size={14} />}
        reason={whyNot(gateway, 'AcceptsRestartCommand')}
        onClick={() => setOpen(true)}
      >
        Restart via Supervisor
      </ActionButton>
      <Dialog opened={isOpen} onClose={close} title={`Restart the collector of ${gateway.name}?`}>
        <Stack gap="sm">
          {!state && (
            <>
              <Text size="sm">
                Its supervisor stops this one collector and starts it with the same configuration. Until it runs again it
                receives nothing; what it could not send yet may be lost.
              </Text>
              {gateway.status === 'offline' && (
                <Alert color="orange">It is not connected: the order waits for it and expires if it does not come back in time.</Alert>
              )}
            </>
          )}
          {state && (
            <Alert
              role="status"
              color={state === 'completed' ? 'green' : ['failed', 'expired'].includes(state) ? 'red' : 'blue'}
              title={`Restart ${state}`}
            >
              {WORDS[state] ?? command.data?.error ?? 'No reason was given.'}
            </Alert>
          )}
          {order.isError && <Failed error={order.error} what="Not restarted" />}
          <Group justify="end">
            <Button variant="default" onClick={close}>
              {state ? 'Close' : 'Leave it running'}
            </Button>
            {!state && (
              <Button color="red.9" loading={order.isPending} onClick={() => order.mutate()}>
                Restart 1 collector
              </Button>
            )}
          </Group>
        </Stack>
      </Dialog>
    </>
  )
}
