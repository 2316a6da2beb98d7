/** The public API as the UI uses it: one small object per resource, every failure an `ApiError`. */
import createClient, { type Middleware } from 'openapi-fetch'
import type { components, operations, paths } from './schema'

export type Schemas = components['schemas']
export type Gateway = Schemas['GatewayResponse']
export type GatewayPage = Schemas['GatewayListResponse']
export type SupervisedAgent = Schemas['UiAgent']
export type SupervisedPage = Schemas['UiAgentListResponse']
export type AgentHealth = Schemas['AgentHealthResponse']
export type AgentVersion = Schemas['AgentVersionResponse']
export type AgentConfig = Schemas['AgentConfigResponse']
export type AgentDescription = Schemas['AgentDescriptionResponse']
export type Delivery = Schemas['DeliveryResponse']
export type Command = Schemas['CommandResponse']
export type FleetSummary = Schemas['FleetSummaryResponse']
export type FleetEvent = Schemas['FleetEvent'] & Record<string, unknown>
export type Operation = Schemas['OperationResponse']
export type OperationSummary = Schemas['OperationSummary']
export type NewOperation = Schemas['NewOperation']
export type EnrollmentToken = Schemas['EnrollmentTokenResponse']
export type Policy = Schemas['Policy']
export type PolicyBody = Schemas['PolicyBody']
export type PolicyEffect = Schemas['PolicyEffect']
export type Session = Schemas['SessionResponse']
export type Problem = Schemas['Problem']
export type FleetQuery = NonNullable<operations['listGateways']['parameters']['query']>
export type SupervisedQuery = NonNullable<operations['listUiAgents']['parameters']['query']>

/** Why an answer did not come: a problem document, or status 0 when nothing answered at all. */
export class ApiError extends Error {
  constructor(
    readonly status: number,
    readonly problem: Partial<Problem>,
  ) {
    super(problem.detail ?? problem.title ?? 'FlowGate does not answer.')
    this.name = 'ApiError'
  }

  get isOffline(): boolean {
    return this.status === 0
  }
}

let csrfToken = ''
let onSignedOut: () => void = () => {}

/** What to do when an answer says that the session has ended. */
export function whenSignedOut(act: () => void): void {
  onSignedOut = act
}

let otherTabs: BroadcastChannel | undefined

/** What to do when another tab has signed in or out: the cookie is that of all of them. Ends by the function it gives. */
export function whenSessionChanges(act: () => void): () => void {
  if (typeof BroadcastChannel === 'undefined') return () => {}
  const channel = new BroadcastChannel('flowgate-session')
  channel.onmessage = act
  otherTabs = channel
  return () => channel.close()
}

const guard: Middleware = {
  onResponse({ request, response }) {
    if (response.status === 401 && !request.url.endsWith('/api/v1/session')) onSignedOut()
  },
  onError() {
    return new ApiError(0, { detail: 'FlowGate cannot be reached. What is shown may be out of date.' })
  },
}

/** Sends what changes something with the session's token; once more when another tab has begun another session. */
async function send(request: Request): Promise<Response> {
  if (['GET', 'HEAD'].includes(request.method)) return globalThis.fetch(request)
  const again = request.clone()
  request.headers.set('X-CSRF-Token', csrfToken)
  const response = await globalThis.fetch(request)
  if (response.status !== 403) return response
  await sessionApi.get()
  again.headers.set('X-CSRF-Token', csrfToken)
  return globalThis.fetch(again)
}

// The address is taken at each call, so that tests may serve it.
const client = createClient<paths>({
  baseUrl: globalThis.location?.origin,
  fetch: send,
  querySerializer: { array: { style: 'form', explode: true } },
})
client.use(guard)

type Answer<T> = Promise<{ data?: T; error?: unknown; response: Response }>

async function got<T>(answer: Answer<T>): Promise<T> {
  const { data, error, response } = await answer
  if (response.ok) return data as T
  const problem = typeof error === 'object' && error !== null ? (error as Partial<Problem>) : {}
  throw new ApiError(response.status, problem)
}

const at = (instance_id: string) => ({ params: { path: { instance_id } } })
const of = (gateway_id: string) => ({ params: { path: { gateway_id } } })

export const sessionApi = {
  async get(): Promise<Session> {
    const session = await got(client.GET('/api/v1/session'))
    csrfToken = session.csrf_token ?? ''
    return session
  },
  async signIn(token: string): Promise<Session> {
    const session = await got(client.POST('/api/v1/session', { body: { token } }))
    csrfToken = session.csrf_token ?? ''
    otherTabs?.postMessage('signed in')
    return session
  },
  async signOut(): Promise<void> {
    await got(client.DELETE('/api/v1/session'))
    otherTabs?.postMessage('signed out')
  },
  about: () => got(client.GET('/api/v1/about')),
}

/** Agents in both modes; ids are gateway_id or instance_id. */
export const agentApi = {
  list: (query: FleetQuery) => got(client.GET('/api/v1/gateways', { params: { query } })),
  get: (id: string) => got(client.GET('/api/v1/gateways/{gateway_id}', of(id))),
  health: (id: string) => got(client.GET('/api/v1/gateways/{gateway_id}/health', of(id))),
  version: (id: string) => got(client.GET('/api/v1/gateways/{gateway_id}/version', of(id))),
  description: (id: string) => got(client.GET('/api/v1/gateways/{gateway_id}/description', of(id))),
  config: (id: string) => got(client.GET('/api/v1/gateways/{gateway_id}/config', of(id))),
  history: async (id: string) =>
    (await got(client.GET('/api/v1/gateways/{gateway_id}/config/history', of(id)))).items,
  status: (id: string) => got(client.GET('/api/v1/gateways/{gateway_id}/status', of(id))),
  update: (id: string, body: Schemas['GatewayPatch']) =>
    got(client.PATCH('/api/v1/gateways/{gateway_id}', { ...of(id), body })),
  remove: (id: string) => got(client.DELETE('/api/v1/gateways/{gateway_id}', of(id))),
  summary: () => got(client.GET('/api/v1/fleet/summary')),
}

/** What only agents under a supervisor take. */
export const supervisorApi = {
  /** Both modes, each agent with supervisor, delivery and what can be done with it. */
  listFleet: (query: FleetQuery) => got(client.GET('/api/v1/ui/agents', { params: { query } })),
  listAgents: (query: SupervisedQuery) =>
    got(client.GET('/api/v1/supervisor/ui/agents', { params: { query } })),
  getAgent: (id: string) => got(client.GET('/api/v1/supervisor/ui/agents/{instance_id}', at(id))),
  getStatus: (id: string) => got(client.GET('/api/v1/supervisor/agents/{instance_id}/status', at(id))),
  getAgentDescription: (id: string) =>
    got(client.GET('/api/v1/supervisor/agents/{instance_id}/description', at(id))),
  getLogs: (
    id: string,
    query: NonNullable<operations['listSupervisorLogs']['parameters']['query']> = {},
  ) =>
    got(
      client.GET('/api/v1/supervisor/agents/{instance_id}/logs', {
        params: { path: { instance_id: id }, query },
      }),
    ),
  restartAgent: (id: string) => got(client.POST('/api/v1/supervisor/agents/{instance_id}/restart', at(id))),
  /** Replace the configuration with the hash `base`, empty for none: another one assigned meanwhile is status 412. */
  pushConfig: (id: string, config: string, base: string) =>
    got(
      client.POST('/api/v1/supervisor/ui/agents/{instance_id}/config', {
        params: {
          path: { instance_id: id },
          header: base ? { 'if-match': `"${base}"` } : { 'if-none-match': '*' as const },
        },
        body: { config },
      }),
    ),
  getDelivery: (id: string) =>
    got(client.GET('/api/v1/deliveries/{delivery_id}', { params: { path: { delivery_id: id } } })),
  getDeliveredConfig: (id: string) =>
    got(client.GET('/api/v1/deliveries/{delivery_id}/config', { params: { path: { delivery_id: id } } })),
  getCommand: (id: string) =>
    got(client.GET('/api/v1/commands/{command_id}', { params: { path: { command_id: id } } })),
}

type RecentQuery = NonNullable<operations['listRecentEvents']['parameters']['query']>

export const configApi = {
  /** What a push of this text would be refused for. */
  validate: async (config: string) => (await got(client.POST('/api/v1/configs/validate', { body: { config } }))).errors,
}

export const eventApi = {
  recent: async (query: RecentQuery) => (await eventApi.counted(query)).items,
  /** The latest ones, and with `since` how many there have been since then. */
  counted: async (query: RecentQuery) => {
    const { items, total } = await got(client.GET('/api/v1/events/recent', { params: { query } }))
    return { items: items as FleetEvent[], total: total ?? 0 }
  },
}

export type TargetQuery = NonNullable<operations['listOperationTargets']['parameters']['query']>
export type Target = Schemas['OperationTargetBody']

/** The same action for many agents. */
export const operationApi = {
  list: () => got(client.GET('/api/v1/supervisor/operations', { params: { query: { limit: 50 } } })),
  /** Without its agents, of which there may be 10,000. */
  get: (id: string) =>
    got(
      client.GET('/api/v1/supervisor/operations/{operation_id}', {
        params: { path: { operation_id: id }, query: { targets: false } },
      }),
    ),
  targets: (id: string, query: TargetQuery) =>
    got(
      client.GET('/api/v1/supervisor/operations/{operation_id}/targets', {
        params: { path: { operation_id: id }, query },
      }),
    ),
  begin: (body: NewOperation) => got(client.POST('/api/v1/supervisor/operations', { body })),
  cancel: (id: string) =>
    got(
      client.POST('/api/v1/supervisor/operations/{operation_id}/cancel', {
        params: { path: { operation_id: id } },
      }),
    ),
}

export const tokenApi = {
  list: () => got(client.GET('/api/v1/enrollment-tokens')),
  create: (body: Schemas['NewEnrollmentToken']) => got(client.POST('/api/v1/enrollment-tokens', { body })),
  revoke: (id: string) =>
    got(client.DELETE('/api/v1/enrollment-tokens/{token_id}', { params: { path: { token_id: id } } })),
}

export const policyApi = {
  list: () => got(client.GET('/api/v1/supervisor/policies')),
  /** Make or replace; a dry run only tells what that would do. */
  put: (name: string, body: PolicyBody, dry_run: boolean) =>
    got(client.PUT('/api/v1/supervisor/policies/{name}', { params: { path: { name }, query: { dry_run } }, body })),
  remove: (name: string, dry_run: boolean) =>
    got(client.DELETE('/api/v1/supervisor/policies/{name}', { params: { path: { name }, query: { dry_run } } })),
}

export type Diagnosis = Schemas['DiagnosisResponse']
export type DiagnosisFinding = Diagnosis['findings'][number]
export type SupervisorDetail = Schemas['SupervisorStatusResponse']

export const fleetApi = {
  /** What agents were built with, those that were built alike together. */
  components: async (instance_ids: string[]) =>
    (await got(client.POST('/api/v1/ui/agents/components', { body: { instance_ids } }))).items,
  labels: async (q: string) => (await got(client.GET('/api/v1/fleet/labels', { params: { query: { q } } }))).items,
}

export const diagnosisApi = {
  get: (id: string) => got(client.GET('/api/v1/gateways/{gateway_id}/diagnosis', of(id))),
}

export type LogRecord = Schemas['LogRecordBody']
export type LogQuery = NonNullable<operations['listSupervisorLogs']['parameters']['query']>
export type Metrics = Schemas['MetricsResponse']
export type MetricsQuery = NonNullable<operations['getGatewayMetrics']['parameters']['query']>

export const metricsApi = {
  get: (id: string, query: MetricsQuery = {}) =>
    got(client.GET('/api/v1/gateways/{gateway_id}/metrics', { params: { path: { gateway_id: id }, query } })),
}

/** Where an agent's logs are read as they come, behind a place in them. */
export function logStreamUrl(id: string, query: Pick<LogQuery, 'severity' | 'source' | 'q'> & { behind: string }): string {
  const params = new URLSearchParams()
  for (const [name, value] of Object.entries(query)) if (value) params.set(name, value)
  return `/api/v1/supervisor/agents/${encodeURIComponent(id)}/logs/stream?${params}`
}
