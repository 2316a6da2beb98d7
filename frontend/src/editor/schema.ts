/** A JSON schema of a collector's configuration: its structure, and the components that an agent was built with. */

export type Components = Partial<Record<Kind, string[]>>
export const KINDS = ['receivers', 'processors', 'exporters', 'extensions', 'connectors'] as const
export type Kind = (typeof KINDS)[number]

// Offered where an agent did not tell what it was built with.
const WELL_KNOWN: Record<Kind, string[]> = {
  receivers: ['otlp', 'hostmetrics', 'filelog', 'prometheus', 'k8s_cluster', 'kubeletstats', 'journald', 'syslog', 'jaeger', 'zipkin', 'kafka'],
  processors: ['batch', 'memory_limiter', 'attributes', 'resource', 'resourcedetection', 'k8sattributes', 'filter', 'transform', 'tail_sampling'],
  exporters: ['otlp', 'otlphttp', 'otlp_grpc', 'otlp_http', 'debug', 'prometheus', 'prometheusremotewrite', 'file', 'kafka', 'loki', 'nop'],
  extensions: ['health_check', 'pprof', 'zpages', 'file_storage', 'basicauth', 'bearertokenauth', 'opamp'],
  connectors: ['spanmetrics', 'servicegraph', 'count', 'forward', 'routing'],
}

const grpc = { type: ['object', 'null'], properties: { endpoint: { type: 'string' }, tls: { type: 'object' } } }
const OWN: Record<string, object> = {
  'receivers.otlp': {
    properties: {
      protocols: { type: ['object', 'null'], description: 'Which protocols are listened to.', properties: { grpc, http: grpc }, additionalProperties: false },
    },
  },
  'processors.batch': {
    properties: {
      timeout: { type: 'string', description: 'How long a batch waits, such as 5s.' },
      send_batch_size: { type: 'integer' },
      send_batch_max_size: { type: 'integer' },
    },
  },
  'processors.memory_limiter': {
    properties: {
      check_interval: { type: 'string' },
      limit_mib: { type: 'integer' },
      spike_limit_mib: { type: 'integer' },
      limit_percentage: { type: 'integer' },
      spike_limit_percentage: { type: 'integer' },
    },
  },
  'exporters.debug': {
    properties: { verbosity: { enum: ['basic', 'normal', 'detailed'] }, sampling_initial: { type: 'integer' }, sampling_thereafter: { type: 'integer' } },
  },
  'exporters.otlp': {
    properties: {
      endpoint: { type: 'string' },
      tls: { type: 'object' },
      headers: { type: 'object' },
      compression: { enum: ['gzip', 'snappy', 'zstd', 'none'] },
      sending_queue: { type: 'object' },
      retry_on_failure: { type: 'object' },
      timeout: { type: 'string' },
    },
  },
}

/** Names may end in `/` and something that tells two of a kind apart. */
function section(kind: Kind, components: Components): object {
  const names = components[kind]?.length ? components[kind] : WELL_KNOWN[kind]
  const bodies = names.map((name) => [name, { type: ['object', 'null'], ...(OWN[`${kind}.${name}`] ?? {}) }] as const)
  return {
    type: ['object', 'null'],
    description: `${kind}, by name; name/anything makes several of one kind.`,
    properties: Object.fromEntries(bodies),
    patternProperties: Object.fromEntries(bodies.map(([name, body]) => [`^${name.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')}/.+$`, body])),
    additionalProperties: { type: ['object', 'null'] },
  }
}

export function collectorSchema(components: Components): object {
  const names = { type: 'array', items: { type: 'string' } }
  const pipeline = {
    type: 'object',
    properties: { receivers: names, processors: names, exporters: names },
    required: ['receivers', 'exporters'],
    additionalProperties: false,
  }
  return {
    type: 'object',
    properties: {
      ...Object.fromEntries(KINDS.map((kind) => [kind, section(kind, components)])),
      service: {
        type: 'object',
        properties: {
          extensions: names,
          telemetry: { type: 'object', description: "The collector's own logs, metrics and traces." },
          pipelines: {
            type: 'object',
            description: 'traces, metrics, logs or profiles; with / and a name several of one signal.',
            patternProperties: { '^(traces|metrics|logs|profiles)(/.+)?$': pipeline },
            additionalProperties: false,
          },
        },
        additionalProperties: false,
      },
    },
    additionalProperties: false,
  }
}
