import { Autocomplete, Button, Group, MultiSelect, Select, TagsInput } from '@mantine/core'
import { useDebouncedCallback } from '@mantine/hooks'
import { IconSearch } from '@tabler/icons-react'
import { useQuery } from '@tanstack/react-query'
import { useEffect, useMemo, useState } from 'react'
import type { SupervisedAgent } from '../services/api'
import { queries } from '../services/queries'
import type { Filters } from './fleet'

interface Props {
  filters: Filters
  change: (name: string, values: string[]) => void
  clear: () => void
  rows: SupervisedAgent[]
  withMode?: boolean
}

/** Search and filters of a list of agents, with what there is as suggestions. The URL holds them. */
export function FilterBar({ filters, change, clear, rows, withMode = true }: Props) {
  const { data: summary } = useQuery(queries.summary)
  const [text, setText] = useState(filters.q ?? '')
  const search = useDebouncedCallback((value: string) => change('q', value.trim() ? [value.trim()] : []), 200)
  useEffect(() => {
    setText((known) => (known.trim() === (filters.q ?? '') ? known : (filters.q ?? '')))
  }, [filters.q])

  const labels = useMemo(() => {
    const found = new Set<string>()
    for (const row of rows.slice(0, 500)) {
      for (const [key, value] of Object.entries(row.labels)) found.add(value ? `${key}=${value}` : key)
    }
    return [...found].sort().slice(0, 50)
  }, [rows])
  const suggestions = useMemo(
    () => [
      { group: 'Versions', items: Object.keys(summary?.by_version ?? {}).filter((one) => one !== 'unknown').slice(0, 12) },
      { group: 'Hosts', items: [...new Set(rows.slice(0, 200).map((row) => row.host_name ?? ''))].filter(Boolean).slice(0, 8) },
    ],
    [summary, rows],
  )
  const isFiltered = Boolean(
    filters.q || filters.status || filters.healthy !== undefined || filters.label || (withMode && filters.management_mode),
  )
  return (
    <Group gap="xs" align="center" role="search" aria-label="Filter agents">
      <Autocomplete
        size="xs"
        w={270}
        data-search
        aria-label="Search agents"
        placeholder="Name, id, host, version, label…  ( / )"
        leftSection={<IconSearch size={14} />}
        value={text}
        data={suggestions}
        maxDropdownHeight={260}
        onChange={(value) => {
          setText(value)
          search(value)
        }}
      />
      {withMode && (
        <Select
          w={130}
          aria-label="Mode"
          placeholder="Any mode"
          clearable
          data={[
            { value: 'supervisor', label: 'Supervisor' },
            { value: 'extension', label: 'Extension' },
          ]}
          value={filters.management_mode ?? null}
          onChange={(value) => change('mode', value ? [value] : [])}
        />
      )}
      <MultiSelect
        w={filters.status?.length ? 200 : 120}
        aria-label="Status"
        placeholder={filters.status?.length ? undefined : 'Any status'}
        clearable
        data={['online', 'stale', 'offline']}
        value={filters.status ?? []}
        onChange={(values) => change('status', values)}
      />
      <Select
        w={130}
        aria-label="Health"
        placeholder="Any health"
        clearable
        data={[
          { value: 'healthy', label: 'Healthy' },
          { value: 'unhealthy', label: 'Not healthy' },
        ]}
        value={filters.healthy === undefined ? null : filters.healthy ? 'healthy' : 'unhealthy'}
        onChange={(value) => change('health', value ? [value] : [])}
      />
      <TagsInput
        size="xs"
        miw={150}
        aria-label="Labels"
        placeholder={filters.label?.length ? undefined : 'Label, key=value'}
        clearable
        data={labels}
        value={filters.label ?? []}
        onChange={(values) => change('label', values)}
      />
      {isFiltered && (
        <Button variant="subtle" onClick={clear}>
          Clear filters
        </Button>
      )}
    </Group>
  )
}
