import { screen, waitFor, within } from '@testing-library/react'
import userEvent from '@testing-library/user-event'
import { HttpResponse, http } from 'msw'
import { beforeEach, describe, expect, it } from 'vitest'
import { visit } from '../testing/render'
import { fleet, makeAgent, page, server } from '../testing/server'

const supervised = [makeAgent(1), makeAgent(2)]

beforeEach(() => {
  server.use(
    http.get('*/api/v1/ui/agents', () => page(supervised)),
    http.get('*/api/v1/supervisor/ui/agents', ({ request }) => {
      const query = new URL(request.url).searchParams
      const total = query.get('health') === 'unhealthy' ? 3 : { online: 40, stale: 5, offline: 7 }[query.get('status') ?? ''] ?? 52
      return page([], total)
    }),
    http.get('*/api/v1/fleet/summary', () =>
      HttpResponse.json({
        total: 60,
        by_mode: { supervisor: 52, extension: 8 },
        by_status: {},
        by_health: {},
        by_version: {},
        by_config_state: { applied: 30, failed: 2, pending: 0 },
        supervisors: { by_collector_state: { running: 44, crashed: 1, stopped: 0 }, crash_looping: 1 },
        partial: [],
      }),
    ),
  )
})

describe('supervisors', () => {
  it('are counted, and each count leads to those that it counts', async () => {
    const { router } = visit('/supervisors')
    for (const [name, search] of [
      ['Under a supervisor 52', ''],
      ['Online 40', '?status=online'],
      ['Unhealthy 3', '?health=unhealthy'],
      ['Crash loops 1', '?health=crash-loop'],
      ['Stale 5', '?status=stale'],
      ['Offline 7', '?status=offline'],
      ['2 failed', '?config=failed'],
    ] as const) {
      await userEvent.click(await screen.findByRole('button', { name }))
      await waitFor(() => expect(router.state.location.search).toBe(search))
    }
    expect(screen.getByText('44 running')).toBeInTheDocument()
    expect(screen.queryByText('0 stopped')).not.toBeInTheDocument()
  })

  it('show the state of each collector, and take orders for many', async () => {
    supervised[1]!.supervisor = { ...supervised[1]!.supervisor!, collector_state: 'crashed', is_crash_looping: true, last_error: 'exit 1' }
    const orders: { config?: string; dry_run: boolean; instance_ids: string[] }[] = []
    server.use(
      http.post('*/api/v1/ui/agents/components', () =>
        HttpResponse.json({
          items: [{ agents: 2, instance_ids: supervised.map((one) => one.instance_id), components: { receivers: ['otlp'], exporters: ['debug'] } }],
        }),
      ),
      http.post('*/api/v1/configs/validate', async ({ request }) => {
        const { config } = (await request.json()) as { config: string }
        return config.includes('# twice')
          ? HttpResponse.json({ valid: false, errors: [{ loc: null, message: 'the key is there twice', line: 1, column: 1 }] })
          : HttpResponse.json({ valid: true, errors: [] })
      }),
      http.post('*/api/v1/supervisor/operations', async ({ request }) => {
        const order = (await request.json()) as (typeof orders)[0]
        orders.push(order)
        const targets = supervised.map((one) => ({ ...one, state: 'waiting', reason: null, updated_at: null }))
        return HttpResponse.json({ ...fleet[0], operation_id: order.dry_run ? null : 'o', action: 'push_config', state: 'running', targets })
      }),
      http.get('*/api/v1/supervisor/operations/o', () => new HttpResponse(null, { status: 404 })),
    )
    const { router } = visit('/supervisors')
    const row = await screen.findByRole('row', { name: /edge-2/ })
    expect(within(row).getByText('crash loop')).toHaveAttribute('title', expect.stringContaining('exit 1'))
    await userEvent.click(screen.getByRole('checkbox', { name: 'Select all loaded agents' }))
    await userEvent.click(screen.getByRole('button', { name: 'Send a configuration to 2 agents…' }))
    const dialog = await screen.findByRole('dialog')
    const field = await within(dialog).findByRole('textbox', { name: 'Configuration' })
    const send = within(dialog).getByRole('button', { name: 'Send to 2 agents' })
    expect(send).toHaveAttribute('aria-disabled', 'true')
    const good = 'receivers: {otlp: }\nexporters: {debug: }\nservice: {pipelines: {logs: {receivers: [otlp], exporters: [debug]}}}\n'
    await userEvent.click(field)
    await userEvent.paste(`${good}# twice\n`)
    expect(await within(dialog).findByRole('button', { name: /line 1 the key is there twice/ })).toBeInTheDocument()
    await userEvent.clear(field)
    await userEvent.paste(good)
    await waitFor(() => expect(within(dialog).getByText('no problems found')).toBeInTheDocument())
    await waitFor(() => expect(send).not.toHaveAttribute('aria-disabled'))
    expect(orders.every((order) => order.dry_run)).toBe(true)
    await userEvent.click(send)
    await waitFor(() => expect(router.state.location.pathname).toBe('/operations/o'))
    expect(orders.at(-1)).toMatchObject({ dry_run: false, config: good, instance_ids: supervised.map((one) => one.instance_id) })
  })
})
