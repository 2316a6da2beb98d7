/** A configuration to start from when an agent has none. */
import type { Components } from './schema'

const RECEIVER = 'otlp'
const EXPORTER = 'debug'
const SIGNALS = ['traces', 'metrics', 'logs']

/** OTLP comes in on this host and is written to the collector's log; null when the collector was built without that. */
export function exampleOf(available: Components): string | null {
  const lacks = (kind: keyof Components, name: string) => available[kind] !== undefined && !available[kind].includes(name)
  if (lacks('receivers', RECEIVER) || lacks('exporters', EXPORTER)) return null
  return `receivers:
  ${RECEIVER}:
    protocols:
      grpc:
        endpoint: 127.0.0.1:4317
      http:
        endpoint: 127.0.0.1:4318
exporters:
  ${EXPORTER}:
service:
  pipelines:
${SIGNALS.map((one) => `    ${one}:\n      receivers: [${RECEIVER}]\n      exporters: [${EXPORTER}]\n`).join('')}`
}
