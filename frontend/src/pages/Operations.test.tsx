import { screen, waitFor, within } from '@testing-library/react'
import userEvent from '@testing-library/user-event'
import { HttpResponse, http } from 'msw'
import { beforeEach, describe, expect, it, vi } from 'vitest'
import type { Target } from '../services/api'
import { POLL_MILLISECONDS } from '../services/queries'
import { visit } from '../testing/render'
import { problem, server } from '../testing/server'
import { openStreams, streamOf } from '../testing/streams'

const operation = {
  operation_id: 'o',
  action: 'restart',
  state: 'running',
  is_over: false,
  waiting: 9000,
  running: 2,
  succeeded: 990,
  failed: 8,
  skipped: 0,
  updated_at: '2026-11-02T08:15:30Z',
  created_at: '2026-11-02T08:15:30Z',
  created_by: 'admin',
  config_hash: null,
  max_unavailable: 2,
  stop_on_failure: false,
}
const target = (number: number, state: Target['state'] = 'waiting', reason: string | null = null): Target => ({
  instance_id: `i-${number}`,
  gateway_id: `g-${number}`,
  name: `edge-${number}`,
  state,
  reason,
  updated_at: null,
})

let asked: URLSearchParams[]
let whole: number

beforeEach(() => {
  asked = []
  whole = 0
  server.use(
    http.get('*/api/v1/supervisor/operations', () => HttpResponse.json({ items: [operation] })),
    http.get('*/api/v1/supervisor/operations/o', ({ request }) => {
      expect(new URL(request.url).searchParams.get('targets')).toBe('false')
      whole++
      return HttpResponse.json({ ...operation, dry_run: false, targets: [] })
    }),
    http.get('*/api/v1/supervisor/operations/o/targets', ({ request }) => {
      const query = new URL(request.url).searchParams
      asked.push(query)
      const items = query.get('state')
        ? [target(7, 'failed', 'it crashed')]
        : query.get('cursor')
          ? [target(3)]
          : [target(1, 'succeeded'), target(2, 'running')]
      const isWhole = query.get('state') || query.get('cursor')
      return HttpResponse.json({ items, next_cursor: isWhole ? null : '1', total: query.get('state') ? 8 : 10_000 })
    }),
  )
})

const rows = async () => {
  const table = await screen.findByRole('table', { name: 'Agents of the operation' })
  return within(table).getAllByRole('link').map((link) => link.textContent)
}

describe('an operation', () => {
  it('shows its agents by pages, by outcome and by text, in the order in which they are begun', async () => {
    visit('/operations/o')
    expect(await rows()).toEqual(['edge-1', 'edge-2'])
    await userEvent.click(screen.getByRole('button', { name: '2 of 10,000 agents are shown: show more' }))
    await waitFor(async () => expect(await rows()).toEqual(['edge-1', 'edge-2', 'edge-3']))
    await userEvent.click(screen.getByText('8 failed'))
    await waitFor(async () => expect(await rows()).toEqual(['edge-7']))
    expect(screen.getByText('it crashed')).toBeInTheDocument()
    await userEvent.type(screen.getByRole('textbox', { name: 'Search agents of the operation' }), 'edge-7')
    await waitFor(() => expect(Object.fromEntries(asked.at(-1)!)).toEqual({ state: 'failed', q: 'edge-7', limit: '100' }))
  })

  it('says as of when it is while it cannot be refreshed', async () => {
    vi.useFakeTimers({ shouldAdvanceTime: true })
    try {
      visit('/operations/o')
      await rows()
      server.use(http.get('*/api/v1/supervisor/operations', () => problem(503, 'supervisor-control does not answer.')))
      await vi.advanceTimersByTimeAsync(POLL_MILLISECONDS + 100)
      expect(await screen.findByText(/^As of .*supervisor-control does not answer/)).toBeInTheDocument()
      expect(screen.getAllByText(/990 done/)).toHaveLength(2)
    } finally {
      vi.useRealTimers()
    }
  })

  it('counts on with the events, without asking for all of it again', async () => {
    openStreams()
    visit('/operations/o')
    await rows()
    const events = await streamOf('/api/v1/events')
    const [before, fetched] = [whole, asked.length]
    for (let done = 991; done <= 1040; done++) {
      events.send('supervisor.operation-progressed', {
        ...operation,
        event: 'supervisor.operation-progressed',
        occurred_at: '2026-11-02T08:16:00Z',
        succeeded: done,
        waiting: 9990 - done,
      })
    }
    const region = screen.getByRole('region', { name: 'Operation' })
    expect(await within(region).findByText(/1,040 done/)).toBeInTheDocument()
    expect(screen.getAllByText(/1,040 done/)).toHaveLength(2) // in the list too
    expect([whole, asked.length]).toEqual([before, fetched])
  })
})
