import type { Schemas } from '../services/api'

const TONES = { healthy: 'good', unhealthy: 'bad', unknown: 'calm' } as const
const SIGNS = { healthy: '✓', unhealthy: '✕', unknown: '?' } as const

/** How an agent does, with the reason in its own words on hover. */
export function HealthIndicator({ health }: { health: Schemas['HealthSummary'] }) {
  const last = health.last_known
  const why =
    health.last_error ??
    health.health_status ??
    (last ? `Not connected. Last known: ${last.last_error ?? last.health_status ?? 'nothing reported'}` : 'Not reported')
  return (
    <span className="fg-pill" data-tone={TONES[health.state]} title={why}>
      <span aria-hidden>{SIGNS[health.state]}</span>
      {health.state}
    </span>
  )
}
