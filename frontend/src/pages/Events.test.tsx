import { screen, waitFor, within } from '@testing-library/react'
import userEvent from '@testing-library/user-event'
import { HttpResponse, http } from 'msw'
import { beforeEach, describe, expect, it } from 'vitest'
import { visit } from '../testing/render'
import { makeAgent, page, server } from '../testing/server'
import { openStreams, streamOf } from '../testing/streams'

const agent = makeAgent
const event = (number: number, kind = 'agent.connected', more: object = {}) => ({
  event: kind,
  event_id: `e-${kind}-${number}`,
  instance_id: agent(number).instance_id,
  occurred_at: new Date(Date.parse('2026-11-02T08:15:00Z') + number * 1000).toISOString(),
  ...more,
})

/** Ids that names were asked for, question by question. */
let asked: string[][]

beforeEach(() => {
  asked = []
  openStreams()
  server.use(
    http.get('*/api/v1/events/recent', () => HttpResponse.json({ items: [event(2), event(1)] })),
    http.get('*/api/v1/gateways', ({ request }) => {
      const ids = new URL(request.url).searchParams.getAll('instance_id')
      asked.push(ids)
      return page(ids.map((id) => agent(Number(id.slice(-12)))))
    }),
  )
})

const list = () => screen.findByRole('list', { name: 'Events' })

describe('events', () => {
  it('come as they happen, with names that are asked for once each', async () => {
    visit('/events')
    expect(await screen.findByRole('link', { name: 'otelcol@edge-2' })).toBeInTheDocument()
    const stream = await streamOf('/api/v1/events')
    for (let number = 1; number <= 150; number++) {
      stream.send('agent.connected', event(number, 'agent.connected', { event_id: `live-${number}` }))
      if (number === 75) await new Promise((resolve) => setTimeout(resolve, 300))
    }
    expect(await screen.findByRole('link', { name: 'otelcol@edge-150' }, { timeout: 5000 })).toBeInTheDocument()
    expect(asked.length).toBeLessThanOrEqual(4)
    expect(new Set(asked.flat()).size).toBe(asked.flat().length)
    stream.send('agent.gateway-updated', event(150, 'agent.gateway-updated', { name: 'edge renamed' }))
    expect((await screen.findAllByRole('link', { name: 'edge renamed' })).length).toBeGreaterThan(1)
  })

  it('wait while one reads, and are counted meanwhile', async () => {
    visit('/events')
    await list()
    await userEvent.click(screen.getByRole('button', { name: 'Pause' }))
    const stream = await streamOf('/api/v1/events')
    stream.send('agent.disconnected', event(9, 'agent.disconnected', { reason: 'closed' }))
    const go = await screen.findByRole('button', { name: 'Go on (1 new)' })
    expect(within(await list()).queryByText('went away')).not.toBeInTheDocument()
    await userEvent.click(go)
    expect(await screen.findByText('went away')).toBeInTheDocument()
  })

  it('are searched by what they say and by the names of their agents, and asked for by what they are about', async () => {
    const domains: (string | null)[] = []
    server.use(
      http.get('*/api/v1/events/recent', ({ request }) => {
        domains.push(new URL(request.url).searchParams.get('domain'))
        return HttpResponse.json({ items: [event(3, 'agent.health-changed', { healthy: false, last_error: 'disk full' }), event(1)] })
      }),
    )
    const { router } = visit('/events')
    await screen.findByRole('link', { name: 'otelcol@edge-3' })
    const search = screen.getByRole('textbox', { name: 'Search events' })
    for (const words of ['disk', 'edge-3', 'UNHEALTHY']) {
      await userEvent.clear(search)
      await userEvent.type(search, words)
      await waitFor(async () => expect(within(await list()).getAllByRole('listitem')).toHaveLength(1))
    }
    await userEvent.clear(search)
    await userEvent.type(search, 'nothing of the kind')
    expect(await screen.findByText('No event fits the search')).toBeInTheDocument()
    await userEvent.click(screen.getByText('Configurations'))
    await waitFor(() => expect(domains.at(-1)).toBe('config'))
    expect(router.state.location.search).toBe('?domain=config')
  })
})
