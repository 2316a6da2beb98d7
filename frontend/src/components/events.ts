/** What an event says, in words. */
import type { FleetEvent } from '../services/api'

export interface Told {
  text: string
  detail?: string
  tone: 'good' | 'bad' | 'warn' | 'blue' | 'calm' | 'violet'
}

const text = (value: unknown): string | undefined => (typeof value === 'string' && value ? value : undefined)
const entries = (value: unknown) => Object.entries((value ?? {}) as Record<string, string>)

export function told(event: FleetEvent): Told {
  const error = text(event.error) ?? text(event.last_error)
  const state = text(event.state) ?? ''
  switch (event.event) {
    case 'agent.registered':
      return { text: 'joined the fleet', tone: 'blue', detail: text(event.name) }
    case 'agent.connected':
      return { text: 'connected', tone: 'good', detail: text(event.transport) && `by ${event.transport}` }
    case 'agent.disconnected':
      return { text: 'went away', tone: 'warn', detail: REASONS[text(event.reason) ?? ''] ?? text(event.reason) }
    case 'agent.health-changed':
      return event.healthy ? { text: 'became healthy', tone: 'good' } : { text: 'became unhealthy', tone: 'bad', detail: error }
    case 'agent.description-changed':
      return {
        text: 'describes itself anew',
        tone: 'calm',
        detail: entries(event.changed).map(([key, value]) => `${key}=${value}`).join(', '),
      }
    case 'agent.capabilities-changed':
      return { text: 'has other capabilities', tone: 'calm', detail: text(event.management_mode) && `${event.management_mode} mode` }
    case 'agent.reidentified':
      return { text: 'came back under a new instance_uid', tone: 'calm', detail: text(event.instance_id) }
    case 'agent.gateway-updated':
      return {
        text: 'got its name and labels',
        tone: 'calm',
        detail: [text(event.name), ...entries(event.labels).map(([key, value]) => `${key}=${value}`)].filter(Boolean).join(', '),
      }
    case 'agent.gateway-removed':
      return { text: 'was taken out of the fleet', tone: 'warn' }
    case 'config.delivery-state-changed':
      return { text: DELIVERIES[state] ?? `configuration ${state}`, tone: TONES[state] ?? 'blue', detail: error }
    case 'config.effective-config-changed':
      return { text: 'reports another effective configuration', tone: 'calm', detail: short(text(event.effective_hash)) }
    case 'supervisor.status-changed':
      return {
        text: event.is_crash_looping
          ? 'has a collector that crashes again and again'
          : `has a collector that is ${text(event.collector_state) ?? 'unknown'}`,
        tone: event.is_crash_looping || ['crashed', 'unhealthy'].includes(text(event.collector_state) ?? '') ? 'bad' : 'calm',
        detail: error,
      }
    case 'supervisor.command-state-changed':
      return { text: `${text(event.type) ?? 'command'} ${COMMANDS[state] ?? state}`, tone: TONES[state] ?? 'blue', detail: error }
    case 'supervisor.config-push-ordered':
      return { text: 'configuration ordered by a bulk operation', tone: 'blue' }
    case 'supervisor.operation-progressed':
      return {
        text: `bulk ${event.action === 'restart' ? 'restart' : 'configuration'} ${state}`,
        tone: TONES[state] ?? 'blue',
        detail: `${event.succeeded} done, ${event.failed} failed, ${Number(event.waiting) + Number(event.running)} to go`,
      }
    default:
      return { text: event.event, tone: 'calm' }
  }
}

const short = (hash?: string) => hash && `hash ${hash.slice(0, 12)}`

const REASONS: Record<string, string> = {
  agent: 'it said goodbye',
  closed: 'its connection was closed',
  timeout: 'nothing was heard of it for too long',
  drain: 'its ingress stopped and it came to no other',
  silence: 'neither it nor its ingress was heard of',
}
const DELIVERIES: Record<string, string> = {
  pending: 'configuration ordered',
  offered: 'configuration sent',
  applying: 'applies a configuration',
  applied: 'runs with the new configuration',
  failed: 'failed to apply the configuration',
  superseded: 'configuration overtaken by a newer one',
}
const COMMANDS: Record<string, string> = {
  pending: 'ordered',
  delivered: 'sent',
  completed: 'seen to be done',
}
const TONES: Record<string, Told['tone']> = {
  applied: 'good',
  completed: 'good',
  succeeded: 'good',
  failed: 'bad',
  expired: 'bad',
  cancelled: 'warn',
  superseded: 'calm',
}
