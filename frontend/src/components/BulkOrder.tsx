import { Alert, Button, Checkbox, Group, Loader, Modal, NumberInput, ScrollArea, Stack, Text } from '@mantine/core'
import { useMutation, useQuery } from '@tanstack/react-query'
import { lazy, Suspense, useState } from 'react'
import { useNavigate } from 'react-router'
import { type NewOperation, operationApi } from '../services/api'
import { agents } from './counts'
import { Failed, Loading } from './States'

const SupervisorConfigEditor = lazy(() => import('./SupervisorConfigEditor'))

interface Props {
  action: NewOperation['action']
  ids: string[]
  isEverything: boolean
  onClose: () => void
}

/** Asks before many agents are restarted or configured: what will happen, to how many, and who is left out. */
export default function BulkOrder(props: Props) {
  const isPush = props.action === 'push_config'
  return (
    <Modal
      opened
      onClose={props.onClose}
      size={isPush ? '80%' : 'lg'}
      title={isPush ? 'Send one configuration to many' : 'Restart collectors'}
    >
      <Order {...props} />
    </Modal>
  )
}

function Order({ action, ids, isEverything }: Props) {
  const navigate = useNavigate()
  const [atOnce, setAtOnce] = useState(1)
  const [stopOnFailure, setStopOnFailure] = useState(true)
  const [config, setConfig] = useState('')
  const isPush = action === 'push_config'
  const order: NewOperation = {
    action,
    instance_ids: ids,
    max_unavailable: atOnce,
    stop_on_failure: stopOnFailure,
    dry_run: false,
    ...(isPush ? { config } : {}),
  }
  // The answer of a dry run with any valid text says who can take part; the text itself is checked when it is sent.
  const preview = useQuery({
    queryKey: ['dry-run', action, ids],
    queryFn: () =>
      operationApi.begin({ ...order, dry_run: true, ...(isPush ? { config: 'receivers: {}' } : {}) }),
    staleTime: 30_000,
  })
  const begin = useMutation({
    mutationFn: () => operationApi.begin(order),
    onSuccess: (operation) => void navigate(`/operations/${operation.operation_id}`),
  })
  const able = preview.data?.targets.filter((target) => target.state !== 'skipped').length
  const skipped = preview.data?.targets.filter((target) => target.state === 'skipped') ?? []
  return (
    <Stack gap="sm">
      <Text size="sm">
        {isPush
          ? 'Each agent gets this configuration in place of the one that it has. A collector that refuses it keeps running with its last good one.'
          : 'Each collector is stopped and started by its supervisor. What it has in memory is flushed as far as its exporters let it; it receives nothing meanwhile.'}
      </Text>
      {isEverything && (
        <Alert color="orange" title="These are all of them">
          No filter is set: every agent of the list is selected.
        </Alert>
      )}
      {preview.isError && <Failed error={preview.error} retry={() => void preview.refetch()} />}
      {preview.isPending && (
        <Group gap="xs">
          <Loader size="xs" />
          <Text size="sm">Looking at who can take part…</Text>
        </Group>
      )}
      {able === 0 && (
        <Alert color="orange" title="⚠ 0 agents can take part">
          Nothing would happen. The reasons are below.
        </Alert>
      )}
      {skipped.length > 0 && (
        <div>
          <Text size="sm" fw={600}>
            {agents(skipped.length)} will be left out
          </Text>
          <ScrollArea.Autosize mah={120} tabIndex={0}>
            {skipped.slice(0, 100).map((target) => (
              <Text size="xs" key={target.instance_id}>
                <b>{target.name}</b>: {target.reason}
              </Text>
            ))}
          </ScrollArea.Autosize>
        </div>
      )}
      {isPush && (
        <Suspense fallback={<Loading rows={6} />}>
          <SupervisorConfigEditor draftKey="bulk" initial="" height={320} onChange={setConfig} />
        </Suspense>
      )}
      <Group align="end">
        <NumberInput
          label="At once"
          description="Agents under way at the same time"
          min={1}
          max={10_000}
          value={atOnce}
          onChange={(value) => setAtOnce(Number(value) || 1)}
          w={200}
        />
        <Checkbox
          label="Begin nothing more after a failure"
          checked={stopOnFailure}
          onChange={(event) => setStopOnFailure(event.currentTarget.checked)}
          mb={6}
        />
      </Group>
      {begin.isError && <Failed error={begin.error} what="Not begun" />}
      <Group justify="end">
        <Button
          size="sm"
          color={isPush ? undefined : 'red.9'}
          disabled={!able || (isPush && !config.trim())}
          loading={begin.isPending}
          onClick={() => begin.mutate()}
        >
          {isPush ? 'Send to' : 'Restart'} {able === undefined ? '…' : agents(able)}
        </Button>
      </Group>
    </Stack>
  )
}
