/**
 * What happens in the fleet, as it happens: one stream per browser, whichever tab holds it, patched into the query
 * cache. Between events, and without the stream, polling keeps the counts and what is visible right.
 */
import { type InfiniteData, type QueryClient, useQueryClient } from '@tanstack/react-query'
import { useEffect, useSyncExternalStore } from 'react'
import type { FleetEvent, Operation, OperationSummary, SupervisedAgent, SupervisedPage } from './api'
import { patched, withRows } from './patches'
import { keys, queries } from './queries'

export type LiveState = 'connecting' | 'live' | 'polling'

const KINDS = [
  'agent.registered',
  'agent.connected',
  'agent.disconnected',
  'agent.health-changed',
  'agent.description-changed',
  'agent.capabilities-changed',
  'agent.reidentified',
  'agent.gateway-updated',
  'agent.gateway-removed',
  'config.delivery-state-changed',
  'config.effective-config-changed',
  'supervisor.status-changed',
  'supervisor.command-state-changed',
  'supervisor.operation-progressed',
  'supervisor.config-push-ordered',
]
const FLUSH_MILLISECONDS = 250 // a flood of events is one change of the page
const REFRESH_MILLISECONDS = 2000 // counts are asked for again at most this often

type Listener = (events: FleetEvent[]) => void

let state: LiveState = 'connecting'
const stateListeners = new Set<() => void>()
const eventListeners = new Set<Listener>()

function become(next: LiveState): void {
  if (next === state) return
  state = next
  for (const tell of stateListeners) tell()
}

export function useLiveState(): LiveState {
  return useSyncExternalStore(
    (tell) => {
      stateListeners.add(tell)
      return () => stateListeners.delete(tell)
    },
    () => state,
  )
}

/** Calls back with events as they come, several at a time, oldest first. */
export function useFleetEvents(listen: Listener): void {
  useEffect(() => {
    eventListeners.add(listen)
    return () => {
      eventListeners.delete(listen)
    }
  }, [listen])
}

/** Holds the stream, or follows the tab that does, while mounted and signed in. */
export function useLiveUpdates(isSignedIn: boolean): void {
  const queryClient = useQueryClient()
  useEffect(() => {
    if (!isSignedIn) return
    const waiting: FleetEvent[] = []
    let timer: ReturnType<typeof setTimeout> | undefined
    let refreshing: ReturnType<typeof setTimeout> | undefined
    const flush = () => {
      timer = undefined
      const events = waiting.splice(0)
      applyEvents(queryClient, events)
      for (const listen of eventListeners) listen(events)
      refreshing ??= setTimeout(() => {
        refreshing = undefined
        void queryClient.invalidateQueries({ queryKey: keys.summary })
      }, REFRESH_MILLISECONDS)
    }
    const take = (event: FleetEvent) => {
      waiting.push(event)
      timer ??= setTimeout(flush, FLUSH_MILLISECONDS)
    }
    const close = openShared(take)
    return () => {
      close()
      clearTimeout(timer)
      clearTimeout(refreshing)
    }
  }, [queryClient, isSignedIn])
}

/** HTTP/1.1 has six connections per host: of all tabs one holds the stream and tells the others. */
function openShared(take: (event: FleetEvent) => void): () => void {
  if (typeof EventSource === 'undefined') {
    become('polling')
    return () => {}
  }
  if (!navigator.locks || typeof BroadcastChannel === 'undefined') return open(take, () => {})
  const channel = new BroadcastChannel('flowgate-events')
  const leaving = new AbortController()
  let close = () => {}
  channel.onmessage = ({ data }: MessageEvent<{ event?: FleetEvent; state?: LiveState; ask?: true }>) => {
    if (data.event) take(data.event)
    if (data.state) become(data.state)
    if (data.ask && isHolder) channel.postMessage({ state })
  }
  let isHolder = false
  channel.postMessage({ ask: true })
  navigator.locks
    .request('flowgate-events', { signal: leaving.signal }, () => {
      isHolder = true
      close = open(
        (event) => {
          take(event)
          channel.postMessage({ event })
        },
        (next) => channel.postMessage({ state: next }),
      )
      return new Promise<void>((resolve) => leaving.signal.addEventListener('abort', () => resolve()))
    })
    .catch(() => {}) // aborted while it waited
  return () => {
    leaving.abort()
    close()
    channel.close()
  }
}

function open(take: (event: FleetEvent) => void, tell: (next: LiveState) => void): () => void {
  const said = (next: LiveState) => {
    become(next)
    tell(next)
  }
  let source: EventSource
  let again: ReturnType<typeof setTimeout> | undefined
  const begin = () => {
    source = new EventSource('/api/v1/events')
    source.onopen = () => said('live')
    source.onerror = () => {
      said('polling')
      // The browser comes back by itself after a broken connection, not after a refusal.
      if (source.readyState === EventSource.CLOSED) again = setTimeout(begin, 5000)
    }
    for (const kind of KINDS) {
      source.addEventListener(kind, (message) => take(JSON.parse((message as MessageEvent<string>).data)))
    }
  }
  begin()
  return () => {
    clearTimeout(again)
    source.close()
  }
}

/** Patches lists in place and has what an agent's own page shows asked for again. */
export function applyEvents(queryClient: QueryClient, events: FleetEvent[]): void {
  const byAgent = new Map<string, FleetEvent[]>()
  for (const event of events) {
    if (!event.instance_id) continue
    const known = byAgent.get(event.instance_id)
    if (known) known.push(event)
    else byAgent.set(event.instance_id, [event])
  }
  const change = (row: SupervisedAgent) => (byAgent.get(row.instance_id) ?? []).reduce(patched, row)
  queryClient.setQueriesData<InfiniteData<SupervisedPage>>({ queryKey: keys.agents }, (data) =>
    data ? withRows(data, change) : data,
  )
  for (const id of byAgent.keys()) void queryClient.invalidateQueries({ queryKey: keys.agent(id) })
  for (const event of events) {
    if (event.event === 'supervisor.operation-progressed') progressed(queryClient, event)
  }
}

/** Counts come with the event; only an operation that is not in the list yet is asked for. */
function progressed(queryClient: QueryClient, event: FleetEvent): void {
  const id = String(event.operation_id)
  const change = <One extends OperationSummary>(one: One): One => {
    const { state, waiting, running, succeeded, failed, skipped } = event as unknown as OperationSummary
    const isOlder = (one.updated_at ?? '') > (event.occurred_at ?? '')
    if (one.operation_id !== id || isOlder) return one
    const is_over = state !== 'running' && !running
    return { ...one, state, waiting, running, succeeded, failed, skipped, is_over, updated_at: event.occurred_at }
  }
  queryClient.setQueryData<Operation>(queries.operation(id).queryKey, (one) => one && change(one))
  const list = queryClient.getQueryData<{ items: OperationSummary[] }>(queries.operations.queryKey)
  if (list?.items.some((one) => one.operation_id === id)) {
    queryClient.setQueryData(queries.operations.queryKey, { items: list.items.map(change) })
  } else void queryClient.invalidateQueries({ queryKey: keys.operations })
}
