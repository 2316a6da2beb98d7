import { Alert, Button, Group, NumberInput, Select, Stack, TagsInput, TextInput } from '@mantine/core'
import { useMutation, useQueryClient } from '@tanstack/react-query'
import { useState } from 'react'
import { type Schemas, tokenApi } from '../services/api'
import { keys } from '../services/queries'
import { CopyBlock } from './CopyBlock'
import { Failed } from './States'

const LASTING = { '1': 'an hour', '24': 'a day', '168': 'a week', '720': '30 days', '': 'no end' } as const

/** Labels from `key=value` texts. */
export function labelsOf(texts: string[]): Record<string, string> {
  return Object.fromEntries(
    texts.map((text) => {
      const [key = '', ...rest] = text.split('=')
      return [key.trim(), rest.join('=').trim()]
    }),
  )
}

/** Makes an enrollment token; its secret is shown this once. */
export function NewToken({ onMade }: { onMade?: (token: Schemas['NewEnrollmentTokenResponse']) => void }) {
  const queryClient = useQueryClient()
  const [name, setName] = useState('')
  const [hours, setHours] = useState('24')
  const [uses, setUses] = useState<number | ''>('')
  const [labels, setLabels] = useState<string[]>([])
  const make = useMutation({
    mutationFn: () =>
      tokenApi.create({
        name: name.trim(),
        labels: labelsOf(labels),
        max_uses: uses || null,
        expires_at: hours ? new Date(Date.now() + Number(hours) * 3_600_000).toISOString() : null,
      }),
    onSuccess: (token) => {
      onMade?.(token)
      return queryClient.invalidateQueries({ queryKey: keys.tokens })
    },
  })
  if (make.data) {
    return (
      <Stack gap="sm">
        <Alert color="orange" title="Copy it now: it cannot be shown again">
          FlowGate keeps its hash only. Whoever has it can bring agents into the fleet.
        </Alert>
        <CopyBlock text={make.data.token} label="enrollment token" />
      </Stack>
    )
  }
  return (
    <form
      onSubmit={(event) => {
        event.preventDefault()
        make.mutate()
      }}
    >
      <Stack gap="sm">
        <TextInput
          label="Name"
          description="Where the agents run, such as plant-7"
          required
          maxLength={100}
          value={name}
          onChange={(event) => setName(event.currentTarget.value)}
          data-autofocus
        />
        <Group grow align="start">
          <Select
            label="Good for"
            data={Object.entries(LASTING).map(([value, label]) => ({ value, label }))}
            value={hours}
            onChange={(value) => setHours(value ?? '')}
            allowDeselect={false}
          />
          <NumberInput
            label="Agents at most"
            placeholder="Without limit"
            min={1}
            value={uses}
            onChange={(value) => setUses(typeof value === 'number' ? value : '')}
          />
        </Group>
        <TagsInput
          size="xs"
          label="Labels for the agents"
          description="key=value, Enter after each"
          value={labels}
          onChange={setLabels}
        />
        {make.isError && <Failed error={make.error} what="Not made" />}
        <Group justify="end">
          <Button type="submit" loading={make.isPending}>
            Make the token
          </Button>
        </Group>
      </Stack>
    </form>
  )
}
