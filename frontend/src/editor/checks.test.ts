import { describe, expect, it } from 'vitest'
import { check, lacks, shared } from './checks'
import { withoutSupervisor } from './effective'

const GOOD = `receivers:
  otlp: {protocols: {grpc: }}
exporters:
  debug: {}
service:
  pipelines:
    traces:
      receivers: [otlp]
      exporters: [debug]
`
const texts = (text: string, available = {}) => check(text, available).map((one) => `${one.line} ${one.severity} ${one.message}`)

describe('checks of a configuration', () => {
  it('finds nothing in a good one', () => {
    expect(check(GOOD, { receivers: ['otlp'], exporters: ['debug'] })).toEqual([])
  })
  it('names the line of a syntax error', () => {
    expect(texts('receivers:\n  otlp: [\nexporters: {}\n')[0]).toMatch(/^\d error/)
  })
  it('tells what is used and not defined, at its line', () => {
    expect(texts(GOOD.replace('[debug]', '[debug, otlp]'))).toEqual([
      '9 error “otlp” is used in pipeline traces and not defined under exporters or connectors.',
    ])
  })
  it('tells what is defined and not used', () => {
    expect(texts(GOOD.replace('  debug: {}', '  debug: {}\n  file: {}'))).toEqual(['5 warning exporter “file” is defined and not used.'])
  })
  it('tells what the agent was not built with', () => {
    expect(texts(GOOD, { exporters: ['otlp'] })).toEqual([
      '4 error This agent has no exporter “debug”: it was not built with it.',
    ])
  })
  it('takes a connector as exporter of one pipeline and receiver of another', () => {
    const text = `${GOOD.replace('[debug]', '[spanmetrics]')}    metrics:
      receivers: [spanmetrics]
      exporters: [debug]
connectors:
  spanmetrics: {}
`
    expect(texts(text)).toEqual([])
  })
  it('wants memory_limiter first', () => {
    const text = GOOD.replace('exporters:\n', 'processors:\n  batch: {}\n  memory_limiter: {}\nexporters:\n').replace(
      '      exporters',
      '      processors: [batch, memory_limiter]\n      exporters',
    )
    expect(texts(text)).toEqual(['12 warning memory_limiter belongs first: what comes before it is not limited.'])
  })
  it('finds the masks of secrets that FlowGate does not keep', () => {
    const secrets = `  debug:
    token: "[REDACTED]"
    endpoint: https://me:[REDACTED]@example.com
    enrollment: fge_${'*'.repeat(43)}
    statement: replace_pattern(body, "pass=.*", "pass=[REDACTED]") # no secret`
    expect(texts(GOOD.replace('  debug: {}', secrets)).map((one) => one.slice(0, 28))).toEqual([
      '5 error Here stood a secret,',
      '6 error Here stood a secret,',
      '7 error Here stood a secret,',
    ])
  })
  it('says so when there is nothing, or no mapping', () => {
    expect(texts('  \n')).toEqual(['1 error It is empty.'])
    expect(texts('- a\n')[0]).toContain('A configuration is a mapping')
  })
})

it('leaves out what the supervisor adds, and keeps comments', () => {
  const text = `# ours
${GOOD}extensions:
  opamp: {instance_uid: x}
`.replace('service:\n', 'service:\n  extensions: [opamp]\n  telemetry: {metrics: {level: none}}\n')
  const own = withoutSupervisor(text)
  expect(own).toContain('# ours')
  expect(own).not.toContain('opamp')
  expect(own).not.toContain('telemetry')
  expect(check(own, {})).toEqual([])
  for (const none of [GOOD, `${GOOD}extensions:\n`]) expect(withoutSupervisor(none)).toMatch(/exporters: \[ ?debug/)
})

describe('many targets', () => {
  const built = [
    { instance_ids: ['a', 'b'], components: { receivers: ['otlp'], exporters: ['debug', 'kafka'] } },
    { instance_ids: ['c'], components: { receivers: ['otlp', 'nop'], exporters: ['debug'] } },
    { instance_ids: ['d'], components: null },
  ]
  it('says for each component who lacks it, at its line; who did not tell lacks nothing', () => {
    const text = GOOD.replace('  debug: {}', '  debug: {}\n  kafka/a: {}\n  kafka/b: {}\n  file: {}')
    expect(lacks(text, built)).toMatchObject([
      { kind: 'exporters', type: 'file', line: 7, instance_ids: ['a', 'b', 'c'] },
      { kind: 'exporters', type: 'kafka', line: 5, instance_ids: ['c'] },
    ])
    expect(lacks(GOOD, built)).toEqual([])
    expect(lacks('exporters: [', built)).toEqual([])
  })
  it('offers what all of them have', () => {
    expect(shared(built)).toMatchObject({ receivers: ['otlp'], exporters: ['debug'], processors: [] })
    expect(shared([])).toMatchObject({ receivers: [] })
  })
})
