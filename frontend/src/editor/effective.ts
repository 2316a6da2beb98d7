/** What of an effective configuration is the operator's own: a start for an agent that never got one from here. */
import { isMap, isScalar, isSeq, parseDocument } from 'yaml'

/** The text without the opamp extension and the own telemetry, which the supervisor adds by itself. */
export function withoutSupervisor(text: string): string {
  const document = parseDocument(text, { logLevel: 'silent' })
  if (document.errors.length || !isMap(document.contents)) return text
  const extensions = document.get('extensions')
  if (isMap(extensions)) {
    extensions.delete('opamp')
    if (!extensions.items.length) document.delete('extensions')
  }
  const started = document.getIn(['service', 'extensions'])
  if (isSeq(started)) {
    started.items = started.items.filter((item) => !(isScalar(item) && item.value === 'opamp'))
    if (!started.items.length) document.deleteIn(['service', 'extensions'])
  }
  if (document.hasIn(['service', 'telemetry'])) document.deleteIn(['service', 'telemetry'])
  return document.toString({ lineWidth: 0 })
}

/** Whether a configuration lets anything run; a text that is no YAML counts as one that does. */
export function hasPipelines(text: string): boolean {
  const document = parseDocument(text, { logLevel: 'silent' })
  if (document.errors.length) return true
  const pipelines = isMap(document.contents) ? document.getIn(['service', 'pipelines']) : undefined
  return isMap(pipelines) && pipelines.items.length > 0
}
