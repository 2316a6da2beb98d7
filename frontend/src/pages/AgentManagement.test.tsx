import { screen, waitFor, within } from '@testing-library/react'
import userEvent from '@testing-library/user-event'
import { HttpResponse, http } from 'msw'
import { describe, expect, it } from 'vitest'
import { visit } from '../testing/render'
import { fleet, makeAgent, page, problem, server } from '../testing/server'

describe('the list of agents', () => {
  it('shows every agent with status, health and mode', async () => {
    visit('/agents')
    const table = await screen.findByRole('table', { name: 'Agents' })
    const row = within(table).getByRole('row', { name: /edge-2/ })
    expect(row).toHaveTextContent('Extension')
    expect(row).toHaveTextContent('healthy')
    expect(table).toHaveAttribute('aria-rowcount', '4')
  })

  it('asks the server for what the address says, and writes filters into it', async () => {
    const asked: string[] = []
    server.use(
      http.get('*/api/v1/ui/agents', ({ request }) => {
        asked.push(new URL(request.url).search)
        return page(fleet)
      }),
    )
    const { router } = visit('/agents?status=online&sort=-version')
    await screen.findByRole('table', { name: 'Agents' })
    expect(asked[0]).toContain('status=online')
    expect(asked[0]).toContain('sort=-version')
    await userEvent.click(screen.getByRole('button', { name: 'offline' }))
    await userEvent.type(screen.getByRole('combobox', { name: 'Search agents' }), 'edge')
    await waitFor(() => expect(router.state.location.search).toContain('q=edge'))
    expect(router.state.location.search).toContain('status=online&status=offline')
    await waitFor(() => expect(asked).toContainEqual(expect.stringContaining('q=edge')))
    await userEvent.click(screen.getByRole('button', { name: 'Clear filters' }))
    await waitFor(() => expect(router.state.location.search).toBe('?sort=-version'))
  })

  it('filters by version and by the state of the configuration', async () => {
    const asked: string[] = []
    server.use(
      http.get('*/api/v1/ui/agents', ({ request }) => {
        asked.push(new URL(request.url).search)
        return page(fleet)
      }),
    )
    const { router } = visit('/agents')
    await screen.findByRole('option', { name: '0.149.0' })
    await userEvent.selectOptions(screen.getByRole('combobox', { name: 'Version' }), '0.149.0')
    await userEvent.selectOptions(screen.getByRole('combobox', { name: 'Configuration' }), 'failed')
    expect(router.state.location.search).toBe('?version=0.149.0&config=failed')
    await waitFor(() => expect(asked).toContainEqual(expect.stringContaining('version=0.149.0&config_state=failed')))
  })

  it('suggests hosts and names of the whole fleet, as one types', async () => {
    const asked: string[] = []
    server.use(
      http.get('*/api/v1/gateways', ({ request }) => {
        const query = new URL(request.url).searchParams
        asked.push(`${query.get('q')} ${query.get('limit')}`)
        return page([makeAgent(19_999, { name: 'otelcol@far-away', host_name: 'far-away' })])
      }),
    )
    visit('/agents')
    const search = await screen.findByRole('combobox', { name: 'Search agents' })
    expect(asked).toEqual([])
    await userEvent.type(search, 'far')
    await waitFor(() => expect(document.querySelector('datalist option[value="far-away"]')).toBeInTheDocument())
    expect(document.querySelector('datalist option[value="otelcol@far-away"]')).toBeInTheDocument()
    expect(asked.at(-1)).toBe('far 20')
  })

  it('suggests labels of the whole fleet, and filters by crash loops', async () => {
    const asked: string[] = []
    server.use(
      http.get('*/api/v1/fleet/labels', ({ request }) => {
        asked.push(new URL(request.url).searchParams.get('q') ?? '')
        return HttpResponse.json({ items: [{ key: 'site', value: 'far-away', gateways: 4000 }] })
      }),
    )
    const { router } = visit('/agents')
    const field = await screen.findByRole('combobox', { name: 'Label' })
    expect(asked).toEqual([])
    await userEvent.type(field, 'far')
    await waitFor(() => expect(document.querySelector('option[value="site=far-away"]')).toHaveTextContent('4,000 agents'))
    await waitFor(() => expect(asked).toContain('far'))
    await userEvent.clear(field)
    await userEvent.type(field, 'site=far-away{Enter}')
    await userEvent.selectOptions(screen.getByRole('combobox', { name: 'Health' }), 'Crash loop')
    expect(router.state.location.search).toBe('?label=site%3Dfar-away&health=crash-loop')
    expect(field).toHaveValue('')
  })

  it('sorts by the column that is clicked, the other way at the second click', async () => {
    const { router } = visit('/agents')
    await userEvent.click(await screen.findByRole('button', { name: 'Last seen' }))
    expect(router.state.location.search).toBe('?sort=last_seen_at')
    await userEvent.click(screen.getByRole('button', { name: /Last seen/ }))
    expect(router.state.location.search).toBe('?sort=-last_seen_at')
    expect(screen.getByRole('columnheader', { name: /Last seen/ })).toHaveAttribute('aria-sort', 'descending')
  })

  it('hides a column and remembers it in the address', async () => {
    const { router } = visit('/agents')
    await screen.findByRole('columnheader', { name: 'Labels' })
    await userEvent.click(screen.getByText('Columns'))
    await userEvent.click(screen.getByRole('checkbox', { name: 'Labels' }))
    expect(screen.queryByRole('columnheader', { name: 'Labels' })).not.toBeInTheDocument()
    expect(router.state.location.search).toContain('cols=')
  })

  it('keeps what is selected while filters change, and selects all that match', async () => {
    const all = Array.from({ length: 5 }, (_, index) => makeAgent(index + 1))
    server.use(
      http.get('*/api/v1/ui/agents', ({ request }) => {
        const query = new URL(request.url).searchParams
        if (query.get('cursor')) return page(all.slice(2), 5)
        return query.get('q') ? page([], 0) : page(all.slice(0, 2), 5, 'more')
      }),
      http.get('*/api/v1/gateways', () => page(all)),
    )
    visit('/agents')
    await userEvent.click(await screen.findByRole('checkbox', { name: 'Select otelcol@edge-1' }))
    expect(screen.getByText('1 selected')).toBeInTheDocument()
    await userEvent.click(screen.getByRole('button', { name: 'Select all 5 matching' }))
    expect(await screen.findByText('5 selected')).toBeInTheDocument()
    expect(screen.getByRole('button', { name: 'Restart 5 agents…' })).toBeInTheDocument()
    await userEvent.type(screen.getByRole('combobox', { name: 'Search agents' }), 'nothing')
    expect(await screen.findByText('No agent fits the filters')).toBeInTheDocument()
    expect(screen.getByText('5 selected')).toBeInTheDocument()
  })

  it('says how many of a large fleet it selects, and that it could not', async () => {
    const all = Array.from({ length: 1000 }, (_, index) => makeAgent(index + 1))
    const limits: number[] = []
    server.use(
      http.get('*/api/v1/ui/agents', ({ request }) =>
        request.url.includes('cursor') ? page([], 20_000) : page(all.slice(0, 2), 20_000, 'more'),
      ),
      http.get('*/api/v1/gateways', () => problem(503, 'agent-registry does not answer.')),
    )
    visit('/agents')
    await userEvent.click(await screen.findByRole('checkbox', { name: 'Select otelcol@edge-1' }))
    const button = screen.getByRole('button', { name: 'Select the first 10,000 of 20,000 matching' })
    expect(screen.getByText(/An operation takes 10,000 agents at most/)).toBeInTheDocument()
    await userEvent.click(button)
    expect(await screen.findByText('Not selected')).toBeInTheDocument()
    expect(screen.getByText('1 selected')).toBeInTheDocument()
    server.use(
      http.get('*/api/v1/gateways', ({ request }) => {
        const query = new URL(request.url).searchParams
        limits.push(Number(query.get('limit')))
        const from = Number(query.get('cursor') ?? 0)
        const items = all.map((one) => ({ ...one, instance_id: `${from}-${one.instance_id}` }))
        return page(items, 20_000, String(from + 1000))
      }),
    )
    await userEvent.click(button)
    expect(await screen.findByText('10,001 selected')).toBeInTheDocument()
    expect(limits).toEqual(Array.from({ length: 10 }, () => 1000))
  })

  it('says so when there is none, and how to get one', async () => {
    server.use(http.get('*/api/v1/ui/agents', () => page([])))
    visit('/agents')
    expect(await screen.findByText('No agent has connected yet')).toBeInTheDocument()
    expect(screen.getByRole('link', { name: 'Connect the first one' })).toHaveAttribute('href', '/onboarding')
  })

  it('shows a failure in the words of the API, and tries again', async () => {
    server.use(http.get('*/api/v1/ui/agents', () => problem(503, 'agent-registry is not running.')))
    visit('/agents')
    expect(await screen.findByText(/agent-registry is not running/)).toBeInTheDocument()
    server.resetHandlers()
    await userEvent.click(screen.getByRole('button', { name: 'Try again' }))
    expect(await screen.findByRole('table', { name: 'Agents' })).toBeInTheDocument()
  })

  it('names a service that does not answer', async () => {
    server.use(
      http.get('*/api/v1/ui/agents', () =>
        HttpResponse.json({ items: fleet, total: 3, next_cursor: null, partial: ['config-push'] }),
      ),
    )
    visit('/agents')
    expect(await screen.findByText(/config-push does not answer now/)).toBeInTheDocument()
  })
})

describe('an agent', () => {
  it('in extension mode has its actions disabled, with the reason', async () => {
    visit(`/agents/${fleet[1]!.instance_id}`)
    const restart = await screen.findByRole('button', { name: /Restart via Supervisor/ })
    expect(restart).toHaveAttribute('aria-disabled', 'true')
    expect(restart).toHaveAccessibleDescription(/Run the collector under opampsupervisor/)
    expect(screen.getByText('How to move it')).toBeInTheDocument()
  })

  it('is restarted only after it was asked, and the outcome is shown', async () => {
    let ordered = 0
    server.use(
      http.post('*/api/v1/supervisor/agents/:id/restart', ({ request }) => {
        expect(request.headers.get('x-csrf-token')).toBe('csrf')
        ordered++
        return HttpResponse.json({ command_id: 'c', state: 'pending' }, { status: 202 })
      }),
      http.get('*/api/v1/commands/c', () => HttpResponse.json({ command_id: 'c', state: 'completed', error: null })),
    )
    visit(`/agents/${fleet[0]!.instance_id}`)
    await userEvent.click(await screen.findByRole('button', { name: /Restart via Supervisor/ }))
    expect(ordered).toBe(0)
    await userEvent.click(await screen.findByRole('button', { name: 'Restart 1 collector' }))
    expect(await screen.findByText('Restart completed')).toBeInTheDocument()
    expect(ordered).toBe(1)
  })

  it('shows what it says of itself', async () => {
    for (const one of fleet.slice(0, 2)) {
      const { unmount } = visit(`/agents/${one.instance_id}`)
      const section = await screen.findByRole('region', { name: 'Description' })
      expect(await within(section).findByText('deployment.environment')).toBeInTheDocument()
      expect(within(section).getByText('prod')).toBeInTheDocument()
      unmount()
    }
  })

  it('is removed when it is away, after it was asked, and never while it is there', async () => {
    const removed: string[] = []
    server.use(
      http.delete('*/api/v1/gateways/:id', ({ params }) => {
        removed.push(String(params.id))
        return removed.length === 1 ? problem(409, 'It is connected again.') : new HttpResponse(null, { status: 204 })
      }),
    )
    const { unmount } = visit(`/agents/${fleet[0]!.instance_id}`)
    expect(await screen.findByRole('button', { name: /Remove…/ })).toHaveAccessibleDescription(/stop its agent first/)
    unmount()
    const { router } = visit(`/agents/${fleet[2]!.instance_id}?q=edge`)
    await userEvent.click(await screen.findByRole('button', { name: 'Remove…' }))
    expect(removed).toEqual([])
    const remove = await screen.findByRole('button', { name: 'Remove 1 agent' })
    await userEvent.click(remove)
    expect(await screen.findByText('It is connected again.')).toBeInTheDocument()
    server.use(http.get('*/api/v1/ui/agents', () => page(fleet.slice(0, 2))))
    await userEvent.click(remove)
    await waitFor(() => expect(router.state.location.pathname).toBe('/agents'))
    expect(router.state.location.search).toBe('?q=edge')
    await waitFor(() => expect(screen.queryByRole('row', { name: /edge-3/ })).not.toBeInTheDocument())
    expect(removed).toEqual([fleet[2]!.gateway_id, fleet[2]!.gateway_id])
  })

  it('that is not there says so', async () => {
    visit('/agents/unknown')
    expect(await screen.findByText(/There is no such gateway/)).toBeInTheDocument()
  })
})
