import { NativeSelect, TextInput } from '@mantine/core'
import { useDebouncedCallback } from '@mantine/hooks'
import { IconSearch } from '@tabler/icons-react'
import { useQuery } from '@tanstack/react-query'
import { type FormEvent, useEffect, useId, useMemo, useRef, useState } from 'react'
import type { SupervisedAgent } from '../services/api'
import { queries } from '../services/queries'
import classes from './FilterBar.module.css'
import { CONFIG_STATES, type Filters, isFiltered, STATUSES } from './fleet'

interface Props {
  filters: Filters
  change: (name: string, values: string[]) => void
  clear: () => void
  rows: SupervisedAgent[]
  withMode?: boolean
}

const TYPING_MILLISECONDS = 200

/** Search and filters of a list of agents, with what there is as suggestions. The URL holds them. */
export function FilterBar({ filters, change, clear, rows, withMode = true }: Props) {
  const { data: summary } = useQuery(queries.summary)
  const [text, setText] = useState(filters.q ?? '')
  const sent = useRef(filters.q ?? '')
  const search = useDebouncedCallback((value: string) => {
    sent.current = value.trim()
    change('q', sent.current ? [sent.current] : [])
  }, TYPING_MILLISECONDS)
  // A search that did not come from this field, such as by a link. What is being typed stays.
  useEffect(() => {
    if ((filters.q ?? '') === sent.current) return
    sent.current = filters.q ?? ''
    setText(sent.current)
  }, [filters.q])
  const [searches, labels] = [useId(), useId()]

  const known = useMemo(() => {
    const found = new Set<string>()
    for (const row of rows.slice(0, 500)) {
      for (const [key, value] of Object.entries(row.labels)) found.add(value ? `${key}=${value}` : key)
    }
    return [...found].sort().slice(0, 100)
  }, [rows])
  const suggestions = useMemo(
    () => [...new Set(rows.slice(0, 200).flatMap((row) => (row.host_name ? [row.host_name] : [])))],
    [rows],
  )
  const toggle = (status: (typeof STATUSES)[number]) => {
    const chosen = filters.status ?? []
    change('status', chosen.includes(status) ? chosen.filter((one) => one !== status) : [...chosen, status])
  }
  const addLabel = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault()
    const field = event.currentTarget.elements.namedItem('label') as HTMLInputElement
    const wanted = field.value.trim()
    if (wanted) change('label', [...new Set([...(filters.label ?? []), wanted])])
    field.value = ''
  }
  return (
    <div className={classes.bar} role="search" aria-label="Filter agents">
      <TextInput
        w={240}
        data-search
        type="search"
        aria-label="Search agents"
        placeholder="Name, id, host, label…  ( / )"
        leftSection={<IconSearch size={14} />}
        value={text}
        list={searches}
        onChange={(event) => {
          setText(event.currentTarget.value)
          search(event.currentTarget.value)
        }}
      />
      <datalist id={searches}>
        {suggestions.map((one) => (
          <option key={one} value={one} />
        ))}
      </datalist>
      {withMode && (
        <NativeSelect
          size="xs"
          aria-label="Mode"
          value={filters.management_mode ?? ''}
          onChange={(event) => change('mode', event.currentTarget.value ? [event.currentTarget.value] : [])}
          data={[
            { value: '', label: 'Any mode' },
            { value: 'supervisor', label: 'Supervisor' },
            { value: 'extension', label: 'Extension' },
          ]}
        />
      )}
      <NativeSelect
        size="xs"
        aria-label="Health"
        value={filters.healthy === undefined ? '' : filters.healthy ? 'healthy' : 'unhealthy'}
        onChange={(event) => change('health', event.currentTarget.value ? [event.currentTarget.value] : [])}
        data={[
          { value: '', label: 'Any health' },
          { value: 'healthy', label: 'Healthy' },
          { value: 'unhealthy', label: 'Not healthy' },
        ]}
      />
      <NativeSelect
        size="xs"
        maw={130}
        aria-label="Version"
        value={filters.version?.[0] ?? ''}
        onChange={(event) => change('version', event.currentTarget.value ? [event.currentTarget.value] : [])}
        data={[
          { value: '', label: 'Any version' },
          ...[...new Set([...(filters.version ?? []), ...Object.keys(summary?.by_version ?? {})])].sort(),
        ]}
      />
      <NativeSelect
        size="xs"
        aria-label="Configuration"
        value={filters.config_state?.[0] ?? ''}
        onChange={(event) => change('config', event.currentTarget.value ? [event.currentTarget.value] : [])}
        data={[
          { value: '', label: 'Any config' },
          ...CONFIG_STATES.map((value) => ({ value, label: `Config ${value}` })),
        ]}
      />
      <div className={classes.toggles} role="group" aria-label="Status">
        {STATUSES.map((status) => (
          <button
            key={status}
            type="button"
            className={classes.toggle}
            aria-pressed={filters.status?.includes(status) ?? false}
            onClick={() => toggle(status)}
          >
            {status}
          </button>
        ))}
      </div>
      <form onSubmit={addLabel}>
        <TextInput w={150} name="label" aria-label="Label" placeholder="Label, key=value ⏎" list={labels} autoComplete="off" />
        <datalist id={labels}>
          {known.map((one) => (
            <option key={one} value={one} />
          ))}
        </datalist>
      </form>
      {filters.label?.map((label) => (
        <button
          key={label}
          type="button"
          className="fg-pill"
          data-removable
          aria-label={`Without the label ${label}`}
          onClick={() => change('label', filters.label!.filter((one) => one !== label))}
        >
          {label} ✕
        </button>
      ))}
      {isFiltered(filters) && (
        <button type="button" className={classes.clear} onClick={clear}>
          Clear filters
        </button>
      )}
    </div>
  )
}
