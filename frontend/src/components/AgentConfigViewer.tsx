import { Alert, Group, NativeSelect, SegmentedControl, Stack, Table, Text } from '@mantine/core'
import { useQuery } from '@tanstack/react-query'
import { type ReactNode, useState } from 'react'
import { draft } from '../editor/drafts'
import type { AgentConfig } from '../services/api'
import { queries } from '../services/queries'
import { ConfigStateBadge } from './ConfigStateBadge'
import { FailedDelivery, placeOf, useCause } from './FailedDelivery'
import { RelativeTime } from './RelativeTime'
import { Empty, Shown } from './States'
import { type Stage, stagesOf } from './stages'
import { YamlDiff, YamlText } from './YamlText'

/** What was written for an agent, what it should run with, what it runs with, and where any two of them differ. */
export function AgentConfigViewer({ config }: { config: AgentConfig }) {
  const history = useQuery(queries.history(config.instance_id))
  const stages = stagesOf(config, history.data ?? null, draft(config.instance_id)?.text ?? null)
  const [chosen, setChosen] = useState<string>()
  const [sides, setSides] = useState<{ left?: string; right?: string }>({})
  const stage = (key: string | undefined) => stages.find((one) => one.key === key)
  const failed = config.state === 'failed' ? config.delivery : null
  const cause = useCause(config.instance_id, failed)
  if (!stages.length) {
    return (
      <Empty title="No configuration is known">
        The agent has not reported one: it lacks the capability ReportsEffectiveConfig, or has not come to it yet.
      </Empty>
    )
  }
  const isCompared = chosen === 'diff' && stages.length > 1
  const shown = stage(chosen) ?? (failed ? stage('assigned') : undefined) ?? stages.at(-1)!
  const left = stage(sides.left) ?? stage('assigned') ?? stages[0]!
  const right = stage(sides.right) ?? stages.at(-1)!
  const marked = failed && config.assigned ? (placeOf(config.assigned.config, failed, cause)?.line ?? null) : null
  const choices = stages.map(({ key, title }) => ({ value: key as string, label: title }))
  return (
    <Stack gap="sm">
      {failed && (
        <Alert color="red" title={cause?.statement ?? 'The assigned configuration failed'}>
          <FailedDelivery delivery={failed} cause={cause} />
          {marked && (
            <Text size="sm" mt={4}>
              Probably line {marked}, marked below.
            </Text>
          )}
        </Alert>
      )}
      <Table aria-label="Configurations of this agent" verticalSpacing={4} fz="xs">
        <Table.Thead>
          <Table.Tr>
            {['Which', 'Hash', 'Delivery', 'When', 'What it is'].map((title) => (
              <Table.Th key={title}>{title}</Table.Th>
            ))}
          </Table.Tr>
        </Table.Thead>
        <Table.Tbody>
          {stages.map((one) => (
            <Table.Tr key={one.key}>
              <Table.Th scope="row">{one.title}</Table.Th>
              <Table.Td className="fg-mono">{one.hash?.slice(0, 12)}</Table.Td>
              <Table.Td>
                {one.delivery && <ConfigStateBadge state={one.delivery.state} error={one.delivery.error} />}
              </Table.Td>
              <Table.Td style={{ whiteSpace: 'nowrap' }}>
                <RelativeTime at={one.at} never="" />
              </Table.Td>
              <Table.Td>{one.says}</Table.Td>
            </Table.Tr>
          ))}
        </Table.Tbody>
      </Table>
      <Group justify="space-between" gap="xs">
        <SegmentedControl
          aria-label="Which configuration"
          value={isCompared ? 'diff' : shown.key}
          onChange={setChosen}
          data={[...choices, ...(stages.length > 1 ? [{ value: 'diff', label: 'Compare' }] : [])]}
        />
        {isCompared && (
          <Group gap="xs">
            {(['left', 'right'] as const).map((side) => (
              <NativeSelect
                key={side}
                size="xs"
                aria-label={`On the ${side}`}
                value={(side === 'left' ? left : right).key}
                onChange={(event) => setSides({ ...sides, [side]: event.currentTarget.value })}
                data={choices.map(({ value, label }) => ({ value, label: `On the ${side}: ${label.toLowerCase()}` }))}
              />
            ))}
          </Group>
        )}
      </Group>
      {isCompared ? (
        <WithText stage={left}>
          {(before) => (
            <WithText stage={right}>
              {(after) => <YamlDiff left={before} right={after} leftName={left.name} rightName={right.name} />}
            </WithText>
          )}
        </WithText>
      ) : (
        <WithText stage={shown}>
          {(text) => (
            <YamlText text={text} label={shown.name} marked={shown.hash === config.assigned?.config_hash ? marked : null} />
          )}
        </WithText>
      )}
    </Stack>
  )
}

/** A stage's text, fetched where it is not at hand. */
function WithText({ stage, children }: { stage: Stage; children: (text: string) => ReactNode }) {
  const id = stage.text === null ? stage.delivery?.delivery_id : undefined
  const query = useQuery({ ...queries.delivered(id ?? ''), enabled: id !== undefined })
  if (stage.text !== null) return children(stage.text)
  if (id === undefined) return <Empty title="Its text is not known here">{stage.says}</Empty>
  return (
    <Shown query={query} what="This configuration cannot be shown">
      {children}
    </Shown>
  )
}
