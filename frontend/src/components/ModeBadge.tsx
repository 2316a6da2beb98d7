import type { Gateway } from '../services/api'

const WORDS = {
  supervisor: 'Run by opampsupervisor: it can be configured and restarted from here',
  extension: 'Reports by its own opampextension: it can be watched, not managed',
}

/** How an agent is managed. */
export function ModeBadge({ mode }: { mode: Gateway['management_mode'] }) {
  return (
    <span className="fg-pill" data-tone={mode === 'supervisor' ? 'violet' : 'blue'} title={WORDS[mode]}>
      {mode === 'supervisor' ? 'Supervisor' : 'Extension'}
    </span>
  )
}
