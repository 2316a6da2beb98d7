import { Alert, Group, SegmentedControl, Select, Stack, Text } from '@mantine/core'
import { useState } from 'react'
import type { AgentConfig } from '../services/api'
import { ConfigStateBadge } from './ConfigStateBadge'
import { failingPlace } from './diff'
import { RelativeTime } from './RelativeTime'
import { Empty } from './States'
import { YamlDiff, YamlText } from './YamlText'

/** The effective configuration as one text; several files follow one another under their names. */
export function effectiveText(config: AgentConfig): string {
  const files = Object.entries(config.effective?.files ?? {})
  if (files.length === 1) return files[0]![1].body
  return files.map(([name, file]) => `# ${name || 'configuration'}\n${file.body}`).join('\n')
}

/** What an agent runs with, what it should run with, how far that got, and where the two differ. */
export function AgentConfigViewer({ config }: { config: AgentConfig }) {
  const texts: Record<string, string> = {
    ...(config.assigned ? { assigned: config.assigned.config } : {}),
    ...(config.effective ? { effective: effectiveText(config) } : {}),
  }
  const names: Record<string, string> = { assigned: 'Assigned, as it was sent', effective: 'Effective, as the agent reports it' }
  const [chosen, setChosen] = useState<string>()
  const [left, setLeft] = useState('assigned')
  const available = Object.keys(texts)
  const failed = config.state === 'failed' && config.error ? config.error : null
  const shown = chosen ?? (failed && texts.assigned ? 'assigned' : (available.at(-1) ?? ''))
  const marked = failed && texts.assigned ? (failingPlace(texts.assigned, failed)?.line ?? null) : null
  if (!available.length) {
    return (
      <Empty title="No configuration is known">
        The agent has not reported one: it lacks the capability ReportsEffectiveConfig, or has not come to it yet.
      </Empty>
    )
  }
  return (
    <Stack gap="sm">
      {failed && (
        <Alert color="red" title="The agent refused the assigned configuration; it runs with the one before">
          <pre className="fg-pre">{failed}</pre>
          {marked && (
            <Text size="sm" mt={4}>
              Probably line {marked}, marked below.
            </Text>
          )}
        </Alert>
      )}
      <Group justify="space-between" gap="xs">
        <SegmentedControl
          aria-label="Which configuration"
          value={shown}
          onChange={setChosen}
          data={[
            ...available.map((one) => ({ value: one, label: one === 'assigned' ? 'Assigned' : 'Effective' })),
            ...(available.length > 1 ? [{ value: 'diff', label: 'Compare' }] : []),
          ]}
        />
        <Group gap="xs">
          {config.state && (
            <>
              <Text size="xs" c="dimmed">
                Latest delivery
              </Text>
              <ConfigStateBadge state={config.state} error={config.error} />
              <Text size="xs" c="dimmed">
                <RelativeTime at={config.delivery?.updated_at} />
              </Text>
            </>
          )}
          {shown === 'effective' && (
            <Text size="xs" c="dimmed">
              reported <RelativeTime at={config.effective?.reported_at} />
            </Text>
          )}
        </Group>
      </Group>
      {shown === 'diff' ? (
        <>
          <Select
            w={260}
            aria-label="On the left"
            value={left}
            onChange={(value) => setLeft(value ?? 'assigned')}
            data={available.map((value) => ({ value, label: `On the left: ${value}` }))}
            allowDeselect={false}
          />
          <YamlDiff
            left={texts[left] ?? ''}
            right={texts[left === 'assigned' ? 'effective' : 'assigned'] ?? ''}
            leftName={names[left] ?? ''}
            rightName={names[left === 'assigned' ? 'effective' : 'assigned'] ?? ''}
          />
        </>
      ) : (
        <YamlText text={texts[shown] ?? ''} label={names[shown] ?? 'Configuration'} marked={shown === 'assigned' ? marked : null} />
      )}
    </Stack>
  )
}
