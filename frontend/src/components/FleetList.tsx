import { Alert, Button, Group, Text } from '@mantine/core'
import { IconRefresh } from '@tabler/icons-react'
import { type ReactNode, useCallback, useState } from 'react'
import { useLocation, useNavigate, useParams, useSearchParams } from 'react-router'
import type { SupervisedAgent } from '../services/api'
import { BulkActions } from './BulkActions'
import { ColumnPicker } from './ColumnPicker'
import { agents } from './counts'
import { FilterBar } from './FilterBar'
import { type Column, FleetTable } from './FleetTable'
import { type Filters, isFiltered as leavesOut, useFilters, useFleet } from './fleet'
import { MAX_SELECTED, useSelection } from './selection'
import { Empty, Failed, Loading } from './States'

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
  const [isChoosing, setChoosing] = useState(false)

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
        <FilterBar filters={own} change={change} clear={clear} rows={fleet.rows} withMode={!fixed?.management_mode} />
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
          {selected.size < fleet.total && (
            <Button
              variant="subtle"
              loading={isChoosing}
              onClick={() => {
                setChoosing(true)
                void selection.selectEvery().finally(() => setChoosing(false))
              }}
            >
              Select all {Math.min(fleet.total, MAX_SELECTED).toLocaleString()} matching
            </Button>
          )}
          <BulkActions selected={selected} isEverything={!isFiltered && selected.size >= fleet.total} />
          <Button variant="subtle" onClick={selection.clear}>
            Clear selection
          </Button>
        </Group>
      )}
      {fleet.partial.length > 0 && (
        <Alert color="yellow" py={6} role="status">
          {fleet.partial.join(' and ')} {fleet.partial.length > 1 ? 'do' : 'does'} not answer now: what{' '}
          {fleet.partial.length > 1 ? 'they know' : 'it knows'} is missing in the list.
        </Alert>
      )}
      {!isLoaded && fleet.query.isError && (
        <Failed error={fleet.query.error} retry={() => void fleet.query.refetch()} what="The agents cannot be listed" />
      )}
      {!isLoaded && !fleet.query.isError && <Loading rows={12} />}
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
          <Text size="xs" c="dimmed" role="status">
            {fleet.query.isPlaceholderData ? 'Looking for those that match; the former ones are shown so long' : countOf(fleet, isFiltered)}
          </Text>
        </>
      )}
    </>
  )
}
