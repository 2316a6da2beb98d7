import { NativeSelect, TextInput } from '@mantine/core'
import { useDebouncedCallback, useDebouncedValue } from '@mantine/hooks'
import { IconSearch } from '@tabler/icons-react'
import { keepPreviousData, useQuery } from '@tanstack/react-query'
import { type FormEvent, useEffect, useId, useMemo, useRef, useState } from 'react'
import { queries } from '../services/queries'
import { agents } from './counts'
import classes from './FilterBar.module.css'
import { CONFIG_STATES, CRASH_LOOP, type Filters, isFiltered, STATUSES } from './fleet'

interface Props {
  filters: Filters
  change: (name: string, values: string[]) => void
  clear: () => void
  withMode?: boolean
}

const TYPING_MILLISECONDS = 200
const SEVERAL = ' several' // no version looks like this

/** Search and filters of a list of agents, with what there is as suggestions. The URL holds them. */
export function FilterBar({ filters, change, clear, withMode = true }: Props) {
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

  // What there is in the whole fleet, asked for once somebody is about to choose.
  const [label, setLabel] = useState<string | null>(null)
  const [wanted] = useDebouncedValue(label, TYPING_MILLISECONDS)
  const { data: known } = useQuery({ ...queries.labels(wanted ?? ''), enabled: wanted !== null, placeholderData: keepPreviousData })
  const [typed] = useDebouncedValue(text.trim(), TYPING_MILLISECONDS)
  const { data: found } = useQuery({ ...queries.found(typed), enabled: typed !== '', placeholderData: keepPreviousData })
  const suggestions = useMemo(
    () => [...new Set((typed ? (found ?? []) : []).flatMap((one) => (one.host_name ? [one.host_name, one.name] : [one.name])))],
    [typed, found],
  )
  const toggle = (status: (typeof STATUSES)[number]) => {
    const chosen = filters.status ?? []
    change('status', chosen.includes(status) ? chosen.filter((one) => one !== status) : [...chosen, status])
  }
  const addLabel = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault()
    const chosen = label?.trim()
    if (chosen) change('label', [...new Set([...(filters.label ?? []), chosen])])
    setLabel('')
  }
  return (
    <div className={classes.bar} role="search" aria-label="Filter agents">
      <TextInput
        w={215}
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
        value={filters.crash_looping ? CRASH_LOOP : (filters.health?.[0] ?? '')}
        onChange={(event) => change('health', event.currentTarget.value ? [event.currentTarget.value] : [])}
        data={[
          { value: '', label: 'Any health' },
          { value: 'healthy', label: 'Healthy' },
          { value: 'unhealthy', label: 'Unhealthy' },
          { value: 'unknown', label: 'Health unknown' },
          { value: CRASH_LOOP, label: 'Crash loop' },
        ]}
      />
      <NativeSelect
        size="xs"
        maw={130}
        aria-label="Version"
        value={filters.version?.length === 1 ? filters.version[0] : (filters.version?.length ? SEVERAL : '')}
        onChange={(event) => change('version', event.currentTarget.value ? [event.currentTarget.value] : [])}
        data={[
          { value: '', label: 'Any version' },
          ...((filters.version?.length ?? 0) > 1 ? [{ value: SEVERAL, label: `${filters.version!.length} versions` }] : []),
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
        <TextInput
          w={150}
          aria-label="Label"
          placeholder="Label, key=value ⏎"
          list={labels}
          autoComplete="off"
          value={label ?? ''}
          onFocus={() => setLabel((now) => now ?? '')}
          onChange={(event) => setLabel(event.currentTarget.value)}
        />
        <datalist id={labels}>
          {known?.map(({ key, value, gateways }) => (
            <option key={`${key}=${value}`} value={value ? `${key}=${value}` : key}>
              {agents(gateways)}
            </option>
          ))}
        </datalist>
      </form>
      {filters.label?.map((chosen) => (
        <button
          key={chosen}
          type="button"
          className="fg-pill"
          data-removable
          aria-label={`Without the label ${chosen}`}
          onClick={() => change('label', filters.label!.filter((one) => one !== chosen))}
        >
          {chosen} ✕
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
