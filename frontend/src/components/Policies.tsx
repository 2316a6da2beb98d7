import { Alert, Button, Group, NumberInput, SegmentedControl, Stack, Table, TagsInput, Text, TextInput } from '@mantine/core'
import { useDebouncedValue } from '@mantine/hooks'
import { keepPreviousData, useMutation, useQuery, useQueryClient } from '@tanstack/react-query'
import { type ReactNode, useState } from 'react'
import { type Policy, type PolicyBody, type PolicyEffect, policyApi } from '../services/api'
import { keys, queries } from '../services/queries'
import { ActionButton } from './ActionButton'
import { agents } from './counts'
import { Dialog } from './Dialog'
import { Labels } from './Labels'
import { labelsOf } from './NewToken'
import { RelativeTime } from './RelativeTime'
import { Failed, Shown } from './States'

const DEFAULT = 'default'
const TYPING_MILLISECONDS = 400
const SIGNALS = ['own_logs', 'own_metrics', 'own_traces'] as const
const TITLES = { own_logs: 'Own logs', own_metrics: 'Own metrics', own_traces: 'Own traces' }
const said = (value: boolean | null | undefined) => (value == null ? 'says nothing' : value ? 'on' : 'off')
const collectors = (number: number) => `${number.toLocaleString()} ${number === 1 ? 'collector' : 'collectors'}`

/** What agents are offered by their labels; each change says first what it does to how many. */
export function Policies() {
  const query = useQuery(queries.policies)
  const [edited, setEdited] = useState<Policy | 'new' | null>(null)
  const [deleted, setDeleted] = useState<Policy | null>(null)
  return (
    <Shown query={query} what="Policies cannot be listed">
      {({ items }) => (
        <>
          <Table aria-label="Policies">
            <Table.Thead>
              <Table.Tr>
                {['Policy', 'For agents with', 'Logs', 'Metrics', 'Traces', 'Heartbeat', 'Changed', ''].map((title) => (
                  <Table.Th key={title}>{title || <span className="fg-hidden">Actions</span>}</Table.Th>
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
                  {SIGNALS.map((signal) => (
                    <Table.Td key={signal}>{said(policy[signal])}</Table.Td>
                  ))}
                  <Table.Td>{policy.heartbeat_interval_seconds ? `${policy.heartbeat_interval_seconds} s` : 'says nothing'}</Table.Td>
                  <Table.Td>
                    <RelativeTime at={policy.updated_at} /> {policy.updated_by && `by ${policy.updated_by}`}
                  </Table.Td>
                  <Table.Td>
                    <Group gap="xs" wrap="nowrap" justify="end">
                      <Button variant="default" aria-label={`Change ${policy.name}`} onClick={() => setEdited(policy)}>
                        Change
                      </Button>
                      <ActionButton
                        variant="default"
                        c="var(--fg-bad)"
                        aria-label={`Delete ${policy.name}`}
                        reason={policy.name === DEFAULT ? 'The default policy stays; it can be changed' : null}
                        onClick={() => setDeleted(policy)}
                      >
                        Delete
                      </ActionButton>
                    </Group>
                  </Table.Td>
                </Table.Tr>
              ))}
            </Table.Tbody>
          </Table>
          <Button mt="sm" onClick={() => setEdited('new')}>
            New policy
          </Button>
          <Dialog
            opened={edited !== null}
            onClose={() => setEdited(null)}
            size="lg"
            title={edited === 'new' ? 'New policy' : `Policy ${edited?.name}`}
          >
            {edited && (
              <PolicyForm
                policy={edited === 'new' ? null : edited}
                taken={items.map((one) => one.name)}
                onDone={() => setEdited(null)}
              />
            )}
          </Dialog>
          <Dialog opened={deleted !== null} onClose={() => setDeleted(null)} title={`Delete the policy ${deleted?.name}?`}>
            {deleted && <DeletePolicy policy={deleted} onDone={() => setDeleted(null)} />}
          </Dialog>
        </>
      )}
    </Shown>
  )
}

function PolicyForm({ policy, taken, onDone }: { policy: Policy | null; taken: string[]; onDone: () => void }) {
  const [name, setName] = useState(policy?.name ?? '')
  const [labels, setLabels] = useState(Object.entries(policy?.selector ?? {}).map(([key, value]) => `${key}=${value}`))
  const [rest, setRest] = useState<Omit<PolicyBody, 'selector'>>({
    own_logs: policy?.own_logs ?? null,
    own_metrics: policy?.own_metrics ?? null,
    own_traces: policy?.own_traces ?? null,
    heartbeat_interval_seconds: policy?.heartbeat_interval_seconds ?? null,
  })
  const body: PolicyBody = { ...rest, selector: labelsOf(labels) }
  const isDefault = policy?.name === DEFAULT
  const nameError =
    policy || !name
      ? null
      : taken.includes(name)
        ? 'There is a policy of this name; change that one'
        : /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/.test(name)
          ? null
          : 'Small letters, digits and -, at most 63'
  const incomplete = !name
    ? 'It needs a name'
    : (nameError ?? (!isDefault && !labels.length ? 'It needs a label: only the default policy is for all agents' : null))
  return (
    <Stack gap="sm">
      {!policy && (
        <TextInput
          label="Name"
          required
          data-autofocus
          value={name}
          error={nameError}
          onChange={(event) => setName(event.currentTarget.value.trim())}
        />
      )}
      {isDefault ? (
        <Text size="sm">It is for all agents, as far as no policy for their labels says otherwise.</Text>
      ) : (
        <TagsInput
          size="xs"
          label="For agents with all of these labels"
          description="key=value, Enter after each"
          required
          value={labels}
          onChange={setLabels}
        />
      )}
      {SIGNALS.map((signal) => (
        <Group key={signal} justify="space-between">
          <Text size="sm">{TITLES[signal]}</Text>
          <SegmentedControl
            size="xs"
            aria-label={TITLES[signal]}
            value={String(rest[signal] ?? null)}
            onChange={(value) => setRest({ ...rest, [signal]: JSON.parse(value) as boolean | null })}
            data={[
              { value: 'true', label: 'On' },
              { value: 'false', label: 'Off' },
              { value: 'null', label: 'Says nothing' },
            ]}
          />
        </Group>
      ))}
      <NumberInput
        label="Heartbeat interval in seconds"
        description="1 to 3600; empty says nothing"
        min={1}
        max={3600}
        clampBehavior="strict"
        allowDecimal={false}
        value={rest.heartbeat_interval_seconds ?? ''}
        onChange={(value) => setRest({ ...rest, heartbeat_interval_seconds: typeof value === 'number' ? value : null })}
      />
      <Change
        id={`put ${name} ${JSON.stringify(body)}`}
        verb="Save"
        leave="Leave it as it is"
        incomplete={incomplete}
        order={(dryRun) => policyApi.put(name, body, dryRun)}
        onDone={onDone}
      />
    </Stack>
  )
}

function DeletePolicy({ policy, onDone }: { policy: Policy; onDone: () => void }) {
  return (
    <Stack gap="sm">
      <Text size="sm">What it says, other policies or the default one say from then on.</Text>
      <Change
        id={`delete ${policy.name}`}
        verb="Delete"
        leave="Keep it"
        isDestructive
        incomplete={null}
        order={(dryRun) => policyApi.remove(policy.name, dryRun)}
        onDone={onDone}
      />
    </Stack>
  )
}

/** What a change would do to how many, and the button that does it: only what was told is done. */
function Change({
  id,
  verb,
  leave,
  isDestructive = false,
  incomplete,
  order,
  onDone,
}: {
  /** Names the change with all that it says. */
  id: string
  verb: string
  leave: ReactNode
  isDestructive?: boolean
  /** Why it cannot be asked for yet. */
  incomplete: string | null
  order: (dryRun: boolean) => Promise<{ effect: PolicyEffect }>
  onDone: () => void
}) {
  const queryClient = useQueryClient()
  const [settled] = useDebouncedValue(id, TYPING_MILLISECONDS)
  const preview = useQuery({
    queryKey: ['policy-effect', id],
    queryFn: () => order(true),
    enabled: !incomplete && settled === id,
    placeholderData: keepPreviousData,
    gcTime: 0, // the fleet may be another one the next time
  })
  const change = useMutation({
    mutationFn: () => order(false),
    onSuccess: async () => {
      await queryClient.invalidateQueries({ queryKey: keys.policies })
      onDone()
    },
  })
  const isTold = !incomplete && preview.isSuccess && !preview.isPlaceholderData
  const effect = isTold ? preview.data.effect : null
  const reason =
    incomplete ?? (effect ? null : preview.isError ? 'It cannot be done as it is' : 'What it would do is not known yet')
  return (
    <>
      <div role="status" aria-label="What it does">
        {effect && (
          <Alert color={effect.restarts ? 'orange' : 'blue'} title={effect.restarts ? `Restarts ${collectors(effect.restarts)}` : 'Restarts no collector'}>
            {effect.summary} {agents(effect.matching)} in all {effect.matching === 1 ? 'has' : 'have'} the labels.
          </Alert>
        )}
      </div>
      {!incomplete && preview.isError && <Failed error={preview.error} what="It would be refused" retry={() => void preview.refetch()} />}
      {change.isError && <Failed error={change.error} what={`Not done: ${verb.toLowerCase()}`} />}
      <Group justify="end">
        <Button variant="default" onClick={onDone}>
          {leave}
        </Button>
        <ActionButton
          color={isDestructive || effect?.restarts ? 'red.9' : undefined}
          reason={reason}
          loading={change.isPending}
          onClick={() => change.mutate()}
        >
          {verb}
          {effect && (effect.restarts ? `, restart ${collectors(effect.restarts)}` : effect.offers ? `, offer it to ${agents(effect.offers)}` : '')}
        </ActionButton>
      </Group>
    </>
  )
}
