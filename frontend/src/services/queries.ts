/** Keys and options of everything that is asked for, so that what changes can be told to all who show it. */
import { QueryClient, queryOptions } from '@tanstack/react-query'
import {
  ApiError,
  agentApi,
  configApi,
  diagnosisApi,
  eventApi,
  fleetApi,
  type MetricsQuery,
  metricsApi,
  operationApi,
  policyApi,
  sessionApi,
  supervisorApi,
  tokenApi,
} from './api'

export const POLL_MILLISECONDS = 7500

export const keys = {
  session: ['session'] as const,
  summary: ['summary'] as const,
  agents: ['agents'] as const,
  supervised: ['supervised'] as const,
  agent: (id: string) => ['agent', id] as const,
  logs: (id: string) => ['logs', id] as const,
  operations: ['operations'] as const,
  operation: (id: string) => ['operation', id] as const,
  tokens: ['enrollment-tokens'] as const,
  policies: ['policies'] as const,
  recent: ['recent'] as const,
}

export function makeQueryClient(): QueryClient {
  return new QueryClient({
    defaultOptions: {
      queries: {
        staleTime: 3000,
        refetchIntervalInBackground: false,
        retry: (count, error) => count < 2 && error instanceof ApiError && [0, 503].includes(error.status),
        retryDelay: (count) => 500 * 2 ** count,
        networkMode: 'always',
      },
      mutations: { networkMode: 'always' },
    },
  })
}

const polled = { refetchInterval: POLL_MILLISECONDS }

export const queries = {
  session: queryOptions({ queryKey: keys.session, queryFn: sessionApi.get, staleTime: 300_000 }),
  about: queryOptions({ queryKey: ['about'], queryFn: sessionApi.about, staleTime: Number.POSITIVE_INFINITY }),
  summary: queryOptions({ queryKey: keys.summary, queryFn: agentApi.summary, ...polled }),
  labels: (q: string) => queryOptions({ queryKey: ['labels', q], queryFn: () => fleetApi.labels(q), staleTime: 30_000 }),
  /** The first agents that a text finds, for suggestions. */
  found: (q: string) =>
    queryOptions({
      queryKey: ['found', q],
      queryFn: async () => (await agentApi.list({ q, limit: 20 })).items,
      staleTime: 30_000,
    }),
  gateway: (id: string) =>
    queryOptions({ queryKey: [...keys.agent(id), 'gateway'], queryFn: () => agentApi.get(id), ...polled }),
  health: (id: string) =>
    queryOptions({ queryKey: [...keys.agent(id), 'health'], queryFn: () => agentApi.health(id), ...polled }),
  version: (id: string) =>
    queryOptions({ queryKey: [...keys.agent(id), 'version'], queryFn: () => agentApi.version(id), staleTime: 60_000 }),
  config: (id: string) =>
    queryOptions({ queryKey: [...keys.agent(id), 'config'], queryFn: () => agentApi.config(id), ...polled }),
  history: (id: string) =>
    queryOptions({ queryKey: [...keys.agent(id), 'history'], queryFn: () => agentApi.history(id), ...polled }),
  delivered: (id: string) =>
    queryOptions({
      queryKey: ['delivered', id],
      queryFn: () => supervisorApi.getDeliveredConfig(id),
      staleTime: Number.POSITIVE_INFINITY,
      select: (one) => one.config,
    }),
  validation: (config: string) =>
    queryOptions({
      queryKey: ['validation', config],
      queryFn: () => configApi.validate(config),
      staleTime: Number.POSITIVE_INFINITY,
      gcTime: 60_000,
    }),
  supervisor: (id: string) =>
    queryOptions({ queryKey: [...keys.agent(id), 'supervisor'], queryFn: () => supervisorApi.getStatus(id), ...polled }),
  supervised: (id: string) =>
    queryOptions({ queryKey: [...keys.agent(id), 'supervised'], queryFn: () => supervisorApi.getAgent(id), ...polled }),
  description: (id: string, isSupervised: boolean) =>
    queryOptions({
      queryKey: [...keys.agent(id), 'description'],
      queryFn: () => (isSupervised ? supervisorApi.getAgentDescription(id) : agentApi.description(id)),
      staleTime: 60_000,
    }),
  recent: (query: Parameters<typeof eventApi.recent>[0]) =>
    queryOptions({ queryKey: [...keys.recent, query], queryFn: () => eventApi.recent(query), ...polled }),
  diagnosis: (id: string) =>
    queryOptions({ queryKey: [...keys.agent(id), 'diagnosis'], queryFn: () => diagnosisApi.get(id), ...polled }),
  operations: queryOptions({ queryKey: [...keys.operations, 'list'], queryFn: operationApi.list, ...polled }),
  operation: (id: string) =>
    queryOptions({
      queryKey: [...keys.operation(id), 'summary'],
      queryFn: () => operationApi.get(id),
      refetchInterval: (query) => (query.state.data?.is_over ? false : POLL_MILLISECONDS),
    }),
  tokens: queryOptions({ queryKey: keys.tokens, queryFn: tokenApi.list, ...polled }),
  policies: queryOptions({ queryKey: keys.policies, queryFn: policyApi.list }),
  metrics: (id: string, minutes: number, query: MetricsQuery = {}) =>
    queryOptions({
      queryKey: [...keys.agent(id), 'metrics', minutes, query],
      queryFn: () =>
        metricsApi.get(id, { ...query, since: new Date(Date.now() - minutes * 60_000).toISOString() }),
      refetchInterval: 10_000,
      staleTime: 8000,
    }),
}
