import { Alert, Button, Grid, Group, Paper, Stack, Text, Title } from '@mantine/core'
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query'
import { useState } from 'react'
import { Link, useParams } from 'react-router'
import { ActionButton } from '../components/ActionButton'
import { Dialog } from '../components/Dialog'
import { actionText, OperationBar } from '../components/OperationBar'
import { OperationTargets } from '../components/OperationTargets'
import { Page } from '../components/Page'
import { Empty, Failed, Shown } from '../components/States'
import { type Operation, operationApi } from '../services/api'
import { keys, queries } from '../services/queries'

/** Bulk operations: who ordered what for whom, and what came of it. */
export default function Operations() {
  const { id } = useParams()
  const list = useQuery(queries.operations)
  return (
    <Page title="Operations">
      <Grid gap="md">
        <Grid.Col span={{ base: 12, md: id ? 5 : 12 }}>
          <Shown query={list} what="Operations cannot be listed">
            {({ items }) =>
              items.length ? (
                <Stack gap="xs">
                  {items.map((one) => (
                    <Paper key={one.operation_id} bg={one.operation_id === id ? 'var(--fg-selected)' : undefined}>
                      <OperationBar operation={one} />
                    </Paper>
                  ))}
                </Stack>
              ) : (
                <Empty
                  title="No operation yet"
                  action={
                    <Button component={Link} to="/supervisors" variant="default" mt="sm">
                      Choose agents
                    </Button>
                  }
                >
                  Select agents in a list, then restart or configure all of them, a few at a time.
                </Empty>
              )
            }
          </Shown>
        </Grid.Col>
        {id && (
          <Grid.Col span={{ base: 12, md: 7 }}>
            <OneOperation id={id} />
          </Grid.Col>
        )}
      </Grid>
    </Page>
  )
}

function OneOperation({ id }: { id: string }) {
  const query = useQuery(queries.operation(id))
  return (
    <Paper component="section" aria-label="Operation">
      <Shown query={query} what="This operation cannot be shown">
        {(operation) => <Progress operation={operation} />}
      </Shown>
    </Paper>
  )
}

function Progress({ operation }: { operation: Operation }) {
  const queryClient = useQueryClient()
  const [isAsking, setAsking] = useState(false)
  const stop = useMutation({
    mutationFn: () => operationApi.cancel(operation.operation_id ?? ''),
    onSuccess: () => setAsking(false),
    onSettled: () =>
      Promise.all([
        queryClient.invalidateQueries({ queryKey: keys.operations }),
        queryClient.invalidateQueries({ queryKey: keys.operation(operation.operation_id ?? '') }),
      ]),
  })
  const isEnded = operation.state !== 'running'
  return (
    <Stack gap="sm">
      <Group justify="space-between">
        <Title order={2} size="h5">
          {actionText(operation.action)}
        </Title>
        <ActionButton
          variant="default"
          c="var(--fg-bad)"
          reason={isEnded ? `It has ended: ${operation.state}` : null}
          onClick={() => setAsking(true)}
        >
          Stop
        </ActionButton>
      </Group>
      <OperationBar operation={operation} isLink={false} />
      <Text size="xs" c="dimmed">
        {operation.max_unavailable} at once ·{' '}
        {operation.stop_on_failure ? 'begins nothing more after a failure' : 'goes on after failures'}
        {operation.config_hash && ` · configuration ${operation.config_hash.slice(0, 12)}`}
      </Text>
      <OperationTargets operation={operation} />
      <Dialog opened={isAsking} onClose={() => setAsking(false)} title="Stop this operation?">
        <Stack>
          <Alert color="orange">
            {operation.waiting.toLocaleString()} agents that wait are not begun. {operation.running.toLocaleString()} under way
            end by themselves; {operation.succeeded.toLocaleString()} that are done stay as they are.
          </Alert>
          {stop.isError && <Failed error={stop.error} what="Not stopped" />}
          <Group justify="end">
            <Button variant="default" onClick={() => setAsking(false)}>
              Let it go on
            </Button>
            <Button color="red.9" loading={stop.isPending} onClick={() => stop.mutate()}>
              Stop, leave {operation.waiting.toLocaleString()} out
            </Button>
          </Group>
        </Stack>
      </Dialog>
    </Stack>
  )
}
