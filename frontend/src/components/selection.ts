import { useCallback, useRef, useState } from 'react'
import type { SupervisedAgent } from '../services/api'
import { everyMatching, type Filters } from './fleet'

export const MAX_SELECTED = 10_000 // an operation takes that many

/** Modes of chosen agents, by instance_id. */
export type Selected = ReadonlyMap<string, SupervisedAgent['management_mode']>

export interface Selection {
  selected: Selected
  toggle: (row: SupervisedAgent, isExtended: boolean) => void
  toggleAll: () => void
  /** Choose those that match, in their order, as far as an operation takes them. */
  selectEvery: () => Promise<void>
  clear: () => void
}

/** Chosen agents. They stay chosen while pages, filters and order change. */
export function useSelection(rows: SupervisedAgent[], filters: Filters): Selection {
  const [selected, setSelected] = useState<Selected>(new Map())
  const rowsNow = useRef(rows)
  rowsNow.current = rows
  const anchor = useRef<string | undefined>(undefined)

  const toggle = useCallback((row: SupervisedAgent, isExtended: boolean) => {
    setSelected((known) => {
      const next = new Map(known)
      const all = rowsNow.current
      const [from, to] = [anchor.current, row.instance_id].map((id) => all.findIndex((one) => one.instance_id === id))
      if (isExtended && from !== undefined && to !== undefined && from >= 0 && to >= 0) {
        for (const one of all.slice(Math.min(from, to), Math.max(from, to) + 1)) next.set(one.instance_id, one.management_mode)
      } else if (!next.delete(row.instance_id)) next.set(row.instance_id, row.management_mode)
      return next
    })
    anchor.current = row.instance_id
  }, [])
  const toggleAll = useCallback(() => {
    setSelected((known) => {
      const next = new Map(known)
      const all = rowsNow.current
      const isAll = all.every((row) => next.has(row.instance_id))
      for (const row of all) {
        if (isAll) next.delete(row.instance_id)
        else next.set(row.instance_id, row.management_mode)
      }
      return next
    })
  }, [])
  const selectEvery = useCallback(async () => {
    const found = await everyMatching(filters, MAX_SELECTED)
    setSelected((known) => new Map([...known, ...found]))
  }, [filters])
  const clear = useCallback(() => setSelected(new Map()), [])
  return { selected, toggle, toggleAll, selectEvery, clear }
}
