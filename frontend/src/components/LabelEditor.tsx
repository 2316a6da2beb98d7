import { Button, Group, Stack, TagsInput, TextInput } from '@mantine/core'
import { useMutation, useQueryClient } from '@tanstack/react-query'
import { useState } from 'react'
import { agentApi, type Gateway } from '../services/api'
import { keys } from '../services/queries'
import { Labels } from './Labels'
import { labelsOf } from './NewToken'
import { Failed } from './States'

/** Name and labels of an agent, which an operator may change. */
export function LabelEditor({ gateway }: { gateway: Gateway }) {
  const queryClient = useQueryClient()
  const [draft, setDraft] = useState<{ name: string; labels: string[] } | null>(null)
  const save = useMutation({
    mutationFn: ({ name, labels }: { name: string; labels: string[] }) => {
      const wanted = labelsOf(labels)
      const gone = Object.keys(gateway.labels).filter((key) => !(key in wanted))
      return agentApi.update(gateway.gateway_id, {
        ...(name === gateway.name ? {} : { name: name || null }),
        labels: { ...wanted, ...Object.fromEntries(gone.map((key) => [key, null])) },
      })
    },
    onSuccess: async (changed) => {
      queryClient.setQueryData([...keys.agent(gateway.instance_id), 'gateway'], changed)
      setDraft(null)
      await queryClient.invalidateQueries({ queryKey: keys.agent(gateway.instance_id) })
    },
  })
  if (!draft) {
    return (
      <Group justify="space-between" wrap="nowrap">
        <Labels labels={gateway.labels} max={20} />
        <Button
          variant="subtle"
          onClick={() =>
            setDraft({
              name: gateway.name,
              labels: Object.entries(gateway.labels).map(([key, value]) => `${key}=${value}`),
            })
          }
        >
          Change
        </Button>
      </Group>
    )
  }
  return (
    <Stack gap="xs">
      <TextInput
        label="Name"
        description="Empty gives it its default name again"
        value={draft.name}
        onChange={(event) => setDraft({ ...draft, name: event.currentTarget.value })}
      />
      <TagsInput
        size="xs"
        label="Labels"
        description="key=value, Enter after each"
        value={draft.labels}
        onChange={(labels) => setDraft({ ...draft, labels })}
      />
      {save.isError && <Failed error={save.error} what="Not saved" />}
      <Group justify="end">
        <Button variant="default" onClick={() => setDraft(null)}>
          Cancel
        </Button>
        <Button loading={save.isPending} onClick={() => save.mutate(draft)}>
          Save
        </Button>
      </Group>
    </Stack>
  )
}
