import type { Schemas } from '../services/api'

type State = Pick<
  Schemas['SupervisorState'],
  'collector_state' | 'collector_starts' | 'last_error'
> & { is_crash_looping?: boolean }

export const TONES: Record<string, string> = {
  running: 'good',
  starting: 'blue',
  stopping: 'blue',
  unhealthy: 'bad',
  crashed: 'bad',
  stopped: 'calm',
}

/** State of the collector process under a supervisor. */
export function SupervisorStatus({ supervisor }: { supervisor: State | null }) {
  if (!supervisor) return <span title="Nothing is known of its supervisor yet">–</span>
  const state = supervisor.is_crash_looping ? 'crash loop' : (supervisor.collector_state ?? 'unknown')
  const tone = supervisor.is_crash_looping ? 'bad' : (TONES[state] ?? 'calm')
  const starts = `${supervisor.collector_starts} starts seen`
  return (
    <span
      className="fg-pill"
      data-dot
      data-tone={tone}
      title={supervisor.last_error ? `${starts}. ${supervisor.last_error}` : `Collector ${state}, ${starts}`}
    >
      {state}
    </span>
  )
}
