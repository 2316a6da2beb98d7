import { screen, waitFor, within } from '@testing-library/react'
import userEvent from '@testing-library/user-event'
import { HttpResponse, http } from 'msw'
import { expect, it } from 'vitest'
import type { AgentConfig, Delivery } from '../services/api'
import { show } from '../testing/render'
import { fleet, makeAgent, problem, server } from '../testing/server'
import { DeliveryHistory } from './DeliveryHistory'

const delivery = (hash: string, state: Delivery['state'], error: string | null = null): Delivery => ({
  delivery_id: `d-${hash}`,
  instance_id: fleet[0]!.instance_id,
  config_hash: hash,
  state,
  error,
  created_at: '2026-11-02T08:15:30Z',
  created_by: 'admin',
  updated_at: '2026-11-02T08:15:32Z',
})
const config = { assigned: { config_hash: 'bbbb', config: 'exporters:\n  debug:\n' } } as AgentConfig
const history = [delivery('bbbb', 'applied'), delivery('aaaa', 'failed', 'unknown exporter "otpl"')]

const use = () =>
  server.use(
    http.get('*/api/v1/gateways/:id/config/history', () => HttpResponse.json({ items: history })),
    http.get('*/api/v1/deliveries/d-aaaa/config', () => HttpResponse.json({ ...history[1], config: 'exporters:\n  otpl:\n' })),
  )

it('says what became of each delivery, and why', async () => {
  use()
  show(<DeliveryHistory gateway={fleet[0]!} config={config} />)
  const table = await screen.findByRole('table', { name: 'Deliveries' })
  const [, latest, former] = within(table).getAllByRole('row')
  expect(latest).toHaveTextContent('by admin')
  expect(latest).toHaveTextContent('applied')
  expect(former).toHaveTextContent('failed')
  expect(former).toHaveTextContent('unknown exporter "otpl"')
})

it('sends an earlier one again over the one that it was compared with', async () => {
  use()
  const pushed: [string, string | null][] = []
  server.use(
    http.post('*/api/v1/supervisor/ui/agents/:id/config', async ({ request }) => {
      pushed.push([((await request.json()) as { config: string }).config, request.headers.get('if-match')])
      return pushed.length === 1
        ? problem(412, 'Somebody has assigned another configuration meanwhile.')
        : HttpResponse.json({ delivery_id: 'd', config_hash: 'aaaa', state: 'pending' }, { status: 202 })
    }),
  )
  show(<DeliveryHistory gateway={fleet[0]!} config={config} />)
  await userEvent.click((await screen.findAllByRole('button', { name: 'Compare, send again' }))[1]!)
  const difference = await screen.findByRole('region', { name: 'Assigned now beside This version' })
  expect(difference).toHaveTextContent('debug')
  expect(difference).toHaveTextContent('otpl')
  expect(screen.getByText('It was refused then')).toBeInTheDocument()
  expect(pushed).toEqual([])
  const send = screen.getByRole('button', { name: 'Send this version again to 1 agent' })
  await userEvent.click(send)
  expect(await screen.findByText('Somebody has assigned another configuration meanwhile.')).toBeInTheDocument()
  await userEvent.click(send)
  await waitFor(() => expect(screen.queryByRole('dialog')).not.toBeInTheDocument())
  expect(pushed).toEqual([
    ['exporters:\n  otpl:\n', '"bbbb"'],
    ['exporters:\n  otpl:\n', '"bbbb"'],
  ])
})

it('sends nothing to an agent that takes none, and says why', async () => {
  use()
  show(<DeliveryHistory gateway={makeAgent(1, { capabilities: ['ReportsStatus'] })} config={config} />)
  await userEvent.click((await screen.findAllByRole('button', { name: 'Compare, send again' }))[1]!)
  const send = await screen.findByRole('button', { name: /Send this version again/ })
  expect(send).toHaveAccessibleDescription(/accepts_remote_config/)
})

it('says so when nothing was sent yet', async () => {
  server.use(http.get('*/api/v1/gateways/:id/config/history', () => HttpResponse.json({ items: [] })))
  show(<DeliveryHistory gateway={fleet[0]!} config={config} />)
  expect(await screen.findByText('No configuration was sent to it yet.')).toBeInTheDocument()
})
