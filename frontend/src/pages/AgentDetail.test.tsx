import { screen, waitFor, within } from '@testing-library/react'
import userEvent from '@testing-library/user-event'
import { HttpResponse, http } from 'msw'
import { beforeEach, describe, expect, it, vi } from 'vitest'
import { visit } from '../testing/render'
import { diagnosisOf, fleet, server } from '../testing/server'

const agent = fleet[0]!
const at = '2026-11-02T08:15:30Z'

describe('the tabs of an agent', () => {
  it('show how its parts do; those that do not work are open', async () => {
    const part = (healthy: boolean, components = {}, last_error: string | null = null) => ({
      healthy,
      status: healthy ? 'StatusOK' : 'StatusPermanentError',
      last_error,
      started_at: at,
      status_at: at,
      components,
    })
    server.use(
      http.get('*/api/v1/gateways/:id/health', () =>
        HttpResponse.json({
          ...agent,
          ...agent.health,
          uptime_seconds: 7200,
          components: {
            'pipeline:traces': part(false, { 'exporter:otlp': part(false, {}, 'connection refused') }),
            'pipeline:logs': part(true, { 'exporter:debug': part(true) }),
          },
        }),
      ),
    )
    visit(`/agents/${agent.instance_id}`)
    const health = await screen.findByRole('region', { name: 'Health' })
    expect(await within(health).findByText(/up for 2 h/)).toBeInTheDocument()
    const [traces, logs] = within(health).getAllByRole('group')
    expect(traces).toHaveAttribute('open')
    expect(within(traces!).getByText('connection refused')).toBeVisible()
    expect(logs).not.toHaveAttribute('open')
    await userEvent.click(within(logs!).getByText('pipeline:logs'))
    expect(logs).toHaveAttribute('open')
  })

  it('lead from what an agent says is wrong to why it is', async () => {
    server.use(
      http.get('*/api/v1/gateways/:id/health', () =>
        HttpResponse.json({ ...agent, ...agent.health, state: 'unhealthy', last_error: 'exit code=1', uptime_seconds: null, components: {} }),
      ),
      http.get('*/api/v1/gateways/:id/diagnosis', () => HttpResponse.json(diagnosisOf('d-1'))),
    )
    const { router } = visit(`/agents/${agent.instance_id}?status=online`)
    await userEvent.click(await screen.findByRole('button', { name: 'Why, and what to do' }))
    expect(await screen.findByRole('region', { name: /8080 is in use by another process/ })).toBeInTheDocument()
    expect(router.state.location).toMatchObject({ pathname: `/agents/${agent.instance_id}/diagnosis`, search: '?status=online' })
  })

  it('diagnose: the probable cause first, with evidence, what to do, and what changed before', async () => {
    server.use(
      http.get('*/api/v1/gateways/:id/diagnosis', () =>
        HttpResponse.json({
          gateway_id: agent.gateway_id,
          instance_id: agent.instance_id,
          state: 'failing',
          summary: 'The collector cannot reach its backend',
          findings: [
            {
              statement: 'otlp is refused by its endpoint',
              severity: 'critical',
              is_probable_cause: true,
              component: 'exporter:otlp',
              config_key: 'exporters::otlp::endpoint',
              what_to_do: 'Correct the endpoint, or start what listens there.',
              evidence: [{ source: 'collector', timestamp: at, text: 'dial tcp 10.0.0.9:4317: connection refused' }],
            },
            {
              statement: 'The queue is filling',
              severity: 'warning',
              is_probable_cause: false,
              component: null,
              config_key: null,
              what_to_do: 'It empties when the endpoint is back.',
              evidence: [],
            },
          ],
          changes_before: [{ timestamp: at, text: 'configuration 9b1c was applied' }],
          partial: [],
        }),
      ),
    )
    visit(`/agents/${agent.instance_id}/diagnosis`)
    const cause = await screen.findByRole('region', { name: 'otlp is refused by its endpoint' })
    expect(within(cause).getByText('probable cause')).toBeInTheDocument()
    expect(cause).toHaveTextContent('exporter:otlp · exporters::otlp::endpoint')
    expect(cause).toHaveTextContent('dial tcp 10.0.0.9:4317: connection refused')
    expect(cause).toHaveTextContent('Correct the endpoint')
    expect(within(screen.getByRole('region', { name: 'The queue is filling' })).getByText('warning')).toBeInTheDocument()
    expect(screen.getByRole('region', { name: 'What changed before' })).toHaveTextContent('configuration 9b1c was applied')
    expect(screen.getByText('The collector cannot reach its backend')).toBeInTheDocument()
  })
})

describe('metrics', () => {
  let asked: URLSearchParams[]
  beforeEach(() => {
    asked = []
    // A canvas draws nothing here; what a chart says in words is looked at.
    const context = new Proxy({}, { get: (_, name) => (name === 'measureText' ? () => ({ width: 10 }) : () => {}), set: () => true })
    vi.spyOn(HTMLCanvasElement.prototype, 'getContext').mockReturnValue(context as never)
    vi.stubGlobal('Path2D', class { moveTo() {} lineTo() {} rect() {} arc() {} closePath() {} })
    server.use(
      http.get('*/api/v1/gateways/:id/metrics', ({ request }) => {
        asked.push(new URL(request.url).searchParams)
        return HttpResponse.json({
          step_seconds: 30,
          timestamps: [1_793_600_000, 1_793_600_030],
          names: [],
          series: [
            { name: 'otelcol_process_memory_rss', unit: 'By', kind: 'gauge', source: 'collector', attributes: {}, values: [0, 120 * 1024 * 1024] },
            { name: 'otelcol_exporter_sent_spans', unit: '1/s', kind: 'rate', source: 'collector', attributes: { exporter: 'otlp' }, values: [3, 4.25] },
          ],
        })
      }),
    )
  })

  it('are charts that also say what they show', async () => {
    visit(`/agents/${agent.instance_id}/metrics`)
    expect(await screen.findByRole('img', { name: 'Memory in MiB. Latest: collector 120' })).toBeInTheDocument()
    expect(screen.getByRole('img', { name: 'Sent in items/s. Latest: otlp spans 4.25' })).toBeInTheDocument()
    expect(screen.queryByRole('img', { name: /^CPU/ })).not.toBeInTheDocument()
    expect(screen.getByText('a value every 30 s')).toBeInTheDocument()
    await userEvent.click(screen.getByText('24 h'))
    await waitFor(() => expect(Date.now() - Date.parse(asked.at(-1)!.get('since')!)).toBeGreaterThan(23 * 3_600_000))
  })

  it('say why there are none', async () => {
    server.use(
      http.get('*/api/v1/gateways/:id/metrics', () => HttpResponse.json({ step_seconds: 30, timestamps: [], names: [], series: [] })),
    )
    visit(`/agents/${agent.instance_id}/metrics`)
    expect(await screen.findByText('No metrics yet')).toBeInTheDocument()
  })
})
