import { Alert, Button, Checkbox, Group, Paper, Text } from '@mantine/core'
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query'
import { useCallback, useMemo, useState } from 'react'
import { Link, useParams } from 'react-router'
import { ActionButton } from '../components/ActionButton'
import { AgentStatusBadge } from '../components/AgentStatusBadge'
import { ConfigStateBadge } from '../components/ConfigStateBadge'
import { whyNot } from '../components/capabilities'
import { failingPlace } from '../components/diff'
import { Page } from '../components/Page'
import { RelativeTime } from '../components/RelativeTime'
import { Failed, Loading, Shown } from '../components/States'
import { effectiveText } from '../components/stages'
import SupervisorConfigEditor from '../components/SupervisorConfigEditor'
import { type Problem, refusalsOf } from '../editor/checks'
import { keepDraft } from '../editor/drafts'
import type { Components } from '../editor/schema'
import { hasPipelines, withoutSupervisor } from '../editor/effective'
import { exampleOf } from '../editor/example'
import { type AgentConfig, type AgentVersion, type Gateway, supervisorApi } from '../services/api'
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
              version.isPending ? <Loading rows={8} /> : <Editor gateway={one} config={known} version={version.data} />
            }
          </Shown>
        )}
      </Shown>
    </Page>
  )
}

function Editor({ gateway, config, version }: { gateway: Gateway; config: AgentConfig; version: AgentVersion | undefined }) {
  const queryClient = useQueryClient()
  const id = gateway.instance_id
  const effective = useMemo(() => effectiveText(config), [config])
  const [initial] = useState(() => config.assigned?.config ?? withoutSupervisor(effective))
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
    mutationFn: (text: string) => supervisorApi.pushConfig(id, text),
    onSuccess: () => {
      keepDraft(id, null)
      return queryClient.invalidateQueries({ queryKey: keys.agent(id) })
    },
  })
  const delivery = useQuery({
    queryKey: [...keys.agent(id), 'delivery', send.data?.delivery_id],
    queryFn: () => supervisorApi.getDelivery(send.data!.delivery_id),
    enabled: Boolean(send.data),
    refetchInterval: (query) => (OVER.includes(query.state.data?.state ?? '') ? false : 1000),
  })
  const state = delivery.data?.state ?? send.data?.state
  const sent = send.data ? (send.variables ?? initial) : initial
  const refusals = useMemo<Problem[]>(() => {
    if (send.variables !== now.text) return [] // it is another text by now
    const found = refusalsOf(send.error)
    const words = delivery.data?.state === 'failed' ? (delivery.data.error ?? '') : ''
    const place = words ? failingPlace(now.text, words) : null
    if (place) found.push({ severity: 'error', message: place.words, line: place.line, column: 1, endColumn: 200 })
    return found
  }, [send.error, send.variables, delivery.data, now.text])
  const change = useCallback((text: string, problems: Problem[]) => setNow({ text, problems }), [])

  const errors = now.problems.filter((one) => one.severity === 'error' && !refusals.includes(one)).length
  const reason =
    whyNot(gateway, 'AcceptsRemoteConfig') ??
    (!now.text.trim()
      ? 'There is nothing to send'
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
          {state === 'failed' ? (
            <pre className="fg-pre">{delivery.data?.error ?? 'The agent gave no reason.'}</pre>
          ) : (
            WORDS[state]
          )}
        </Alert>
      )}
      {send.isError && <Failed error={send.error} what="Not sent; what you wrote is still here" />}
      <SupervisorConfigEditor
        draftKey={id}
        initial={initial}
        sent={sent}
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
