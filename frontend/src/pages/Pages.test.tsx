import { screen, waitFor, within } from '@testing-library/react'
import userEvent from '@testing-library/user-event'
import { HttpResponse, http } from 'msw'
import { describe, expect, it } from 'vitest'
import { visit } from '../testing/render'
import { fleet, makeAgent, page, problem, server } from '../testing/server'

const token = {
  token_id: 't',
  name: 'plant-7',
  state: 'live',
  labels: {},
  max_uses: null,
  uses: 3,
  expires_at: null,
  revoked_at: null,
  last_used_at: null,
  created_at: '2026-11-02T08:15:30.125Z',
  created_by: 'admin',
}
const operation = {
  operation_id: 'o',
  action: 'restart',
  state: 'running',
  is_over: false,
  waiting: 2,
  running: 1,
  succeeded: 3,
  failed: 1,
  skipped: 0,
  updated_at: '2026-11-02T08:15:30.125Z',
  created_at: '2026-11-02T08:15:30.125Z',
  created_by: 'admin',
  config_hash: null,
  max_unavailable: 1,
  stop_on_failure: true,
}

describe('overview', () => {
  it('leads from each count to the agents that it counts', async () => {
    visit('/')
    const status = await screen.findByRole('region', { name: 'Status' })
    expect(within(status).getByRole('link', { name: /offline/ })).toHaveAttribute('href', '/agents?status=offline')
  })
  it('says in words why an agent needs somebody', async () => {
    const failed = makeAgent(7, {
      delivery: { delivery_id: 'd', instance_id: '', config_hash: '', state: 'failed', error: 'unknown exporter', created_at: null, created_by: null, updated_at: null },
    })
    server.use(
      http.get('*/api/v1/ui/agents', ({ request }) =>
        page(new URL(request.url).searchParams.get('config_state') === 'failed' ? [failed] : fleet),
      ),
    )
    visit('/')
    expect(await screen.findByText(/It refused its configuration: unknown exporter/)).toBeInTheDocument()
    expect(screen.getByText('Not connected')).toBeInTheDocument()
  })
  it('leads from the parts of health and version to just those', async () => {
    const versions = Object.fromEntries(Array.from({ length: 8 }, (_, index) => [`0.${index}.0`, 20 - index]))
    server.use(
      http.get('*/api/v1/fleet/summary', () =>
        HttpResponse.json({
          total: 9,
          by_mode: {},
          by_status: {},
          by_health: { healthy: 5, unhealthy: 3, unknown: 1 },
          by_version: versions,
          by_config_state: {},
          supervisors: null,
          partial: [],
        }),
      ),
    )
    visit('/')
    const health = await screen.findByRole('region', { name: 'Health' })
    expect(within(health).getByRole('link', { name: /^unhealthy/ })).toHaveAttribute('href', '/agents?health=unhealthy')
    expect(within(health).getByRole('link', { name: /unknown/ })).toHaveAttribute('href', '/agents?health=unknown')
    const version = screen.getByRole('region', { name: 'Version' })
    expect(within(version).getByRole('link', { name: /others 27/ })).toHaveAttribute('href', '/agents?version=0.6.0&version=0.7.0')
  })
  it('tells what it knows of attention when a part of it does not answer', async () => {
    server.use(
      http.get('*/api/v1/ui/agents', ({ request }) => {
        const query = new URL(request.url).searchParams
        if (query.get('config_state')) return problem(503, 'agent-registry does not answer.')
        return page(query.getAll('status').includes('offline') ? [fleet[2]!] : [])
      }),
    )
    visit('/')
    const attention = await screen.findByRole('region', { name: 'Needs attention' })
    expect(await within(attention).findByText(/Part of it cannot be told now: agent-registry does not answer/)).toBeInTheDocument()
    expect(within(attention).getByText('Not connected')).toBeInTheDocument()
  })
  it('counts crash loops over the whole fleet, and leads to them', async () => {
    const crashing = makeAgent(8)
    crashing.supervisor!.is_crash_looping = true
    server.use(
      http.get('*/api/v1/fleet/summary', () =>
        HttpResponse.json({
          total: 9,
          by_mode: {},
          by_status: {},
          by_health: {},
          by_version: {},
          by_config_state: {},
          supervisors: { by_collector_state: { crashed: 2 }, crash_looping: 2 },
          partial: ['config-push'],
        }),
      ),
      http.get('*/api/v1/ui/agents', ({ request }) =>
        page(new URL(request.url).searchParams.get('crash_looping') === 'true' ? [crashing] : []),
      ),
    )
    visit('/')
    expect(await screen.findByRole('link', { name: '2 collectors crash again and again' })).toHaveAttribute('href', '/agents?health=crash-loop')
    expect(await screen.findByText(/The collector crashes again and again/)).toBeInTheDocument()
  })
  it('says how many changes of the last hour are not shown', async () => {
    const at = new Date().toISOString()
    const items = Array.from({ length: 14 }, (_, number) => ({ event: 'agent.connected', event_id: `e${number}`, instance_id: 'i', occurred_at: at }))
    const asked: string[] = []
    server.use(
      http.get('*/api/v1/events/recent', ({ request }) => {
        asked.push(new URL(request.url).searchParams.get('limit') ?? '')
        return HttpResponse.json({ items, total: 25_000 })
      }),
    )
    visit('/')
    expect(await screen.findByRole('link', { name: 'and 24,986 more' })).toHaveAttribute('href', '/events')
    expect(screen.getByText('25,000 changes')).toBeInTheDocument()
    expect(asked).toEqual(['14'])
  })
})

describe('bulk operations', () => {
  it('say who is left out before anything is done, and warn of the whole fleet', async () => {
    const orders: { dry_run: boolean; instance_ids: string[] }[] = []
    server.use(
      http.post('*/api/v1/supervisor/operations', async ({ request }) => {
        const order = (await request.json()) as (typeof orders)[0]
        orders.push(order)
        const targets = fleet.map((one) => ({
          instance_id: one.instance_id,
          gateway_id: one.gateway_id,
          name: one.name,
          state: one.management_mode === 'supervisor' ? 'waiting' : 'skipped',
          reason: one.management_mode === 'supervisor' ? null : 'it lacks the capability',
          updated_at: null,
        }))
        return HttpResponse.json({ ...operation, dry_run: order.dry_run, targets })
      }),
      http.get('*/api/v1/supervisor/operations/o', () => HttpResponse.json({ ...operation, dry_run: false, targets: [] })),
    )
    const { router } = visit('/agents')
    await userEvent.click(await screen.findByRole('checkbox', { name: 'Select all loaded agents' }))
    await userEvent.click(screen.getByRole('button', { name: 'Restart 3 agents…' }))
    expect(await screen.findByText('These are all of them')).toBeInTheDocument()
    expect(await screen.findByText('1 agent will be left out')).toBeInTheDocument()
    expect(orders.every((order) => order.dry_run)).toBe(true)
    await userEvent.click(screen.getByRole('button', { name: 'Restart 2 agents' }))
    expect(await screen.findByRole('region', { name: 'Operation' })).toBeInTheDocument()
    expect(orders.at(-1)).toMatchObject({ dry_run: false, instance_ids: fleet.map((one) => one.instance_id) })
    expect(router.state.location.pathname).toBe('/operations/o')
  })
  it('warn of everything however it was selected, and say when nobody can take part', async () => {
    server.use(
      http.get('*/api/v1/ui/agents', ({ request }) =>
        page(new URL(request.url).searchParams.get('management_mode') ? [fleet[0]!, fleet[2]!] : fleet),
      ),
      http.post('*/api/v1/supervisor/operations', () =>
        HttpResponse.json({
          ...operation,
          dry_run: true,
          targets: [{ ...fleet[2]!, state: 'skipped', reason: 'it is not connected', updated_at: null }],
        }),
      ),
    )
    visit('/agents?mode=supervisor')
    await userEvent.click(await screen.findByRole('checkbox', { name: 'Select otelcol@edge-3' }))
    await userEvent.click(screen.getByRole('button', { name: 'Restart 1 agent…' }))
    const dialog = await screen.findByRole('dialog')
    expect(await within(dialog).findByText('⚠ 0 agents can take part')).toBeInTheDocument()
    expect(within(dialog).getByText(/it is not connected/)).toBeInTheDocument()
    expect(within(dialog).getByRole('button', { name: 'Restart 0 agents' })).toHaveAttribute('aria-disabled', 'true')
    expect(within(dialog).queryByText('These are all of them')).not.toBeInTheDocument()
    await userEvent.click(within(dialog).getByRole('button', { name: 'Close' }))
    await userEvent.click(screen.getByRole('checkbox', { name: 'Select otelcol@edge-1' }))
    await userEvent.click(screen.getByRole('button', { name: 'Restart 2 agents…' }))
    expect(await screen.findByText('These are all of them')).toBeInTheDocument()
  })
  it('are stopped after the question how many that leaves out', async () => {
    let stopped = false
    server.use(
      http.get('*/api/v1/supervisor/operations', () => HttpResponse.json({ items: [operation] })),
      http.get('*/api/v1/supervisor/operations/o', () =>
        HttpResponse.json({ ...operation, ...(stopped ? { state: 'cancelled' } : {}), dry_run: false, targets: [] }),
      ),
      http.post('*/api/v1/supervisor/operations/o/cancel', () => {
        stopped = true
        return HttpResponse.json({ ...operation, state: 'cancelled', dry_run: false, targets: [] })
      }),
    )
    visit('/operations/o')
    await userEvent.click(await screen.findByRole('button', { name: 'Stop' }))
    await userEvent.click(await screen.findByRole('button', { name: 'Stop, leave 2 out' }))
    await waitFor(() =>
      expect(screen.getByRole('button', { name: 'Stop' })).toHaveAccessibleDescription('It has ended: cancelled'),
    )
  })
})

describe('enrollment tokens', () => {
  it('show a secret once', async () => {
    server.use(
      http.post('*/api/v1/enrollment-tokens', async ({ request }) => {
        expect(await request.json()).toMatchObject({ name: 'plant-7', max_uses: null })
        return HttpResponse.json({ ...token, token: 'fge_secret' }, { status: 201 })
      }),
    )
    visit('/enrollment')
    await userEvent.click(await screen.findByRole('button', { name: 'New token' }))
    await userEvent.type(await screen.findByLabelText(/Name/), 'plant-7')
    await userEvent.click(screen.getByRole('button', { name: 'Make the token' }))
    expect(await screen.findByText('fge_secret')).toBeInTheDocument()
    expect(screen.getByText('Copy it now: it cannot be shown again')).toBeInTheDocument()
  })
  it('are revoked after the question whom that cuts off', async () => {
    const revoked: string[] = []
    server.use(
      http.get('*/api/v1/enrollment-tokens', () => HttpResponse.json({ items: [token] })),
      http.delete('*/api/v1/enrollment-tokens/:id', ({ params }) => {
        revoked.push(String(params.id))
        return HttpResponse.json({ ...token, state: 'revoked' })
      }),
    )
    visit('/enrollment')
    await userEvent.click(await screen.findByRole('button', { name: 'Revoke plant-7' }))
    expect(await screen.findByText(/3 agents came with this token/)).toBeInTheDocument()
    await userEvent.click(screen.getByRole('button', { name: 'Revoke, cut off 3' }))
    await expect.poll(() => revoked).toEqual(['t'])
  })
})

describe('policies', () => {
  const policy = {
    name: 'prod',
    selector: { env: 'prod' },
    own_logs: true,
    own_metrics: null,
    own_traces: null,
    heartbeat_interval_seconds: null,
    updated_at: '2026-11-02T08:15:30.125Z',
    updated_by: 'admin',
  }
  const effect = (restarts: number, dry_run: boolean) => ({
    dry_run,
    matching: 5,
    offers: 4,
    restarts,
    summary: `4 agents would get another offer; ${restarts} of their collectors would restart for it.`,
  })
  const orders: string[] = []
  const answerWith = () => {
    orders.length = 0
    server.use(
      http.get('*/api/v1/supervisor/policies', () => HttpResponse.json({ items: [{ ...policy, name: 'default', selector: {} }, policy] })),
      http.put('*/api/v1/supervisor/policies/:name', async ({ request, params }) => {
        const isDry = new URL(request.url).searchParams.get('dry_run') === 'true'
        const body = (await request.json()) as { own_metrics: boolean | null }
        orders.push(`${isDry ? 'dry ' : ''}put ${String(params.name)} ${JSON.stringify(body)}`)
        return HttpResponse.json({ policy, effect: effect(body.own_metrics ? 3 : 0, isDry) })
      }),
      http.delete('*/api/v1/supervisor/policies/:name', ({ request, params }) => {
        const isDry = new URL(request.url).searchParams.get('dry_run') === 'true'
        orders.push(`${isDry ? 'dry ' : ''}delete ${String(params.name)}`)
        return HttpResponse.json({ policy: null, effect: effect(2, isDry) })
      }),
    )
  }

  it('say what a change does to how many before it is made', async () => {
    answerWith()
    visit('/settings')
    await userEvent.click(await screen.findByRole('button', { name: 'Change prod' }))
    const dialog = await screen.findByRole('dialog')
    expect(await within(dialog).findByText('Restarts no collector')).toBeInTheDocument()
    const metrics = within(dialog).getByRole('radiogroup', { name: 'Own metrics' })
    await userEvent.click(within(metrics).getByText('On'))
    expect(await within(dialog).findByText('Restarts 3 collectors')).toBeInTheDocument()
    expect(orders.every((order) => order.startsWith('dry '))).toBe(true)
    await userEvent.click(within(dialog).getByRole('button', { name: 'Save, restart 3 collectors' }))
    await waitFor(() => expect(orders.at(-1)).toMatch(/^put prod .*"own_metrics":true.*"env":"prod"/))
  })
  it('need a name that is free and a label, and are told what is missing', async () => {
    answerWith()
    visit('/settings')
    await userEvent.click(await screen.findByRole('button', { name: 'New policy' }))
    const dialog = await screen.findByRole('dialog')
    await userEvent.type(within(dialog).getByLabelText(/Name/), 'prod')
    expect(within(dialog).getByLabelText(/Name/)).toHaveAccessibleDescription('There is a policy of this name; change that one')
    await userEvent.type(within(dialog).getByLabelText(/Name/), '-eu')
    expect(within(dialog).getByRole('button', { name: /Save/ })).toHaveAccessibleDescription(/It needs a label/)
    await userEvent.type(within(dialog).getByLabelText(/all of these labels/, { selector: 'input' }), 'region=eu{Enter}')
    await userEvent.click(await within(dialog).findByRole('button', { name: 'Save, offer it to 4 agents' }))
    await waitFor(() => expect(orders.at(-1)).toMatch(/^put prod-eu .*"region":"eu"/))
  })
  it('are deleted after the question, the default one never', async () => {
    answerWith()
    visit('/settings')
    expect(await screen.findByRole('button', { name: /Delete default/ })).toHaveAttribute('aria-disabled', 'true')
    await userEvent.click(screen.getByRole('button', { name: 'Delete prod' }))
    await userEvent.click(await screen.findByRole('button', { name: 'Delete, restart 2 collectors' }))
    await waitFor(() => expect(orders).toEqual(['dry delete prod', 'delete prod']))
  })
})
