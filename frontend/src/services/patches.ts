/** What an event changes of a row, so that a list is right between two polls. */
import type { InfiniteData } from '@tanstack/react-query'
import type { Delivery, FleetEvent, Gateway, SupervisedAgent } from './api'

const text = (value: unknown): string | null => (typeof value === 'string' && value ? value : null)

/** The row as an event leaves it; the same object when the event does not say anything that it shows. */
export function patched(row: SupervisedAgent, event: FleetEvent): SupervisedAgent {
  if (event.instance_id !== row.instance_id && event.gateway_id !== row.gateway_id) return row
  const at = event.occurred_at ?? row.last_seen_at
  switch (event.event) {
    case 'agent.connected':
      return { ...row, status: 'online', connected_at: at, last_seen_at: at, disconnected_at: null }
    case 'agent.disconnected': {
      const { last_known: _, state: __, ...reported } = row.health
      const nothing = { healthy: null, health_status: null, last_error: null, since: null }
      const last_known = row.health.last_known ?? reported
      return { ...row, status: 'offline', disconnected_at: at, health: { state: 'unknown', ...nothing, last_known } }
    }
    case 'agent.health-changed': {
      const healthy = event.healthy === true
      return {
        ...row,
        health: {
          state: healthy ? 'healthy' : 'unhealthy',
          healthy,
          health_status: text(event.status),
          last_error: text(event.last_error),
          since: at,
          last_known: null,
        },
      }
    }
    case 'agent.gateway-updated':
      return {
        ...row,
        name: text(event.name) ?? row.name,
        labels: (event.labels as Record<string, string> | null) ?? row.labels,
      }
    case 'agent.capabilities-changed':
      return {
        ...row,
        management_mode: (text(event.management_mode) as Gateway['management_mode'] | null) ?? row.management_mode,
        capabilities: (event.capabilities as string[] | null) ?? row.capabilities,
      }
    case 'agent.description-changed': {
      const changed = (event.changed ?? {}) as Record<string, string>
      return {
        ...row,
        version: changed['service.version'] ?? row.version,
        host_name: changed['host.name'] ?? row.host_name,
      }
    }
    case 'config.delivery-state-changed':
      return delivered(row, event, at)
    case 'supervisor.status-changed': {
      const error = text(event.last_error)
      return {
        ...row,
        supervisor: {
          command: row.supervisor?.command ?? null,
          collector_state: text(event.collector_state),
          collector_started_at: text(event.collector_started_at),
          collector_starts: (event.collector_starts as number | string | null) ?? row.supervisor?.collector_starts ?? 0,
          is_crash_looping: event.is_crash_looping === true,
          last_error: error,
          last_error_at: error === row.supervisor?.last_error ? (row.supervisor?.last_error_at ?? at) : error && at,
          updated_at: at,
        },
      }
    }
    default:
      return row
  }
}

/** A superseded delivery is not the latest one, nor is one that was refused before it was in any state. */
function delivered(row: SupervisedAgent, event: FleetEvent, at: string | null): SupervisedAgent {
  const [state, id] = [text(event.state) as Delivery['state'] | null, text(event.delivery_id)]
  if (!state || !id || state === 'superseded' || (state === 'failed' && !event.previous_state)) return row
  return {
    ...row,
    delivery: {
      delivery_id: id,
      instance_id: row.instance_id,
      config_hash: text(event.config_hash) ?? '',
      state,
      error: text(event.error),
      created_at: row.delivery?.delivery_id === id ? row.delivery.created_at : at,
      created_by: row.delivery?.delivery_id === id ? row.delivery.created_by : null,
      updated_at: at,
    },
  }
}

/** The same pages with changed rows; pages without a change stay the same objects. */
export function withRows<Row extends Gateway, Page extends { items: Row[] }>(
  data: InfiniteData<Page>,
  change: (row: Row) => Row,
): InfiniteData<Page> {
  let isChanged = false
  const pages = data.pages.map((page) => {
    let touched = false
    const items = page.items.map((row) => {
      const next = change(row)
      touched ||= next !== row
      return next
    })
    isChanged ||= touched
    return touched ? { ...page, items } : page
  })
  return isChanged ? { ...data, pages } : data
}
