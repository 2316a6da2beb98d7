import type { Gateway } from '../services/api'

const TONES = { online: 'good', stale: 'warn', offline: 'calm' } as const
const WORDS = {
  online: 'Connected and heard of lately',
  stale: 'Connected, but not heard of for longer than it should be',
  offline: 'Not connected',
}

/** Whether an agent is there. */
export function AgentStatusBadge({ status }: { status: Gateway['status'] }) {
  return (
    <span className="fg-pill" data-dot data-tone={TONES[status]} title={WORDS[status]}>
      {status}
    </span>
  )
}
