/** Names of the agents that events are about, each asked for once, many at a time. */
import { type QueryClient, skipToken, useQuery, useQueryClient } from '@tanstack/react-query'
import { useCallback, useEffect, useMemo, useRef } from 'react'
import { agentApi, type FleetEvent } from '../services/api'
import { useFleetEvents } from '../services/live'

export type Names = ReadonlyMap<string, string | null>

const KEY = ['names'] as const
const NONE: Names = new Map()
const AT_ONCE = 100 // ids in a question
const ASK_MILLISECONDS = 500 // a flood of events is one question
const AGAIN_MILLISECONDS = 5000

/** Names by instance_id; null for those that are being asked for, and that nobody has. */
export function useNames(events: FleetEvent[]): Names {
  const queryClient = useQueryClient()
  const { data: names = NONE } = useQuery<Names>({ queryKey: KEY, queryFn: skipToken })
  const missing = useMemo(
    () => [...new Set(events.flatMap(({ instance_id: id }) => (id && !names.has(id) ? [id] : [])))],
    [events, names],
  )
  const wanted = useRef(missing)
  wanted.current = missing
  const timer = useRef<ReturnType<typeof setTimeout>>(undefined)
  useEffect(() => {
    if (!missing.length) return
    timer.current ??= setTimeout(() => {
      timer.current = undefined
      ask(queryClient, wanted.current)
    }, ASK_MILLISECONDS)
  }, [queryClient, missing])
  useEffect(
    () => () => {
      clearTimeout(timer.current)
      timer.current = undefined
    },
    [],
  )
  useFleetEvents(
    useCallback(
      (fresh) => {
        const renamed = fresh.filter((event) => event.event === 'agent.gateway-updated' && event.instance_id && event.name)
        if (renamed.length) learn(queryClient, renamed.map((event) => [event.instance_id!, String(event.name)]))
      },
      [queryClient],
    ),
  )
  return names
}

function learn(queryClient: QueryClient, entries: (readonly [string, string | null])[]): void {
  queryClient.setQueryData<Names>(KEY, (known) => new Map([...(known ?? NONE), ...entries]))
}

function ask(queryClient: QueryClient, ids: string[]): void {
  learn(queryClient, ids.map((id) => [id, null]))
  for (let begin = 0; begin < ids.length; begin += AT_ONCE) {
    const some = ids.slice(begin, begin + AT_ONCE)
    agentApi.list({ instance_id: some, limit: some.length }).then(
      (page) => learn(queryClient, page.items.map((one) => [one.instance_id, one.name])),
      () => setTimeout(() => forget(queryClient, some), AGAIN_MILLISECONDS),
    )
  }
}

function forget(queryClient: QueryClient, ids: string[]): void {
  queryClient.setQueryData<Names>(KEY, (known) => new Map([...(known ?? NONE)].filter(([id, name]) => name || !ids.includes(id))))
}
