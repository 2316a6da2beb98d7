import { useQuery } from '@tanstack/react-query'
import { useMemo } from 'react'
import { agentApi, type FleetEvent } from '../services/api'

const AT_ONCE = 60 // questions; for more the ids are shown

/** Names of the agents that events are about, by instance_id. */
export function useNames(events: FleetEvent[]): ReadonlyMap<string, string> {
  const ids = useMemo(
    () => [...new Set(events.map((event) => event.instance_id).filter((id) => id !== null))].slice(0, AT_ONCE).sort(),
    [events],
  )
  const { data } = useQuery({
    queryKey: ['names', ids],
    queryFn: async () => {
      const found = await Promise.all(ids.map((id) => agentApi.get(id).catch(() => undefined)))
      return new Map(found.flatMap((one) => (one ? [[one.instance_id, one.name] as const] : [])))
    },
    staleTime: 60_000,
    placeholderData: (known) => known,
    enabled: ids.length > 0,
  })
  return data ?? NONE
}

const NONE: ReadonlyMap<string, string> = new Map()
