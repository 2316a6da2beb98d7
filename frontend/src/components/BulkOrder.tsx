import { Alert, Checkbox, Group, Loader, NumberInput, Radio, ScrollArea, Stack, Text } from '@mantine/core'
import { useMutation, useQuery } from '@tanstack/react-query'
import { lazy, Suspense, useCallback, useMemo, useState } from 'react'
import { useNavigate } from 'react-router'
import { lacks, type Problem, refusalsOf, shared } from '../editor/checks'
import { dropDraft } from '../editor/drafts'
import { fleetApi, type NewOperation, operationApi } from '../services/api'
import { ActionButton } from './ActionButton'
import { agents } from './counts'
import { Dialog } from './Dialog'
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
    <Dialog
      opened
      onClose={props.onClose}
      size={isPush ? '80%' : 'lg'}
      title={isPush ? 'Send one configuration to many' : 'Restart collectors'}
    >
      <Order {...props} />
    </Dialog>
  )
}

const lackOf = (number: number, all: number) =>
  `${agents(number)} of ${all.toLocaleString()} ${number === 1 ? 'has' : 'have'}`

function Order({ action, ids, isEverything }: Props) {
  const navigate = useNavigate()
  const [atOnce, setAtOnce] = useState(1)
  const [stopOnFailure, setStopOnFailure] = useState(true)
  const [{ text: config, problems }, setConfig] = useState<{ text: string; problems: Problem[] }>({ text: '', problems: [] })
  const [toLacking, setToLacking] = useState('')
  const [force, setForce] = useState(false)
  const isPush = action === 'push_config'
  const order = {
    action,
    max_unavailable: atOnce,
    stop_on_failure: stopOnFailure,
  } satisfies Partial<NewOperation>
  // The answer of a dry run with any valid text says who can take part; the text itself is checked when it is sent.
  const preview = useQuery({
    queryKey: ['dry-run', action, ids],
    queryFn: () =>
      operationApi.begin({ ...order, instance_ids: ids, dry_run: true, ...(isPush ? { config: 'receivers: {}' } : {}) }),
    staleTime: 30_000,
  })
  const targets = preview.data?.targets
  const components = useQuery({
    queryKey: ['components', ids],
    queryFn: () => fleetApi.components(ids),
    enabled: isPush,
    staleTime: 60_000,
  })
  const takingPart = useMemo(
    () => new Set(targets?.filter((target) => target.state !== 'skipped').map((target) => target.instance_id)),
    [targets],
  )
  const built = useMemo(
    () =>
      (components.data ?? [])
        .map((one) => ({ ...one, instance_ids: one.instance_ids.filter((id) => takingPart.has(id)) }))
        .filter((one) => one.instance_ids.length),
    [components.data, takingPart],
  )
  const missing = useMemo(() => lacks(config, built), [config, built])
  const lacking = useMemo(() => new Set(missing.flatMap((one) => one.instance_ids)), [missing])
  const silent = built.reduce((sum, one) => sum + (one.components ? 0 : one.instance_ids.length), 0)
  const offered = useMemo(() => shared(built), [built])
  const isLeftOut = lacking.size > 0 && toLacking === 'leave-out'
  const begin = useMutation({
    mutationFn: (text: string) =>
      operationApi.begin({
        ...order,
        instance_ids: isLeftOut ? ids.filter((id) => !lacking.has(id)) : ids,
        dry_run: false,
        ...(isPush ? { config: text } : {}),
      }),
    onSuccess: (operation, text) => {
      if (isPush) dropDraft('bulk', text)
      void navigate(`/operations/${operation.operation_id}`)
    },
  })
  const refusals = useMemo(() => (begin.variables === config ? refusalsOf(begin.error) : []), [begin.error, begin.variables, config])
  const marked = useMemo<Problem[]>(
    () => [
      ...refusals,
      ...missing.map((one) => ({
        severity: 'warning' as const,
        message: `${lackOf(one.instance_ids.length, takingPart.size)} no ${one.kind.slice(0, -1)} “${one.type}”.`,
        line: one.line,
        column: one.column,
        endColumn: one.endColumn,
      })),
    ],
    [refusals, missing, takingPart.size],
  )
  const change = useCallback((text: string, found: Problem[]) => setConfig({ text, problems: found }), [])
  const able = targets && takingPart.size - (isLeftOut ? lacking.size : 0)
  const skipped = targets?.filter((target) => target.state === 'skipped') ?? []
  const errors = isPush ? problems.filter((one) => one.severity === 'error' && !refusals.includes(one)).length : 0
  const reason = !targets
    ? 'Who can take part is not known yet'
    : !able
      ? 'No agent is left that can take part'
      : isPush && !config.trim()
        ? 'There is no configuration yet'
        : errors && !force
          ? `${errors} ${errors === 1 ? 'error is' : 'errors are'} left; correct them, or choose to send it all the same`
          : lacking.size && !toLacking
            ? `Say what to do with the ${agents(lacking.size)} that cannot run it`
            : null
  return (
    <Stack gap="sm">
      <Text size="sm">
        {isPush
          ? 'Each agent gets this configuration in place of the one that it has. A collector that refuses it keeps running with its last good one.'
          : 'Each collector is stopped and started by its supervisor. What it has in memory is flushed as far as its exporters let it; it receives nothing meanwhile.'}
      </Text>
      {isEverything && (
        <Alert color="orange" title="These are all of them">
          Every agent of the fleet that can take this is selected.
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
          <SupervisorConfigEditor draftKey="bulk" initial="" height={320} offered={offered} refusals={marked} onChange={change} />
        </Suspense>
      )}
      {components.isError && (
        <Failed error={components.error} what="What the agents were built with is not known" retry={() => void components.refetch()} />
      )}
      {missing.length > 0 && (
        <Alert color="orange" title={`${lackOf(lacking.size, takingPart.size)} not all that it needs`}>
          <ul style={{ margin: 0, paddingLeft: 18 }} aria-label="Missing components">
            {missing.map((one) => (
              <li key={`${one.kind}/${one.type}`}>
                {one.kind.slice(0, -1)} <b>{one.type}</b>, line {one.line}: {agents(one.instance_ids.length)} of{' '}
                {takingPart.size.toLocaleString()} {one.instance_ids.length === 1 ? 'was' : 'were'} not built with it
              </li>
            ))}
          </ul>
          <Radio.Group value={toLacking} onChange={setToLacking} label="They would refuse it" mt="xs">
            <Group mt={4}>
              <Radio value="leave-out" label={`Leave the ${agents(lacking.size)} out`} />
              <Radio value="send" label="Send it to them all the same" />
            </Group>
          </Radio.Group>
        </Alert>
      )}
      {isPush && silent > 0 && (
        <Text size="xs" c="dimmed">
          {agents(silent)} did not tell what {silent === 1 ? 'it was' : 'they were'} built with; their supervisors check it when it
          comes.
        </Text>
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
        {errors > 0 && (
          <Checkbox label="Send it all the same" checked={force} onChange={(event) => setForce(event.currentTarget.checked)} />
        )}
        <ActionButton
          size="sm"
          color={isPush ? undefined : 'red.9'}
          reason={reason}
          loading={begin.isPending}
          onClick={() => begin.mutate(config)}
        >
          {isPush ? 'Send to' : 'Restart'} {able === undefined ? '…' : agents(able)}
        </ActionButton>
      </Group>
    </Stack>
  )
}
