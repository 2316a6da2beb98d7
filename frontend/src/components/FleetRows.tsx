import { useVirtualizer } from '@tanstack/react-virtual'
import { type MouseEvent, memo, type RefObject, useCallback, useEffect } from 'react'
import type { SupervisedAgent } from '../services/api'
import type { Column } from './FleetTable'
import classes from './FleetTable.module.css'
import { exactly, useNow } from './RelativeTime'
import type { Selected } from './selection'

const ROW_PIXELS = 36

interface Props {
  scroller: RefObject<HTMLDivElement | null>
  rows: SupervisedAgent[]
  columns: Column[]
  selected: Selected
  /** Id of the agent that is shown beside the list. */
  current?: string
  onToggle: (row: SupervisedAgent, isExtended: boolean) => void
  onOpen: (row: SupervisedAgent) => void
  onShow: (first: number, last: number) => void
}

/** The rows in sight; scrolling draws these and nothing else of the table. */
export function FleetRows({ scroller, rows, columns, selected, current, onToggle, onOpen, onShow }: Props) {
  const now = useNow()
  const getItemKey = useCallback((index: number) => rows[index]?.instance_id ?? index, [rows]) // another one measures anew
  const virtual = useVirtualizer({
    count: rows.length,
    getScrollElement: () => scroller.current,
    estimateSize: () => ROW_PIXELS,
    overscan: 10,
    getItemKey,
    initialRect: { width: 1200, height: 700 },
  })
  const items = virtual.getVirtualItems()
  const first = items.find((item) => item.end > (virtual.scrollOffset ?? 0))?.index ?? 0
  const last = items.at(-1)?.index ?? 0
  useEffect(() => onShow(first, last), [onShow, first, last])

  // One for all rows: they need no functions of their own.
  const onClick = (event: MouseEvent<HTMLDivElement>) => {
    const target = event.target as HTMLElement
    const row = rows[Number(target.closest<HTMLElement>('[data-index]')?.dataset.index)]
    if (!row) return
    if (target instanceof HTMLInputElement) onToggle(row, event.shiftKey)
    else if (target.closest('a')) {
      if (event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return // a tab of its own
      event.preventDefault()
      onOpen(row)
    } else if (!getSelection()?.toString()) onOpen(row)
  }
  const onMouseOver = (event: MouseEvent<HTMLDivElement>) => {
    const time = (event.target as HTMLElement).closest('time')
    if (time) time.title = exactly(time.dateTime)
  }
  return (
    // biome-ignore lint/a11y/useKeyWithClickEvents: the link in each row is what keys follow
    // biome-ignore lint/a11y/useKeyWithMouseEvents: a title is for who hovers
    <div
      role="rowgroup"
      className={classes.rows}
      style={{ height: virtual.getTotalSize() }}
      onClick={onClick}
      onMouseOver={onMouseOver}
    >
      {items.map(({ key, index, start }) => {
        const row = rows[index]
        return (
          row && (
            <Row
              key={key}
              row={row}
              index={index}
              top={start}
              columns={columns}
              now={now}
              isSelected={selected.has(row.instance_id)}
              isCurrent={current === row.instance_id || current === row.gateway_id}
            />
          )
        )
      })}
    </div>
  )
}

interface RowProps {
  row: SupervisedAgent
  index: number
  top: number
  columns: Column[]
  now: number
  isSelected: boolean
  isCurrent: boolean
}

const Row = memo(function Row({ row, index, top, columns, now, isSelected, isCurrent }: RowProps) {
  return (
    <div
      role="row"
      aria-rowindex={index + 2}
      aria-selected={isSelected}
      data-index={index}
      data-current={isCurrent || undefined}
      className={classes.body}
      style={{ transform: `translateY(${top}px)` }}
    >
      <div role="cell" className={classes.check}>
        <input type="checkbox" aria-label={`Select ${row.name}`} checked={isSelected} readOnly />
      </div>
      {columns.map((column) => (
        <div key={column.id} role="cell" className={column.isText ? classes.text : classes.cell}>
          {column.cell(row, now)}
        </div>
      ))}
    </div>
  )
})
