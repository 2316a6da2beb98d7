import { Alert, Button, Group, Text } from '@mantine/core'
import { IconRefresh } from '@tabler/icons-react'
import { useMutation, useQuery } from '@tanstack/react-query'
import { type ReactNode, useCallback } from 'react'
import { useLocation, useNavigate, useParams, useSearchParams } from 'react-router'
import type { SupervisedAgent } from '../services/api'
import { queries } from '../services/queries'
import { BulkActions } from './BulkActions'
import { ColumnPicker } from './ColumnPicker'
import { agents } from './counts'
import { FilterBar } from './FilterBar'
import { type Column, FleetTable } from './FleetTable'
import { type Filters, isFiltered as leavesOut, useFilters, useFleet } from './fleet'
import { MAX_SELECTED, type Selected, useSelection } from './selection'
import { AsOf, Empty, Failed, Waiting } from './States'

interface Props {
  base: string
  label: string
  columns: Column[]
  defaults: string[]
  /** Filters that the page itself has. */
  fixed?: Filters
  whenEmpty: ReactNode
}

function countOf({ rows, total }: { rows: SupervisedAgent[]; total: number }, isFiltered: boolean): string {
  const found = `${agents(total)}${isFiltered ? (total === 1 ? ' matches' : ' match') : ''}`
  return rows.length < total ? `${found}, ${rows.length.toLocaleString()} loaded; more come as you scroll` : found
}

/** Whether every agent that takes orders is chosen; it has to run under a supervisor for that. */
function isEverySupervised(selected: Selected, supervised: number | undefined): boolean {
  return Boolean(supervised) && [...selected.values()].filter((mode) => mode === 'supervisor').length >= supervised!
}

/** A list of agents with its filters, its selection and what can be done with what is selected. */
export function FleetList({ base, label, columns, defaults, fixed, whenEmpty }: Props) {
  const [own, change, clear] = useFilters()
  const [params] = useSearchParams()
  const filters = { ...own, ...fixed }
  const fleet = useFleet(filters)
  const selection = useSelection(fleet.rows, filters)
  const navigate = useNavigate()
  const { search } = useLocation()
  const { id } = useParams()
  const visible = params.get('cols')?.split(',') ?? defaults
  const { data: summary } = useQuery(queries.summary)
  const every = useMutation({ mutationFn: selection.selectEvery })

  const open = useCallback(
    (row: SupervisedAgent) => void navigate({ pathname: `${base}/${row.instance_id}`, search }),
    [navigate, base, search],
  )
  const { selected } = selection
  const isFiltered = leavesOut(own)
  const isLoaded = fleet.query.data !== undefined
  return (
    <>
      <Group justify="space-between" gap="xs">
        <FilterBar filters={own} change={change} clear={clear} withMode={!fixed?.management_mode} />
        <Group gap="xs" ml="auto">
          {fleet.isOutdated && (
            <Button variant="light" leftSection={<IconRefresh size={14} />} onClick={fleet.reload}>
              The list has changed: show it
            </Button>
          )}
          <ColumnPicker
            columns={columns}
            visible={visible}
            onChange={(next) =>
              change('cols', [columns.map((column) => column.id).filter((one) => next.includes(one)).join(',')])
            }
          />
        </Group>
      </Group>
      {selected.size > 0 && (
        <Group gap="sm" role="region" aria-label="Selection">
          <Text size="sm" fw={600}>
            {selected.size.toLocaleString()} selected
          </Text>
          {(selected.size < Math.min(fleet.total, MAX_SELECTED) || !fleet.rows.every((row) => selected.has(row.instance_id))) && (
            <Button variant="subtle" loading={every.isPending} onClick={() => every.mutate()}>
              {fleet.total > MAX_SELECTED
                ? `Select the first ${MAX_SELECTED.toLocaleString()} of ${fleet.total.toLocaleString()} matching`
                : `Select all ${fleet.total.toLocaleString()} matching`}
            </Button>
          )}
          {fleet.total > MAX_SELECTED && (
            <Text size="xs" c="dimmed">
              An operation takes {MAX_SELECTED.toLocaleString()} agents at most: filters make parts.
            </Text>
          )}
          <BulkActions
            selected={selected}
            isEverything={
              isEverySupervised(selected, summary?.by_mode.supervisor) || (!isFiltered && selected.size >= fleet.total)
            }
          />
          <Button variant="subtle" onClick={selection.clear}>
            Clear selection
          </Button>
        </Group>
      )}
      {every.isError && <Failed error={every.error} what="Not selected" />}
      {fleet.partial.length > 0 && (
        <Alert color="yellow" py={6} role="status">
          {fleet.partial.join(' and ')} {fleet.partial.length > 1 ? 'do' : 'does'} not answer now: what{' '}
          {fleet.partial.length > 1 ? 'they know' : 'it knows'} is missing in the list.
        </Alert>
      )}
      {!isLoaded && fleet.query.isError && (
        <Failed error={fleet.query.error} retry={() => void fleet.query.refetch()} what="The agents cannot be listed" />
      )}
      {!isLoaded && !fleet.query.isError && <Waiting query={fleet.query} rows={12} />}
      {isLoaded && fleet.rows.length === 0 && !isFiltered && whenEmpty}
      {isLoaded && fleet.rows.length === 0 && isFiltered && (
        <Empty
          title="No agent fits the filters"
          action={
            <Button mt="xs" variant="default" onClick={clear}>
              Clear filters
            </Button>
          }
        />
      )}
      {fleet.rows.length > 0 && (
        <>
          <FleetTable
            label={label}
            columns={columns}
            visible={visible}
            rows={fleet.rows}
            total={fleet.total}
            sort={own.sort ?? 'name'}
            onSort={(sort) => change('sort', [sort])}
            selected={selected}
            onToggle={selection.toggle}
            onToggleAll={selection.toggleAll}
            onOpen={open}
            onShow={fleet.show}
            current={id}
          />
          {fleet.stale && <AsOf {...fleet.stale} />}
          <Text size="xs" c="dimmed" role="status">
            {fleet.query.isPlaceholderData ? 'Looking for those that match; the former ones are shown so long' : countOf(fleet, isFiltered)}
          </Text>
        </>
      )}
    </>
  )
}
