import { screen, waitFor, within } from '@testing-library/react'
import userEvent from '@testing-library/user-event'
import { HttpResponse, http } from 'msw'
import { beforeEach, describe, expect, it } from 'vitest'
import { draft, keepDraft } from '../editor/drafts'
import { visit } from '../testing/render'
import { diagnosisOf, fleet, problem, server } from '../testing/server'
import { openStreams, streamOf } from '../testing/streams'

const AGENT = fleet[0]!.instance_id
const config = (exporter: string) => `receivers:
  otlp: {}
exporters:
  ${exporter}: {}
service:
  pipelines:
    traces: {receivers: [otlp], exporters: [${exporter}]}
`
const at = '2026-11-02T08:15:30Z'
const delivery = (id: string, hash: string, state = 'applied', error: string | null = null) => ({
  delivery_id: id,
  instance_id: AGENT,
  config_hash: hash,
  state,
  error,
  created_at: at,
  updated_at: at,
})

/** What the server has assigned; tests change it. */
let assigned: { hash: string; text: string; delivery: ReturnType<typeof delivery> }
const effective = config('debug').replace('debug: {}', 'debug: {token: "[REDACTED]"}')
const pushed: { text: string; condition: string | null }[] = []

beforeEach(() => {
  pushed.length = 0
  assigned = { hash: 'aaaa', text: config('debug'), delivery: delivery('d-a', 'aaaa') }
  server.use(
    http.get('*/api/v1/gateways/:id/config', () =>
      HttpResponse.json({
        gateway_id: fleet[0]!.gateway_id,
        instance_id: AGENT,
        effective: { files: { '': { body: effective, encoding: 'utf-8', content_type: null } }, hash: 'ee', reported_at: at },
        assigned: assigned.hash ? { config_hash: assigned.hash, config: assigned.text } : null,
        state: assigned.delivery.state,
        error: null,
        delivery: assigned.hash ? assigned.delivery : null,
        reported: null,
      }),
    ),
    http.get('*/api/v1/gateways/:id/version', () =>
      HttpResponse.json({ components: { exporters: { components: { debug: {}, nop: {}, otlp: {} } } } }),
    ),
    http.get('*/api/v1/deliveries/:id', ({ params }) => HttpResponse.json({ ...assigned.delivery, delivery_id: params.id })),
    http.post('*/api/v1/supervisor/ui/agents/:id/config', async ({ request }) => {
      const text = ((await request.json()) as { config: string }).config
      pushed.push({ text, condition: request.headers.get('if-match') ?? request.headers.get('if-none-match') })
      if (request.headers.get('if-match') !== `"${assigned.hash}"` && assigned.hash) {
        return problem(412, 'Somebody has assigned another configuration meanwhile.')
      }
      const hash = `new${pushed.length}`
      assigned = { hash, text, delivery: delivery(`d-${hash}`, hash) }
      return HttpResponse.json({ delivery_id: `d-${hash}`, config_hash: hash, state: 'pending' }, { status: 202 })
    }),
  )
})

async function open() {
  const shown = visit(`/agents/${AGENT}/edit`)
  return { ...shown, field: await screen.findByRole<HTMLTextAreaElement>('textbox', { name: 'Configuration' }) }
}
async function write(field: HTMLElement, text: string) {
  await userEvent.clear(field)
  await userEvent.click(field)
  await userEvent.paste(text)
}
const send = () => screen.getByRole('button', { name: 'Save and Send to Agent' })
async function sendIt() {
  await waitFor(() => expect(send()).toBeEnabled())
  await waitFor(() => expect(send()).not.toHaveAttribute('aria-disabled'))
  await userEvent.click(send())
}

describe('the editor of an agent', () => {
  it('sends over the configuration that was seen, and follows it until the agent runs with it', async () => {
    const { field } = await open()
    await write(field, config('nop'))
    expect(draft(AGENT)).toEqual({ text: config('nop'), base: 'aaaa' })
    await sendIt()
    expect(await screen.findByText('The agent runs with it.')).toBeInTheDocument()
    expect(pushed).toEqual([{ text: config('nop'), condition: '"aaaa"' }])
    await waitFor(() => expect(draft(AGENT)).toBeNull())
    expect(screen.queryByRole('status', { name: /^Another configuration was assigned/ })).not.toBeInTheDocument()
    await write(field, config('otlp'))
    await sendIt()
    await waitFor(() => expect(pushed[1]?.condition).toBe('"new1"'))
  })

  it('keeps what is typed while the former text is being sent', async () => {
    let answer = () => {}
    const { field, unmount } = await open()
    server.use(
      http.post('*/api/v1/supervisor/ui/agents/:id/config', async () => {
        await new Promise<void>((resolve) => {
          answer = resolve
        })
        return HttpResponse.json({ delivery_id: 'd-x', config_hash: 'xxxx', state: 'pending' }, { status: 202 })
      }),
    )
    await write(field, config('nop'))
    await sendIt()
    await write(field, config('otlp'))
    answer()
    expect(await screen.findByRole('status', { name: /^Delivery/ })).toBeInTheDocument()
    expect(draft(AGENT)?.text).toBe(config('otlp'))
    unmount()
    expect((await open()).field).toHaveValue(config('otlp'))
  })

  it('replaces what somebody else has sent meanwhile only when that is chosen', async () => {
    const { field } = await open()
    await write(field, config('nop'))
    assigned = { hash: 'theirs', text: config('otlp'), delivery: delivery('d-theirs', 'theirs') }
    await sendIt()
    const notice = await screen.findByRole('status', { name: /^Another configuration was assigned/ })
    expect(send()).toHaveAccessibleDescription(/say above which one counts/)
    expect(field).toHaveValue(config('nop'))
    await userEvent.click(screen.getByText('Compare with the new one'))
    expect(await screen.findByRole('region', { name: 'Beside it' })).toHaveTextContent('exporters: [otlp]')
    await userEvent.click(within(notice).getByRole('button', { name: 'Go on with mine, to replace it' }))
    await sendIt()
    expect(await screen.findByText('The agent runs with it.')).toBeInTheDocument()
    expect(pushed.map((one) => one.condition)).toEqual(['"aaaa"', '"theirs"'])
  })

  it('tells of it as it happens, and takes the new one instead', async () => {
    openStreams()
    const { field } = await open()
    await write(field, config('nop'))
    assigned = { hash: 'theirs', text: config('otlp'), delivery: delivery('d-theirs', 'theirs') }
    const events = await streamOf('/api/v1/events')
    events.send('config.delivery-state-changed', { event: 'config.delivery-state-changed', instance_id: AGENT, state: 'pending' })
    await userEvent.click(await screen.findByRole('button', { name: 'Take the new one' }))
    expect(field).toHaveValue(config('otlp'))
    expect(screen.queryByText('not sent yet')).not.toBeInTheDocument()
  })

  it('knows from which configuration a draft began, and says so when that has changed', async () => {
    keepDraft(AGENT, config('nop'), 'older')
    const { field } = await open()
    expect(field).toHaveValue(config('nop'))
    expect(await screen.findByRole('status', { name: /^Another configuration was assigned/ })).toBeInTheDocument()
  })

  it('starts from the effective one where nothing was sent, and does not send masked secrets', async () => {
    assigned = { ...assigned, hash: '' }
    const { field } = await open()
    expect(field.value).toContain('[REDACTED]')
    const problems = await screen.findByRole('list', { name: 'Problems' })
    expect(within(problems).getByRole('button', { name: /line 4 Here stood a secret/ })).toBeInTheDocument()
    expect(send()).toHaveAttribute('aria-disabled', 'true')
    await write(field, config('nop'))
    await sendIt()
    await waitFor(() => expect(pushed[0]?.condition).toBe('*'))
  })

  it('asks the server about the settled text, and shows its answer at its line before anything is sent', async () => {
    const asked: string[] = []
    server.use(
      http.post('*/api/v1/configs/validate', async ({ request }) => {
        const { config: text } = (await request.json()) as { config: string }
        asked.push(text)
        const errors = text.includes('nop') ? [{ loc: null, message: "the key '1' is there twice", line: 4, column: 3 }] : []
        return HttpResponse.json({ valid: !errors.length, errors })
      }),
    )
    const { field } = await open()
    await write(field, config('nop'))
    expect(await screen.findByRole('button', { name: /line 4 the key '1' is there twice/ })).toBeInTheDocument()
    expect(send()).toHaveAccessibleDescription(/1 error is left/)
    expect(pushed).toEqual([])
    await write(field, 'receivers: [')
    await screen.findByRole('button', { name: /line 1/ })
    await write(field, config('otlp'))
    await waitFor(() => expect(asked.at(-1)).toBe(config('otlp')))
    expect(await screen.findByText('no problems found')).toBeInTheDocument()
    expect(asked).not.toContain('receivers: [')
    server.use(http.post('*/api/v1/configs/validate', () => problem(503, 'config-push does not answer.')))
    await write(field, `${config('otlp')}# another\n`)
    expect(await screen.findByText('not checked by FlowGate')).toHaveAttribute('title', 'config-push does not answer.')
  })

  it('shows a refusal at its line, and what was written stays', async () => {
    server.use(
      http.post('*/api/v1/supervisor/ui/agents/:id/config', () =>
        problem(422, 'It does not parse.', { errors: [{ loc: 'body.config', message: 'the key is there twice', line: 3, column: 2 }] }),
      ),
    )
    const { field } = await open()
    await write(field, config('nop'))
    await sendIt()
    expect(await screen.findByText('Not sent; what you wrote is still here')).toBeInTheDocument()
    expect(await screen.findByRole('button', { name: /line 3 the key is there twice/ })).toBeInTheDocument()
    expect(field).toHaveValue(config('nop'))
  })

  it("marks the line that the collector's words name", async () => {
    const { field } = await open()
    await write(field, config('nop'))
    server.use(
      http.get('*/api/v1/deliveries/:id', ({ params }) =>
        HttpResponse.json(delivery(String(params.id), 'new1', 'failed', "'exporters' unknown type: \"nop\" for id: \"nop\"")),
      ),
    )
    await sendIt()
    expect(await screen.findByRole('status', { name: /^Delivery failed/ })).toHaveTextContent('unknown type')
    expect(await screen.findByRole('button', { name: /line 4 .*unknown type/ })).toBeInTheDocument()
  })

  it("explains a crash by the collector's words where the supervisor has none, and marks their line", async () => {
    const { field } = await open()
    await write(field, config('nop').replace('otlp: {}', 'otlp:\n    endpoint: 127.0.0.1:8080'))
    let isTold = false
    server.use(
      http.get('*/api/v1/deliveries/:id', ({ params }) =>
        HttpResponse.json({
          ...delivery(String(params.id), 'new1', 'failed', 'Agent exited unexpectedly with exit code 1'),
          updated_at: new Date().toISOString(),
        }),
      ),
      http.get('*/api/v1/gateways/:id/diagnosis', () => HttpResponse.json(diagnosisOf(isTold ? 'd-new1' : 'd-before'))),
    )
    await sendIt()
    const told = await screen.findByRole('status', { name: /^Delivery failed/ })
    expect(await within(told).findByText(/exit code 1/)).toBeInTheDocument()
    expect(told).not.toHaveTextContent('address already in use')
    isTold = true
    expect(await within(told).findByText(/address already in use/)).toBeInTheDocument()
    expect(told).toHaveTextContent('Give it another endpoint.')
    expect(within(told).getByRole('link')).toHaveAttribute('href', `/agents/${AGENT}/diagnosis`)
    expect(await screen.findByRole('button', { name: /line 3 .*address already in use/ })).toBeInTheDocument()
  })
})
