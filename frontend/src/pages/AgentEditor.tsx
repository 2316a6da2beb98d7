import { Alert, Button, Checkbox, Group, Paper, Stack, Text } from '@mantine/core'
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query'
import { useCallback, useMemo, useState } from 'react'
import { Link, useParams } from 'react-router'
import { ActionButton } from '../components/ActionButton'
import { AgentStatusBadge } from '../components/AgentStatusBadge'
import { ConfigStateBadge } from '../components/ConfigStateBadge'
import { whyNot } from '../components/capabilities'
import { FailedDelivery, placeOf, useCause } from '../components/FailedDelivery'
import { Page } from '../components/Page'
import { RelativeTime } from '../components/RelativeTime'
import { Failed, Loading, Shown } from '../components/States'
import { effectiveText } from '../components/stages'
import SupervisorConfigEditor from '../components/SupervisorConfigEditor'
import { type Problem, refusalsOf } from '../editor/checks'
import { draft, dropDraft } from '../editor/drafts'
import type { Components } from '../editor/schema'
import { hasPipelines, withoutSupervisor } from '../editor/effective'
import { exampleOf } from '../editor/example'
import { ApiError, type AgentConfig, type AgentVersion, type Gateway, supervisorApi } from '../services/api'
import { keys, queries } from '../services/queries'

const OVER = ['applied', 'failed', 'superseded']
const WORDS: Record<string, string> = {
  pending: 'It waits for the agent to come for it.',
  offered: 'It was sent. The agent has not said anything on it yet.',
  applying: 'The agent is applying it.',
  applied: 'The agent runs with it.',
  superseded: 'A newer configuration took its place.',
}

/** Writes an agent's configuration and follows it until the agent runs with it or refuses it. */
export default function AgentEditor() {
  const { id = '' } = useParams()
  const gateway = useQuery(queries.gateway(id))
  const config = useQuery({ ...queries.config(id), refetchInterval: false })
  const version = useQuery(queries.version(id))
  return (
    <Page
      title="Edit configuration"
      aside={gateway.data?.name}
      actions={
        <Button component={Link} to={`/agents/${id}/config`} variant="subtle">
          Back to the agent
        </Button>
      }
    >
      <Shown query={gateway} what="This agent cannot be shown">
        {(one) => (
          <Shown query={config} what="Its configuration cannot be shown">
            {(known) =>
              version.isPending ? <Loading rows={8} /> : <Editor gateway={one} config={known} isFresh={!config.isError} version={version.data} />
            }
          </Shown>
        )}
      </Shown>
    </Page>
  )
}

const isChanged = (error: unknown) => error instanceof ApiError && error.status === 412

interface Props {
  gateway: Gateway
  config: AgentConfig
  /** Whether that is what the server said last. */
  isFresh: boolean
  version: AgentVersion | undefined
}

function Editor({ gateway, config, isFresh, version }: Props) {
  const queryClient = useQueryClient()
  const id = gateway.instance_id
  const effective = useMemo(() => effectiveText(config), [config])
  const [initial] = useState(() => config.assigned?.config ?? withoutSupervisor(effective))
  // The configuration that its author has seen, and which is replaced by what is written.
  const [seen, setSeen] = useState<{ hash: string; text: string | null }>(() => {
    const [hash, kept] = [config.assigned?.config_hash ?? '', draft(id)?.base]
    return kept === undefined || kept === hash ? { hash, text: initial } : { hash: kept, text: null }
  })
  const sent = seen.text ?? initial
  const available = useMemo<Components>(
    () =>
      Object.fromEntries(
        Object.entries(version?.components ?? {}).map(([kind, group]) => [kind, Object.keys(group.components)]),
      ),
    [version],
  )
  const [now, setNow] = useState<{ text: string; problems: Problem[] }>({ text: initial, problems: [] })
  const [force, setForce] = useState(false)
  const [replacement, setReplacement] = useState<{ text: string }>()
  const send = useMutation({
    mutationFn: (text: string) => supervisorApi.pushConfig(id, text, seen.hash),
    onSuccess: (delivery, text) => {
      setSeen({ hash: delivery.config_hash, text })
      dropDraft(id, text)
    },
    onSettled: () => queryClient.invalidateQueries({ queryKey: keys.agent(id) }),
  })
  const delivery = useQuery({
    queryKey: [...keys.agent(id), 'delivery', send.data?.delivery_id],
    queryFn: () => supervisorApi.getDelivery(send.data!.delivery_id),
    enabled: Boolean(send.data),
    refetchInterval: (query) => (OVER.includes(query.state.data?.state ?? '') ? false : 1000),
  })
  const state = delivery.data?.state ?? send.data?.state
  const failed = delivery.data?.state === 'failed' ? delivery.data : null
  const cause = useCause(id, failed)
  const refusals = useMemo<Problem[]>(() => {
    if (send.variables !== now.text) return [] // it is another text by now
    const found = refusalsOf(send.error)
    const place = failed ? placeOf(now.text, failed, cause) : null
    if (place) found.push({ severity: 'error', message: place.words, line: place.line, column: 1, endColumn: 200 })
    return found
  }, [send.error, send.variables, failed, cause, now.text])
  const change = useCallback((text: string, problems: Problem[]) => setNow({ text, problems }), [])

  const latest = { hash: config.assigned?.config_hash ?? '', text: config.assigned?.config ?? '' }
  const isOwn = send.isPending || (send.data && config.delivery?.delivery_id === send.data.delivery_id)
  const isOther = isFresh && !isOwn && latest.hash !== seen.hash && latest.text !== seen.text
  const errors = now.problems.filter((one) => one.severity === 'error' && !refusals.includes(one)).length
  const reason =
    whyNot(gateway, 'AcceptsRemoteConfig') ??
    (!now.text.trim()
      ? 'There is nothing to send'
      : isOther
        ? 'Another configuration was assigned meanwhile; say above which one counts'
        : errors && !force
          ? `${errors} ${errors === 1 ? 'error is' : 'errors are'} left; correct them, or choose to send it all the same`
          : null)
  return (
    <>
      {state && (
        <Alert
          role="status"
          aria-label="Delivery"
          color={state === 'applied' ? 'green' : state === 'failed' ? 'red' : 'blue'}
          title={
            <>
              Delivery <ConfigStateBadge state={state} /> <RelativeTime at={delivery.data?.updated_at} never="" />
            </>
          }
        >
          {failed ? (
            <Stack gap="xs">
              <FailedDelivery delivery={failed} cause={cause} />
              <Link to={`/agents/${id}/diagnosis`}>Everything that is known of it</Link>
            </Stack>
          ) : (
            WORDS[state]
          )}
        </Alert>
      )}
      {isOther && (
        <Alert
          role="status"
          color="orange"
          title={
            <>
              Another configuration was assigned to this agent <RelativeTime at={config.delivery?.created_at} never="meanwhile" />
            </>
          }
        >
          <Text size="sm" mb="xs">
            What you wrote began from the one before, and would replace the new one unseen. Compare them below, then say which one
            counts.
          </Text>
          <Group gap="xs">
            <Button
              variant="default"
              onClick={() => {
                setSeen(latest)
                setReplacement({ text: latest.text })
              }}
            >
              Take the new one
            </Button>
            <Button variant="default" onClick={() => setSeen(latest)}>
              Go on with mine, to replace it
            </Button>
          </Group>
        </Alert>
      )}
      {send.isError && !(isOther && isChanged(send.error)) && <Failed error={send.error} what="Not sent; what you wrote is still here" />}
      {!config.assigned && !state && initial && (
        <Text size="sm" c="dimmed">
          {hasPipelines(initial)
            ? 'It begins with what the collector runs now, without what its supervisor adds and will add again. The agent gets the whole of what you send.'
            : 'Nothing runs on this agent yet. Write here what it should run, or start from an example; nothing changes before you send it.'}
        </Text>
      )}
      <SupervisorConfigEditor
        draftKey={id}
        base={seen.hash}
        initial={initial}
        sent={sent}
        {...(isOther ? { other: latest.text } : {})}
        effective={effective}
        available={available}
        agent={gateway.name}
        refusals={refusals}
        onChange={change}
        {...(replacement ? { replacement } : {})}
      />
      <Paper p="xs">
        <Group justify="space-between">
          <Group gap="sm">
            <AgentStatusBadge status={gateway.status} />
            {gateway.status === 'offline' && <Text size="sm">It gets the configuration when it is back.</Text>}
            {now.text !== sent && (
              <Button variant="subtle" onClick={() => setReplacement({ text: sent })}>
                Undo all changes
              </Button>
            )}
            {!hasPipelines(now.text) && exampleOf(available) && (
              <Button variant="subtle" onClick={() => setReplacement({ text: exampleOf(available)! })}>
                Start from an example
              </Button>
            )}
            {effective && now.text !== withoutSupervisor(effective) && (
              <Button variant="subtle" onClick={() => setReplacement({ text: withoutSupervisor(effective) })}>
                Start from the effective one
              </Button>
            )}
          </Group>
          <Group gap="sm">
            {errors > 0 && (
              <Checkbox
                label="Send it all the same"
                checked={force}
                onChange={(event) => setForce(event.currentTarget.checked)}
              />
            )}
            <ActionButton size="sm" loading={send.isPending} reason={reason} onClick={() => send.mutate(now.text)}>
              Save and Send to Agent
            </ActionButton>
          </Group>
        </Group>
      </Paper>
    </>
  )
}
