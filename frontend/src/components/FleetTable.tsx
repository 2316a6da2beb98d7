import { columnVisibilityFeature, rowSortingFeature, tableFeatures, useTable } from '@tanstack/react-table'
import { type CSSProperties, type KeyboardEvent, type ReactNode, useCallback, useMemo, useRef } from 'react'
import type { SupervisedAgent } from '../services/api'
import { FleetRows } from './FleetRows'
import classes from './FleetTable.module.css'
import type { Selected } from './selection'

export interface Column {
  id: string
  title: string
  /** Pixels; the first column takes what is left. */
  width: number
  /** Whether it may be too long for the column, and is cut. */
  isText?: boolean
  /** What the server sorts by. */
  sort?: string
  /** What is in it, at this time (ms since 1970). */
  cell: (row: SupervisedAgent, now: number) => ReactNode
}

interface Props {
  label: string
  columns: Column[]
  /** Ids of the columns that are shown; all without it. */
  visible?: string[]
  rows: SupervisedAgent[]
  total: number
  sort: string
  onSort: (sort: string) => void
  selected: Selected
  onToggle: (row: SupervisedAgent, isExtended: boolean) => void
  onToggleAll: () => void
  onOpen: (row: SupervisedAgent) => void
  onShow: (first: number, last: number) => void
  current?: string
}

const features = tableFeatures({ columnVisibilityFeature, rowSortingFeature })

/** Rows of agents: only those in sight are in the document, and a row is drawn again only when it changes. */
export function FleetTable(props: Props) {
  const { columns, visible, rows, total, sort, onSort, selected, onToggle, onToggleAll, onOpen, onShow } = props
  const byId = useMemo(() => new Map(columns.map((column) => [column.id, column])), [columns])
  const table = useTable(
    {
      features,
      columns: useMemo(
        () => columns.map(({ id, title, sort: by }) => ({ id, header: title, enableSorting: Boolean(by), accessorFn: () => '' })),
        [columns],
      ),
      data: rows,
      manualSorting: true,
      getRowId: (row: SupervisedAgent) => row.instance_id,
      state: {
        columnVisibility: useMemo(
          () => Object.fromEntries(columns.map(({ id }) => [id, !visible || visible.includes(id)])),
          [columns, visible],
        ),
        sorting: useMemo(() => {
          const column = columns.find((one) => one.sort === sort.replace('-', ''))
          return column ? [{ id: column.id, desc: sort.startsWith('-') }] : []
        }, [columns, sort]),
      },
    },
    () => null,
  )
  const shown = table.getVisibleLeafColumns().map(({ id }) => byId.get(id)!)
  const key = shown.map(({ id }) => id).join(' ')
  // biome-ignore lint: the ids say which columns they are
  const cells = useMemo(() => shown, [key, columns])
  const scroller = useRef<HTMLDivElement>(null)
  const onKeyDown = useCallback((event: KeyboardEvent<HTMLDivElement>) => {
    if (event.key !== 'ArrowDown' && event.key !== 'ArrowUp') return
    const links = [...(scroller.current?.querySelectorAll<HTMLElement>('[data-row-link]') ?? [])]
    const next = links[links.indexOf(document.activeElement as HTMLElement) + (event.key === 'ArrowDown' ? 1 : -1)]
    if (!next || !links.length) return
    event.preventDefault()
    next.focus()
  }, [])

  const width = 44 + cells.reduce((sum, column) => sum + column.width, 0)
  const template = `44px ${cells.map((column, index) => (index ? `${column.width}px` : `minmax(${column.width}px, 1fr)`)).join(' ')}`
  const [isAll, isSome] = useMemo(() => {
    const chosen = selected.size ? rows.filter((row) => selected.has(row.instance_id)).length : 0
    return [chosen > 0 && chosen === rows.length, chosen > 0 && chosen < rows.length]
  }, [rows, selected])
  return (
    <div
      ref={scroller}
      className={classes.scroller}
      role="table"
      aria-label={props.label}
      aria-rowcount={total + 1}
      tabIndex={0}
      onKeyDown={onKeyDown}
      style={{ '--fg-columns': template, '--fg-width': `${width}px` } as CSSProperties}
    >
      <div role="rowgroup" className={classes.head}>
        <div role="row" aria-rowindex={1} className={classes.row}>
          <div role="columnheader" className={classes.check}>
            <input
              type="checkbox"
              aria-label="Select all loaded agents"
              checked={isAll}
              ref={(box) => {
                if (box) box.indeterminate = isSome
              }}
              onChange={onToggleAll}
            />
          </div>
          {cells.map((column) => {
            const order = table.getColumn(column.id)?.getIsSorted()
            return (
              <div
                key={column.id}
                role="columnheader"
                className={classes.cell}
                aria-sort={order === 'asc' ? 'ascending' : order === 'desc' ? 'descending' : undefined}
              >
                {column.sort ? (
                  <button
                    type="button"
                    className={classes.sort}
                    onClick={() => onSort(order === 'asc' ? `-${column.sort}` : column.sort!)}
                  >
                    {column.title}
                    <span aria-hidden>{order === 'asc' ? ' ↑' : order === 'desc' ? ' ↓' : ''}</span>
                  </button>
                ) : (
                  column.title
                )}
              </div>
            )
          })}
        </div>
      </div>
      <FleetRows
        scroller={scroller}
        rows={rows}
        columns={cells}
        selected={selected}
        current={props.current}
        onToggle={onToggle}
        onOpen={onOpen}
        onShow={onShow}
      />
    </div>
  )
}
