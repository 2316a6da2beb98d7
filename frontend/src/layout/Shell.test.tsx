import { screen, waitFor } from '@testing-library/react'
import userEvent from '@testing-library/user-event'
import { HttpResponse, http } from 'msw'
import { expect, it } from 'vitest'
import { visit } from '../testing/render'
import { fleet, problem, server } from '../testing/server'
import { openStreams, streamOf } from '../testing/streams'

const live = {
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
const signedOut = http.get('*/api/v1/session', () =>
  HttpResponse.json({ signed_in: false, csrf_token: null, expires_at: null }),
)

it('asks for the admin token first, and says when it is not the one', async () => {
  server.use(
    signedOut,
    http.post('*/api/v1/session', async ({ request }) => {
      const { token } = (await request.json()) as { token: string }
      return token === 'good'
        ? HttpResponse.json({ signed_in: true, csrf_token: 'csrf', expires_at: '2099-01-01T00:00:00Z' })
        : problem(401, 'This is not the admin token.')
    }),
  )
  visit('/')
  const field = await screen.findByLabelText(/Admin token/)
  await userEvent.type(field, 'bad')
  await userEvent.click(screen.getByRole('button', { name: 'Sign in' }))
  expect(await screen.findByText(/This is not the admin token/)).toBeInTheDocument()
  await userEvent.clear(field)
  server.use(http.get('*/api/v1/session', () => HttpResponse.json({ signed_in: true, csrf_token: 'csrf', expires_at: null })))
  await userEvent.type(field, 'good')
  await userEvent.click(screen.getByRole('button', { name: 'Sign in' }))
  expect(await screen.findByRole('heading', { name: 'Overview' })).toBeInTheDocument()
})

it('goes places by keys, and lists the keys', async () => {
  const { router } = visit('/')
  await screen.findByRole('heading', { name: 'Overview' })
  await userEvent.keyboard('ga')
  await waitFor(() => expect(router.state.location.pathname).toBe('/agents'))
  await userEvent.keyboard('?')
  expect(await screen.findByText('Row by row, Enter opens')).toBeInTheDocument()
})

it('leaves single keys alone behind a dialog, and where they are switched off', async () => {
  const { router } = visit(`/agents/${fleet[0]!.instance_id}/logs`)
  server.use(http.get('*/api/v1/supervisor/agents/:id/logs', () => HttpResponse.json({ items: [], next_cursor: null, tail: null })))
  const logs = await screen.findByRole('textbox', { name: 'Search logs' })
  await userEvent.keyboard('gs?')
  expect(router.state.location.pathname).toContain('/logs')
  expect(screen.queryByText('Row by row, Enter opens')).not.toBeInTheDocument()
  await userEvent.keyboard('/')
  expect(logs).toHaveFocus() // of the dialog, not of the list behind it
  await router.navigate('/settings')
  await userEvent.click(await screen.findByRole('switch', { name: /Keys that work by themselves/ }))
  await userEvent.keyboard('ga')
  expect(router.state.location.pathname).toBe('/settings')
  await userEvent.click(screen.getByRole('switch', { name: /Keys that work by themselves/ }))
  await userEvent.keyboard('ga')
  await waitFor(() => expect(router.state.location.pathname).toBe('/agents'))
})

it('closes by Escape what is on top, one at a time', async () => {
  const { router } = visit(`/agents/${fleet[0]!.instance_id}`)
  await userEvent.click(await screen.findByRole('button', { name: /Restart via Supervisor/ }))
  expect(await screen.findByText(/stops this one collector/)).toBeInTheDocument()
  await userEvent.keyboard('{Escape}')
  await waitFor(() => expect(screen.queryByText(/stops this one collector/)).not.toBeInTheDocument())
  expect(screen.getByRole('button', { name: /Restart via Supervisor/ })).toBeInTheDocument()
  await userEvent.keyboard('{Escape}')
  await waitFor(() => expect(router.state.location.pathname).toBe('/agents'))
})

it('keeps the page and what was typed when the session ends', async () => {
  visit('/agents')
  const search = await screen.findByRole('combobox', { name: 'Search agents' })
  await screen.findByRole('table', { name: 'Agents' })
  server.use(http.get('*/api/v1/ui/agents', () => problem(401, 'Sign in.')))
  await userEvent.type(search, 'edge')
  expect(await screen.findByText(/Your session has ended/)).toBeInTheDocument()
  expect(search).toHaveValue('edge')
})

it('sends once more with the token of the session that another tab has begun', async () => {
  const shown: (string | null)[] = []
  server.use(
    http.delete('*/api/v1/enrollment-tokens/:id', ({ request }) => {
      shown.push(request.headers.get('x-csrf-token'))
      return shown.at(-1) === 'newer' ? HttpResponse.json(live) : problem(403, "Send the session's token.")
    }),
    http.get('*/api/v1/enrollment-tokens', () => HttpResponse.json({ items: [live] })),
  )
  visit('/enrollment')
  await userEvent.click(await screen.findByRole('button', { name: 'Revoke plant-7' }))
  server.use(
    http.get('*/api/v1/session', () => HttpResponse.json({ signed_in: true, csrf_token: 'newer', expires_at: '2099-01-01T00:00:00Z' })),
  )
  await userEvent.click(await screen.findByRole('button', { name: /^Revoke, cut off/ }))
  await waitFor(() => expect(screen.queryByRole('dialog')).not.toBeInTheDocument())
  expect(shown).toEqual(['csrf', 'newer'])
})

it('closes its stream when another tab signs out, and goes on when one signs in', async () => {
  openStreams()
  const other = new BroadcastChannel('flowgate-session')
  visit('/')
  const events = await streamOf('/api/v1/events')
  server.use(signedOut)
  other.postMessage('signed out')
  expect(await screen.findByText(/Your session has ended/)).toBeInTheDocument()
  await waitFor(() => expect(events.readyState).toBe(EventSource.CLOSED))
  server.use(http.get('*/api/v1/session', () => HttpResponse.json({ signed_in: true, csrf_token: 'c', expires_at: null })))
  other.postMessage('signed in')
  await waitFor(() => expect(screen.queryByText(/Your session has ended/)).not.toBeInTheDocument())
  expect(await streamOf('/api/v1/events')).not.toBe(events)
  other.close()
})

it('says so when FlowGate cannot be reached', async () => {
  server.use(http.get('*/api/v1/fleet/summary', () => HttpResponse.error()))
  visit('/events')
  expect(await screen.findByText('FlowGate cannot be reached')).toBeInTheDocument()
})
