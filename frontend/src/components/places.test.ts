import { describe, expect, it } from 'vitest'
import { failingPlace, lineOfKey } from './places'

describe("the line of the collector's words", () => {
  const config = 'receivers:\n  otlp:\nexporters:\n  otpl:\n    endpoint: x\n'
  it.each([
    ['yaml: line 2: mapping values are not allowed', 2],
    ['\'exporters\' unknown type: "otpl" for id: "otpl"', 4],
    ["'receivers' has no 'otpl'", 4],
    ["'receivers' is empty", 1],
    ['exporters::otpl: invalid endpoint', 4],
    ['it just broke', null],
  ])('%s', (words, line) => {
    expect(failingPlace(config, words)?.line ?? null).toBe(line)
  })
})

describe('the line of a key', () => {
  const config = `service:
  pipelines:
    traces:
      receivers: [otlp]
receivers:
  # otlp: is below
  otlp:
    protocols:
      grpc:
        endpoint: "127.0.0.1:4317"
      http:
        endpoint: 127.0.0.1:4318
exporters:
  otlp:
    endpoint: 127.0.0.1:4318
  debug: {}
`
  const inUse = 'listen tcp 127.0.0.1:4318: bind: address already in use'
  it.each([
    ['receivers.otlp', 'it says nothing', 7],
    ['receivers.otlp', inUse, 12],
    ['receivers.otlp', inUse.replace('4318', '4317'), 10],
    ['exporters.otlp.endpoint', 'dial', 15],
    ['exporters.debug', inUse, 16],
    ['exporters.debug.verbosity', 'no value', 16],
    ['exporters.otlp_http', 'no value', 13],
    ['service.pipelines.traces', 'no value', 3],
    ['line 3', '', 3],
    ['line 300', '', null],
    ['connectors.forward', '', null],
    ['', '', null],
  ])('%s: %s', (key, words, line) => {
    expect(lineOfKey(config, key, words)).toBe(line)
  })
  it('is none in an empty text', () => expect(lineOfKey('', 'receivers.otlp', inUse)).toBeNull())
})
