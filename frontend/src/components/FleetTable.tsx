import { columnVisibilityFeature, rowSortingFeature, tableFeatures, useTable } from '@tanstack/react-table'
import { useVirtualizer } from '@tanstack/react-virtual'
import { type KeyboardEvent, memo, type ReactNode, useCallback, useEffect, useMemo, useRef } from 'react'
import type { SupervisedAgent } from '../services/api'
import classes from './FleetTable.module.css'
import type { Selected } from './selection'

const ROW_PIXELS = 36

export interface Column {
  id: string
  title: string
  /** Pixels; the first column takes what is left. */
  width: number
  /** What the server sorts by. */
  sort?: string
  cell: (row: SupervisedAgent) => ReactNode
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
  footer?: ReactNode
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
  const virtual = useVirtualizer({
    count: rows.length,
    getScrollElement: () => scroller.current,
    estimateSize: () => ROW_PIXELS,
    overscan: 10,
    getItemKey: (index) => rows[index]?.instance_id ?? index,
    initialRect: { width: 1200, height: 700 },
  })
  const items = virtual.getVirtualItems()
  const first = items.find((item) => item.end > (virtual.scrollOffset ?? 0))?.index ?? 0
  const last = items.at(-1)?.index ?? 0
  useEffect(() => onShow(first, last), [onShow, first, last])

  const onKeyDown = useCallback((event: KeyboardEvent<HTMLDivElement>) => {
    if (event.key !== 'ArrowDown' && event.key !== 'ArrowUp') return
    const links = [...(scroller.current?.querySelectorAll<HTMLElement>('[data-row-link]') ?? [])]
    const next = links[links.indexOf(document.activeElement as HTMLElement) + (event.key === 'ArrowDown' ? 1 : -1)]
    if (!next || !links.length) return
    event.preventDefault()
    next.focus()
  }, [])

  const width = 44 + cells.reduce((sum, column) => sum + column.width, 0)
  const isAll = rows.length > 0 && rows.every((row) => selected.has(row.instance_id))
  const isSome = !isAll && rows.some((row) => selected.has(row.instance_id))
  return (
    <div
      ref={scroller}
      className={classes.scroller}
      role="table"
      aria-label={props.label}
      aria-rowcount={total + 1}
      tabIndex={0}
      onKeyDown={onKeyDown}
    >
      <div role="rowgroup" className={classes.head} style={{ minWidth: width }}>
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
          {cells.map((column, index) => {
            const order = table.getColumn(column.id)?.getIsSorted()
            return (
              <div
                key={column.id}
                role="columnheader"
                className={classes.cell}
                style={cellStyle(column, index)}
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
      <div role="rowgroup" style={{ height: virtual.getTotalSize(), position: 'relative', minWidth: width }}>
        {items.map((item) => {
          const row = rows[item.index]
          return (
            row && (
              <Row
                key={item.key}
                row={row}
                index={item.index}
                top={item.start}
                columns={cells}
                isSelected={selected.has(row.instance_id)}
                isCurrent={props.current === row.instance_id || props.current === row.gateway_id}
                onToggle={onToggle}
                onOpen={onOpen}
              />
            )
          )
        })}
      </div>
      {props.footer}
    </div>
  )
}

const cellStyle = (column: Column, index: number) =>
  index === 0 ? { flex: `1 0 ${column.width}px` } : { flex: `0 0 ${column.width}px` }

interface RowProps {
  row: SupervisedAgent
  index: number
  top: number
  columns: Column[]
  isSelected: boolean
  isCurrent: boolean
  onToggle: (row: SupervisedAgent, isExtended: boolean) => void
  onOpen: (row: SupervisedAgent) => void
}

const Row = memo(function Row({ row, index, top, columns, isSelected, isCurrent, onToggle, onOpen }: RowProps) {
  return (
    <div
      role="row"
      aria-rowindex={index + 2}
      aria-selected={isSelected}
      data-current={isCurrent || undefined}
      className={`${classes.row} ${classes.body}`}
      style={{ transform: `translateY(${top}px)` }}
      onClick={(event) => {
        const target = event.target as HTMLElement
        if (!target.closest('a,button,input,label') && !getSelection()?.toString()) onOpen(row)
      }}
    >
      <div role="cell" className={classes.check}>
        <input
          type="checkbox"
          aria-label={`Select ${row.name}`}
          checked={isSelected}
          onClick={(event) => onToggle(row, event.shiftKey)}
          onChange={() => {}}
        />
      </div>
      {columns.map((column, number) => (
        <div key={column.id} role="cell" className={classes.cell} style={cellStyle(column, number)}>
          {column.cell(row)}
        </div>
      ))}
    </div>
  )
})
