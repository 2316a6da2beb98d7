import { fireEvent, screen, waitFor, within } from '@testing-library/react'
import userEvent from '@testing-library/user-event'
import { HttpResponse, http } from 'msw'
import { beforeEach, describe, expect, it, vi } from 'vitest'
import type { LogRecord } from '../services/api'
import { show } from '../testing/render'
import { problem, server } from '../testing/server'
import { openStreams, type Stream, streamOf } from '../testing/streams'
import { LogViewer } from './LogViewer'

const STREAM = '/api/v1/supervisor/agents/i/logs/stream'

const record = (number: number, changes: Partial<LogRecord> = {}): LogRecord => ({
  id: `id-${number}`,
  timestamp: `2026-11-02T08:15:${String(number % 60).padStart(2, '0')}Z`,
  severity: 'INFO',
  severity_number: 9,
  source: 'collector',
  scope: '',
  body: `record ${number}.`,
  attributes: {},
  ...changes,
})
const page = (items: LogRecord[], next_cursor: string | null = null, tail: string | null = 'here') =>
  HttpResponse.json({ gateway_id: 'g', instance_id: 'i', items, next_cursor, tail })

let asked: URLSearchParams[]
let streams: Stream[]

beforeEach(() => {
  asked = []
  streams = openStreams()
  server.use(
    http.get('*/api/v1/supervisor/agents/i/logs', ({ request }) => {
      asked.push(new URL(request.url).searchParams)
      return page([record(2), record(1)])
    }),
  )
})

const log = () => screen.findByRole('log', { name: 'Logs of edge' })
const lines = async () => (await log()).textContent!.match(/record \d+(?=\.)/g)

describe('logs', () => {
  it('come from where the page ends, each once, newest at the bottom', async () => {
    show(<LogViewer id="i" name="edge" />)
    const stream = await streamOf(STREAM)
    expect(new URLSearchParams(stream.url.split('?')[1]).get('behind')).toBe('here')
    stream.begin()
    for (const number of [2, 3, 4]) stream.send('log', record(number))
    await screen.findByText('record 4.')
    expect(await lines()).toEqual(['record 1', 'record 2', 'record 3', 'record 4'])
  })

  it('wait while nobody follows, and none of them is lost', async () => {
    show(<LogViewer id="i" name="edge" />)
    const stream = await streamOf(STREAM)
    stream.send('log', record(3))
    await screen.findByText('record 3.')
    const follow = screen.getByRole('switch', { name: 'Follow' })
    await userEvent.click(follow)
    stream.send('log', record(4))
    stream.send('log', record(5))
    const more = await screen.findByRole('button', { name: '2 new: follow them' })
    expect(await lines()).toEqual(['record 1', 'record 2', 'record 3'])
    await userEvent.click(more)
    expect(follow).toBeChecked()
    expect(await lines()).toEqual(['record 1', 'record 2', 'record 3', 'record 4', 'record 5'])
    expect(streams.filter((one) => one.url.startsWith(STREAM))).toHaveLength(1)
  })

  it('wait while somebody has scrolled up to read', async () => {
    show(<LogViewer id="i" name="edge" />)
    const stream = await streamOf(STREAM)
    const box = await log()
    const scrolled = (scrollTop: number) => {
      Object.defineProperty(box, 'scrollHeight', { configurable: true, value: 4000 })
      box.scrollTop = scrollTop
      fireEvent.scroll(box)
    }
    scrolled(3200)
    scrolled(1000)
    stream.send('log', record(3))
    expect(await screen.findByRole('button', { name: '1 new: follow them' })).toBeInTheDocument()
    expect(await lines()).toEqual(['record 1', 'record 2'])
    scrolled(3200)
    expect(await screen.findByText('record 3.')).toBeInTheDocument()
  })

  it('come back behind the last one when the stream was refused', async () => {
    vi.useFakeTimers({ shouldAdvanceTime: true })
    try {
      show(<LogViewer id="i" name="edge" />)
      const stream = await streamOf(STREAM)
      stream.begin()
      stream.send('log', record(3))
      await screen.findByText('record 3.')
      stream.breakOff(true)
      expect(await screen.findByText(/The live tail is interrupted/)).toBeInTheDocument()
      await vi.advanceTimersByTimeAsync(6000)
      const next = await streamOf(STREAM)
      expect(new URLSearchParams(next.url.split('?')[1]).get('behind')).toBe('id-3')
      next.begin()
      await waitFor(() => expect(screen.queryByText(/The live tail is interrupted/)).not.toBeInTheDocument())
    } finally {
      vi.useRealTimers()
    }
  })

  it('are searched and filtered by the server, those that come too', async () => {
    show(<LogViewer id="i" name="edge" />)
    await log()
    await userEvent.type(screen.getByRole('textbox', { name: 'Search logs' }), 'refused')
    await userEvent.click(screen.getByRole('combobox', { name: 'Severity' }))
    await userEvent.click(await screen.findByRole('option', { name: 'WARN and above' }))
    await userEvent.click(screen.getByRole('combobox', { name: 'Source' }))
    await userEvent.click(await screen.findByRole('option', { name: 'supervisor' }))
    // Requests of one moment may overtake each other, so not only the last one is looked at.
    await waitFor(() =>
      expect(asked.map((query) => Object.fromEntries(query))).toContainEqual(
        expect.objectContaining({ q: 'refused', severity: 'WARN', source: 'supervisor' }),
      ),
    )
    await waitFor(async () => {
      const query = new URLSearchParams((await streamOf(STREAM)).url.split('?')[1])
      expect(Object.fromEntries(query)).toEqual({ q: 'refused', severity: 'WARN', source: 'supervisor', behind: 'here' })
    })
  })

  it('that are older come above, and what one reads stays in its place', async () => {
    const newest = Array.from({ length: 50 }, (_, index) => record(100 - index))
    const before = Array.from({ length: 50 }, (_, index) => record(50 - index))
    server.use(
      http.get('*/api/v1/supervisor/agents/i/logs', ({ request }) =>
        request.url.includes('cursor') ? page(before, null, null) : page(newest, 'older'),
      ),
    )
    show(<LogViewer id="i" name="edge" />)
    await screen.findByText('record 51.')
    await userEvent.click(screen.getByRole('button', { name: 'Older records' }))
    await screen.findByRole('button', { name: 'Download 100' })
    expect((await log()).scrollTop).toBe(50 * 22) // as much as came above
    expect(screen.queryByRole('button', { name: 'Older records' })).not.toBeInTheDocument()
  })

  it('are downloaded as they are shown', async () => {
    const texts: Blob[] = []
    const [make, drop] = [URL.createObjectURL, URL.revokeObjectURL]
    URL.createObjectURL = (blob) => {
      texts.push(blob as Blob)
      return 'blob:log'
    }
    URL.revokeObjectURL = () => {}
    const clicked = vi.spyOn(HTMLAnchorElement.prototype, 'click').mockImplementation(() => {})
    try {
      show(<LogViewer id="i" name="edge" />)
      await userEvent.click(await screen.findByRole('button', { name: 'Download 2' }))
      expect(await texts[0]!.text()).toBe(
        '2026-11-02T08:15:01Z INFO collector record 1. {}\n2026-11-02T08:15:02Z INFO collector record 2. {}\n',
      )
      expect((clicked.mock.contexts[0] as HTMLAnchorElement).download).toBe('edge.log')
    } finally {
      URL.createObjectURL = make
      URL.revokeObjectURL = drop
    }
  })

  it('say why there are none', async () => {
    server.use(http.get('*/api/v1/supervisor/agents/i/logs', () => page([], 'more')))
    show(<LogViewer id="i" name="edge" />)
    expect(await screen.findByText('No records yet')).toBeInTheDocument()
    expect(screen.getByRole('button', { name: 'Older records' })).toBeInTheDocument()
    server.use(http.get('*/api/v1/supervisor/agents/i/logs', () => problem(503, 'supervisor-control does not answer.')))
    await userEvent.type(screen.getByRole('textbox', { name: 'Search logs' }), 'x')
    const alert = await screen.findByRole('alert')
    expect(within(alert).getByText(/supervisor-control does not answer/)).toBeInTheDocument()
  })
})
