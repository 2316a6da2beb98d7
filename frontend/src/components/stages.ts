/** The configurations of an agent, from the one that somebody writes to the one that it runs with. */
import type { AgentConfig, Delivery } from '../services/api'

export type StageKey = 'draft' | 'authored' | 'assigned' | 'running' | 'effective'

export interface Stage {
  key: StageKey
  title: string
  /** What it is, for screen readers and above a comparison. */
  name: string
  hash: string | null
  /** Its text; null where it is fetched by `delivery`, or not known. */
  text: string | null
  delivery: Delivery | null
  /** When it came to be. */
  at: string | null
  /** What there is to say of it. */
  says: string
}

/** The effective configuration as one text; several files follow one another under their names. */
export function effectiveText(config: AgentConfig): string {
  const files = Object.entries(config.effective?.files ?? {})
  if (files.length === 1) return files[0]![1].body
  return files.map(([name, file]) => `# ${name || 'configuration'}\n${file.body}`).join('\n')
}

/**
 * What is known of each stage, in order; stages of which nothing is known are left out.
 *
 * `history` is newest first, and null while it is not known. The agent names what it applied by a hash: the delivery
 * with that hash is what it runs with. Where it refused the latest one, that is the one which it applied before.
 */
export function stagesOf(config: AgentConfig, history: Delivery[] | null, draft: string | null): Stage[] {
  const found: Stage[] = []
  const { assigned, reported, effective } = config
  const textOf = (hash: string) => (assigned?.config_hash === hash ? assigned.config : null)
  if (draft !== null) {
    found.push({
      key: 'draft',
      title: 'Draft',
      name: 'Draft, written in this browser tab',
      hash: null,
      text: draft,
      delivery: null,
      at: null,
      says: 'Written in this browser tab, and not sent.',
    })
  }
  const latest = history?.[0] ?? config.delivery
  if (latest) {
    found.push({
      key: 'authored',
      title: 'Authored',
      name: 'Authored, as it was written and pushed last',
      hash: latest.config_hash,
      text: textOf(latest.config_hash),
      delivery: latest,
      at: latest.created_at,
      says: 'Pushed last.',
    })
  }
  if (assigned) {
    found.push({
      key: 'assigned',
      title: 'Assigned',
      name: 'Assigned, as it was sent',
      hash: assigned.config_hash,
      text: assigned.config,
      delivery: config.delivery,
      at: config.delivery?.updated_at ?? null,
      says: 'What it should run with.',
    })
  }
  const isApplied = reported?.status === 'applied'
  const running = isApplied
    ? (history?.find((one) => one.config_hash === reported.config_hash) ??
      (config.delivery?.config_hash === reported.config_hash ? config.delivery : null))
    : (history?.find((one) => one.state === 'applied') ?? null)
  const hash = isApplied ? reported.config_hash : (running?.config_hash ?? null)
  if (hash) {
    found.push({
      key: 'running',
      title: 'Running',
      name: 'Running, as the agent says that it applied it',
      hash,
      text: textOf(hash),
      delivery: running,
      at: running?.updated_at ?? null,
      says: !isApplied
        ? 'The last one that it applied; it has not applied what came after.'
        : running
          ? 'The agent reports that it applied this one.'
          : 'The agent reports that it applied this one; it is not among its latest deliveries.',
    })
  }
  if (effective) {
    found.push({
      key: 'effective',
      title: 'Effective',
      name: 'Effective, as the agent reports it',
      hash: effective.hash,
      text: effectiveText(config),
      delivery: null,
      at: effective.reported_at,
      says: 'The whole of it as the agent reports it, with what its supervisor added; secrets are masked.',
    })
  }
  return found
}
