/** FlowGate's API with a small fleet, for tests: what a test wants otherwise it says by `server.use`. */
import { HttpResponse, http } from 'msw'
import { setupServer } from 'msw/node'
import type { Diagnosis, SupervisedAgent } from '../services/api'

const AT = '2026-11-02T08:15:30.125Z'

export function makeAgent(number: number, changes: Partial<SupervisedAgent> = {}): SupervisedAgent {
  const isSupervised = (changes.management_mode ?? 'supervisor') === 'supervisor'
  const action = (capability: string) => ({
    available: isSupervised,
    capability,
    reason: isSupervised ? null : 'Run the collector under opampsupervisor to manage it.',
  })
  return {
    gateway_id: `5c0d5d43-0d0e-4f53-9d0e-${String(number).padStart(12, '0')}`,
    instance_id: `0198e4b0-7c1d-7a3e-9f00-${String(number).padStart(12, '0')}`,
    name: `otelcol@edge-${number}`,
    management_mode: 'supervisor',
    status: 'online',
    health: { state: 'healthy', healthy: true, health_status: 'StatusOK', last_error: null, since: AT, last_known: null },
    agent_type: 'otelcol',
    version: '0.149.0',
    labels: { env: 'prod' },
    capabilities: isSupervised ? ['ReportsStatus', 'AcceptsRemoteConfig', 'AcceptsRestartCommand'] : ['ReportsStatus'],
    capabilities_mask: '1',
    host_name: `edge-${number}`,
    os_type: 'linux',
    host_arch: 'amd64',
    transport: 'websocket',
    ingress: 'opamp-gateway-0',
    remote_address: '10.0.0.1:1',
    last_seen_at: AT,
    first_seen_at: AT,
    connected_at: AT,
    disconnected_at: null,
    started_at: AT,
    enrollment_token_id: null,
    supervisor: isSupervised
      ? {
          collector_state: 'running',
          collector_started_at: AT,
          collector_starts: 2,
          is_crash_looping: false,
          last_error: null,
          last_error_at: null,
          command: null,
          updated_at: AT,
        }
      : null,
    delivery: null,
    actions: { push_config: action('AcceptsRemoteConfig'), restart: action('AcceptsRestartCommand') },
    ...changes,
  }
}

export const fleet = [
  makeAgent(1),
  makeAgent(2, { management_mode: 'extension' }),
  makeAgent(3, {
    status: 'offline',
    health: {
      state: 'unknown',
      healthy: null,
      health_status: null,
      last_error: null,
      since: null,
      last_known: { healthy: false, health_status: 'StatusPermanentError', last_error: 'port in use', since: AT },
    },
  }),
]

export const page = (items: SupervisedAgent[], total = items.length, next_cursor: string | null = null) =>
  HttpResponse.json({ items, total, next_cursor, partial: [] })

export const problem = (status: number, detail: string, more: object = {}) =>
  HttpResponse.json({ type: 'about:blank', title: 'Problem', status, detail, request_id: 'r-1', ...more }, { status })

const description = {
  identifying_attributes: { 'service.name': 'otelcol', 'service.instance.id': 'i' },
  non_identifying_attributes: { 'host.name': 'edge', 'deployment.environment': 'prod', cores: 4 },
}

const find = (id: string | readonly string[] | undefined) => fleet.find((one) => one.instance_id === id || one.gateway_id === id)

export const server = setupServer(
  http.get('*/api/v1/session', () =>
    HttpResponse.json({ signed_in: true, csrf_token: 'csrf', expires_at: '2099-01-01T00:00:00Z' }),
  ),
  http.get('*/api/v1/about', () => HttpResponse.json({ version: '0.1.0', opamp_url: 'wss://flowgate.test/v1/opamp' })),
  http.get('*/api/v1/fleet/summary', () =>
    HttpResponse.json({
      total: fleet.length,
      by_mode: { supervisor: 2, extension: 1 },
      by_status: { online: 2, stale: 0, offline: 1 },
      by_health: { healthy: 2, unhealthy: 0, unknown: 1 },
      by_version: { '0.149.0': 3 },
      by_config_state: { applied: 1, failed: 0 },
      supervisors: { by_collector_state: { running: 1, crashed: 0 }, crash_looping: 0 },
      partial: [],
    }),
  ),
  http.get('*/api/v1/fleet/labels', () => HttpResponse.json({ items: [] })),
  http.get('*/api/v1/ui/agents', () => page(fleet)),
  http.get('*/api/v1/gateways', () => page(fleet)),
  http.get('*/api/v1/supervisor/ui/agents', () => page(fleet.filter((one) => one.management_mode === 'supervisor'))),
  http.get('*/api/v1/gateways/:id', ({ params }) => {
    const one = find(params.id)
    return one ? HttpResponse.json(one) : problem(404, 'There is no such gateway.')
  }),
  http.get('*/api/v1/gateways/:id/diagnosis', () => HttpResponse.json({ state: 'ok', findings: [], changes_before: [] })),
  http.get('*/api/v1/gateways/:id/health', ({ params }) => {
    const one = find(params.id)!
    return HttpResponse.json({ ...one, ...one.health, uptime_seconds: 60, components: {} })
  }),
  http.get('*/api/v1/gateways/:id/description', () => HttpResponse.json(description)),
  http.get('*/api/v1/supervisor/agents/:id/description', () => HttpResponse.json(description)),
  http.get('*/api/v1/supervisor/agents/:id/status', () => problem(503, 'supervisor-control does not answer.')),
  http.get('*/api/v1/events/recent', () => HttpResponse.json({ items: [], total: 0 })),
  http.get('*/api/v1/supervisor/operations', () => HttpResponse.json({ items: [] })),
  http.get('*/api/v1/supervisor/operations/:id/targets', () => HttpResponse.json({ items: [], next_cursor: null, total: 0 })),
  http.post('*/api/v1/configs/validate', () => HttpResponse.json({ valid: true, errors: [] })),
  http.get('*/api/v1/enrollment-tokens', () => HttpResponse.json({ items: [] })),
  http.get('*/api/v1/supervisor/policies', () => HttpResponse.json({ items: [] })),
)

/** A diagnosis by which a delivery has failed since a port is in use. */
export const diagnosisOf = (delivery_id: string): Partial<Diagnosis> => ({
  state: 'failing',
  summary: 'otelcol@edge-1 fails.',
  findings: [
    {
      statement: 'The configuration bbbb failed: receiver:otlp: 127.0.0.1:8080 is in use by another process.',
      severity: 'critical',
      is_probable_cause: true,
      component: 'receiver:otlp',
      config_key: 'receivers.otlp',
      what_to_do: 'Give it another endpoint.',
      evidence: [
        { source: 'config-push', timestamp: AT, text: 'Agent exited unexpectedly', link: `/api/v1/deliveries/${delivery_id}` },
        { source: 'collector', timestamp: AT, text: 'listen tcp 127.0.0.1:8080: bind: address already in use', link: '/logs' },
      ],
    },
  ],
  changes_before: [],
})
