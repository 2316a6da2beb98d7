import type { Delivery } from '../services/api'

const TONES: Record<Delivery['state'], string> = {
  pending: 'warn',
  offered: 'warn',
  applying: 'blue',
  applied: 'good',
  failed: 'bad',
  superseded: 'calm',
}
const WORDS: Record<Delivery['state'], string> = {
  pending: 'Waits for the agent',
  offered: 'Sent to the agent',
  applying: 'The agent is applying it',
  applied: 'The agent runs with it',
  failed: 'The agent refused it',
  superseded: 'A newer one took its place',
}

/** How far the latest configuration got; a dash for an agent that never got one. */
export function ConfigStateBadge({ state, error }: { state: Delivery['state'] | null; error?: string | null }) {
  if (!state) return <span title="No configuration was sent to it">–</span>
  return (
    <span className="fg-pill" data-tone={TONES[state]} title={error ?? WORDS[state]}>
      {state}
    </span>
  )
}
