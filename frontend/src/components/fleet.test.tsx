import { screen, waitFor, within } from '@testing-library/react'
import userEvent from '@testing-library/user-event'
import { http } from 'msw'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import type { SupervisedAgent } from '../services/api'
import { POLL_MILLISECONDS } from '../services/queries'
import { visit } from '../testing/render'
import { makeAgent, page, problem, server } from '../testing/server'
import { openStreams, streamOf } from '../testing/streams'

let answer: SupervisedAgent[]
let asked: number

beforeEach(() => {
  vi.useFakeTimers({ shouldAdvanceTime: true })
  openStreams()
  asked = 0
  answer = [makeAgent(1), makeAgent(2), makeAgent(3)]
  server.use(
    http.get('*/api/v1/ui/agents', () => {
      asked++
      return page(answer)
    }),
  )
})
afterEach(() => vi.useRealTimers())

const names = () =>
  within(screen.getByRole('table', { name: 'Agents' }))
    .getAllByRole('row')
    .slice(1)
    .map((row) => within(row).getByRole('link').textContent)
const row = (number: number) => screen.getByRole('row', { name: new RegExp(`edge-${number}\\b`) })
async function poll() {
  const before = asked
  await vi.advanceTimersByTimeAsync(POLL_MILLISECONDS + 100)
  await waitFor(() => expect(asked).toBeGreaterThan(before))
}

describe('the list, while one reads', () => {
  it('changes rows in place; another order and other rows come when one asks for them', async () => {
    visit('/agents')
    await screen.findByRole('table', { name: 'Agents' })
    answer = [makeAgent(4), makeAgent(3, { version: '0.150.0' }), makeAgent(1)]
    await poll()
    await waitFor(() => expect(row(3)).toHaveTextContent('0.150.0'))
    expect(names()).toEqual(['otelcol@edge-1', 'otelcol@edge-2', 'otelcol@edge-3'])
    await userEvent.click(await screen.findByRole('button', { name: 'The list has changed: show it' }))
    await waitFor(() => expect(names()).toEqual(['otelcol@edge-4', 'otelcol@edge-3', 'otelcol@edge-1']))
    expect(screen.queryByRole('button', { name: 'The list has changed: show it' })).not.toBeInTheDocument()
  })

  it('shows what happens as it happens', async () => {
    visit('/agents')
    await screen.findByRole('table', { name: 'Agents' })
    const events = await streamOf('/api/v1/events')
    const { instance_id } = makeAgent(2)
    const send = (event: string, more: object) => events.send(event, { event, instance_id, occurred_at: '2026-11-02T09:00:00Z', ...more })
    send('config.delivery-state-changed', { delivery_id: 'd', state: 'failed', previous_state: 'applying', error: 'unknown exporter' })
    send('supervisor.status-changed', { collector_state: 'crashed', collector_starts: 3, is_crash_looping: false })
    send('agent.health-changed', { healthy: false, status: 'StatusPermanentError', last_error: 'no' })
    await waitFor(() => expect(row(2)).toHaveTextContent('failed'))
    expect(row(2)).toHaveTextContent('crashed')
    expect(row(2)).toHaveTextContent('unhealthy')
    expect(row(1)).not.toHaveTextContent('failed')
    expect(asked).toBe(1)
  })

  it('says as of when it is while it cannot be refreshed', async () => {
    visit('/agents')
    await screen.findByRole('table', { name: 'Agents' })
    server.use(http.get('*/api/v1/ui/agents', () => problem(503, 'agent-registry does not answer.')))
    await vi.advanceTimersByTimeAsync(POLL_MILLISECONDS + 100)
    expect(await screen.findByText(/^As of .*agent-registry does not answer/)).toBeInTheDocument()
    expect(names()).toHaveLength(3)
    server.use(http.get('*/api/v1/ui/agents', () => page(answer)))
    await vi.advanceTimersByTimeAsync(POLL_MILLISECONDS + 100)
    await waitFor(() => expect(screen.queryByText(/^As of/)).not.toBeInTheDocument())
  })

  it('tells that an agent came, and comes by itself where there was none', async () => {
    answer = []
    visit('/agents')
    await screen.findByText('No agent has connected yet')
    const events = await streamOf('/api/v1/events')
    answer = [makeAgent(1)]
    events.send('agent.registered', { event: 'agent.registered', instance_id: makeAgent(1).instance_id })
    await screen.findByRole('table', { name: 'Agents' })
    expect(names()).toEqual(['otelcol@edge-1'])
    answer = [makeAgent(1), makeAgent(2)]
    events.send('agent.registered', { event: 'agent.registered', instance_id: makeAgent(2).instance_id })
    expect(await screen.findByRole('button', { name: 'The list has changed: show it' })).toBeInTheDocument()
    expect(names()).toEqual(['otelcol@edge-1'])
  })

  it('shows an agent that is on two pages once', async () => {
    server.use(
      http.get('*/api/v1/ui/agents', ({ request }) =>
        request.url.includes('cursor') ? page([makeAgent(2), makeAgent(3)], 3) : page([makeAgent(1), makeAgent(2)], 3, 'more'),
      ),
    )
    visit('/agents?sort=-last_seen_at')
    await waitFor(() => expect(names()).toEqual(['otelcol@edge-1', 'otelcol@edge-2', 'otelcol@edge-3']))
  })
})
