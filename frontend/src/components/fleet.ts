/** The list of agents as pages show it: filters in the URL, pages by cursor, what is visible kept right by polling. */
import { keepPreviousData, type InfiniteData, useInfiniteQuery, useQueryClient } from '@tanstack/react-query'
import { useCallback, useEffect, useMemo, useRef, useState } from 'react'
import { useSearchParams } from 'react-router'
import { agentApi, type FleetQuery, type GatewayPage, type SupervisedAgent, type SupervisedPage, supervisorApi } from '../services/api'
import { useFleetEvents } from '../services/live'
import { withRows } from '../services/patches'
import { keys, POLL_MILLISECONDS } from '../services/queries'

export const PAGE_SIZE = 100

export type Filters = Pick<FleetQuery, 'q' | 'management_mode' | 'status' | 'health' | 'version' | 'config_state' | 'crash_looping' | 'label' | 'sort'>

export const STATUSES = ['online', 'stale', 'offline'] as const
export const CONFIG_STATES = ['pending', 'offered', 'applying', 'applied', 'failed'] as const
export const HEALTHS = ['healthy', 'unhealthy', 'unknown'] as const
export const CRASH_LOOP = 'crash-loop' // in the address it is one more health
const MODES = ['supervisor', 'extension'] as const

/** Filters as the URL has them; what it has wrongly is left out. */
export function filtersOf(params: URLSearchParams): Filters {
  const mode = MODES.find((one) => one === params.get('mode'))
  const status = params.getAll('status').filter((one) => STATUSES.some((known) => known === one))
  const asked = params.getAll('health')
  const health = HEALTHS.filter((one) => asked.includes(one))
  const config = params.getAll('config').filter((one) => CONFIG_STATES.some((known) => known === one))
  return {
    ...(params.get('q') ? { q: params.get('q')! } : {}),
    ...(mode ? { management_mode: mode } : {}),
    ...(status.length ? { status: status as Filters['status'] } : {}),
    ...(health.length ? { health } : {}),
    ...(params.has('version') ? { version: params.getAll('version') } : {}),
    ...(config.length ? { config_state: config as Filters['config_state'] } : {}),
    ...(asked.includes(CRASH_LOOP) ? { crash_looping: true } : {}),
    ...(params.has('label') ? { label: params.getAll('label') } : {}),
    ...(params.get('sort') ? { sort: params.get('sort') as Filters['sort'] } : {}),
  }
}

/** The filters, and how to change one: its values, none to take it away. */
export function useFilters(): [Filters, (name: string, values: string[]) => void, () => void] {
  const [params, setParams] = useSearchParams()
  const filters = useMemo(() => filtersOf(params), [params])
  const change = useCallback(
    (name: string, values: string[]) =>
      setParams(
        (known) => {
          const next = new URLSearchParams(known)
          next.delete(name)
          for (const value of values) next.append(name, value)
          return next
        },
        { replace: true, flushSync: true },
      ),
    [setParams],
  )
  const clear = useCallback(
    () =>
      setParams(
        (known) => {
          const next = new URLSearchParams()
          for (const name of ['sort', 'cols']) if (known.get(name)) next.set(name, known.get(name)!)
          return next
        },
        { replace: true, flushSync: true },
      ),
    [setParams],
  )
  return [filters, change, clear]
}

/** Whether any of the filters leaves agents out. */
export function isFiltered(filters: Filters): boolean {
  const { sort: _, ...others } = filters
  return Object.keys(others).length > 0
}

export interface FleetList {
  rows: SupervisedAgent[]
  total: number
  partial: string[]
  /** Whether the server's list is another one by now: agents came, went or changed places. */
  isOutdated: boolean
  reload: () => void
  /** Why it could not be refreshed, and as of when it is. */
  stale: { error: unknown; at: number } | null
  /** Tell which row is the first visible one: its page is polled, and further pages are loaded. */
  show: (first: number, last: number) => void
  query: ReturnType<typeof useFleetQuery>
}

function useFleetQuery(filters: Filters) {
  return useInfiniteQuery({
    queryKey: [...keys.agents, filters],
    queryFn: ({ pageParam, signal: _ }) =>
      supervisorApi.listFleet({ ...filters, limit: PAGE_SIZE, ...(pageParam ? { cursor: pageParam } : {}) }),
    initialPageParam: '',
    getNextPageParam: (page: SupervisedPage) => page.next_cursor ?? undefined,
    placeholderData: keepPreviousData,
    staleTime: Number.POSITIVE_INFINITY,
    gcTime: 60_000,
    refetchOnWindowFocus: false,
  })
}

export function useFleet(filters: Filters): FleetList {
  const queryClient = useQueryClient()
  const query = useFleetQuery(filters)
  const key = JSON.stringify(filters)
  const [outdated, setOutdated] = useState('')
  const [stale, setStale] = useState<FleetList['stale']>(null)
  const freshAt = useRef(Date.now())
  const visible = useRef(0)
  const rows = useMemo(() => {
    // A row that moves while one pages through, such as by the time it was seen, is on two pages.
    const byId = new Map<string, SupervisedAgent>()
    for (const row of query.data?.pages.flatMap((page) => page.items) ?? []) {
      if (!byId.has(row.instance_id)) byId.set(row.instance_id, row)
    }
    return [...byId.values()]
  }, [query.data])
  const isPlaceholder = query.isPlaceholderData

  useEffect(() => {
    const poll = async () => {
      if (document.hidden || isPlaceholder) return
      const queryKey = [...keys.agents, JSON.parse(key) as Filters]
      const known = queryClient.getQueryData<InfiniteData<SupervisedPage, string>>(queryKey)
      if (!known) return
      const number = Math.min(Math.floor(visible.current / PAGE_SIZE), known.pages.length - 1)
      const cursor = known.pageParams[number]
      const page = await supervisorApi
        .listFleet({ ...(JSON.parse(key) as Filters), limit: PAGE_SIZE, ...(cursor ? { cursor } : {}) })
        .catch((error: unknown) => setStale({ error, at: freshAt.current }))
      if (!page) return
      freshAt.current = Date.now()
      setStale(null)
      const fresh = new Map(page.items.map((row) => [row.instance_id, row]))
      const shown = known.pages[number]!
      const isSame =
        page.items.length === shown.items.length &&
        page.items.every((row, index) => row.instance_id === shown.items[index]?.instance_id)
      // In an empty list nobody reads.
      if (!isSame && known.pages[0]?.items.length === 0) {
        queryClient.setQueryData(queryKey, { pages: [page], pageParams: [''] })
        return
      }
      if (!isSame) setOutdated(key)
      queryClient.setQueryData<InfiniteData<SupervisedPage, string>>(queryKey, (data) => {
        if (!data) return data
        const next = withRows(data, (row) => fresh.get(row.instance_id) ?? row) as InfiniteData<SupervisedPage, string>
        return next.pages[0]?.total === page.total
          ? next
          : { ...next, pages: next.pages.map((one) => ({ ...one, total: page.total })) }
      })
    }
    const timer = setInterval(() => void poll(), POLL_MILLISECONDS)
    return () => clearInterval(timer)
  }, [queryClient, key, isPlaceholder])

  const soon = useRef<ReturnType<typeof setTimeout>>(undefined)
  useFleetEvents(
    useCallback(
      (events) => {
        const isGrown = events.some((event) => event.event === 'agent.registered' || event.event === 'agent.gateway-removed')
        if (!isGrown || soon.current) return
        soon.current = setTimeout(() => {
          soon.current = undefined
          const queryKey = [...keys.agents, JSON.parse(key) as Filters]
          const known = queryClient.getQueryData<InfiniteData<SupervisedPage>>(queryKey)
          if (known?.pages[0]?.items.length === 0) {
            void queryClient.invalidateQueries({ queryKey })
          } else setOutdated(key)
        }, 1500)
      },
      [queryClient, key],
    ),
  )

  const { hasNextPage, isFetchingNextPage, fetchNextPage } = query
  const show = useCallback(
    (first: number, last: number) => {
      visible.current = first
      if (last >= rows.length - 30 && hasNextPage && !isFetchingNextPage) void fetchNextPage()
    },
    [rows.length, hasNextPage, isFetchingNextPage, fetchNextPage],
  )
  const reload = useCallback(() => {
    setOutdated('')
    void queryClient.resetQueries({ queryKey: [...keys.agents, JSON.parse(key)] })
  }, [queryClient, key])
  const loaded = isPlaceholder ? 0 : query.data?.pages.length
  // biome-ignore lint/correctness/useExhaustiveDependencies: other filters make another list
  useEffect(() => {
    freshAt.current = Date.now()
    setStale(null)
  }, [key, loaded])
  const last = query.data?.pages.at(-1)
  return {
    rows,
    total: last?.total ?? 0,
    partial: last?.partial ?? [],
    isOutdated: outdated === key,
    reload,
    stale,
    show,
    query,
  }
}

/** The first agents that fit, `limit` at most, with their modes: who is chosen is known before anything is done. */
export async function everyMatching(filters: Filters, limit: number) {
  const found = new Map<string, SupervisedAgent['management_mode']>()
  let cursor: string | null = ''
  while (cursor !== null && found.size < limit) {
    const page: GatewayPage = await agentApi.list({
      ...filters,
      limit: Math.min(1000, limit - found.size),
      ...(cursor ? { cursor } : {}),
    })
    for (const row of page.items) found.set(row.instance_id, row.management_mode)
    cursor = page.next_cursor
  }
  return found
}
