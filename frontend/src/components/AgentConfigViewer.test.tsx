import { screen, within } from '@testing-library/react'
import userEvent from '@testing-library/user-event'
import { HttpResponse, http } from 'msw'
import { expect, it } from 'vitest'
import { keepDraft } from '../editor/drafts'
import type { AgentConfig, Delivery } from '../services/api'
import { show } from '../testing/render'
import { diagnosisOf, server } from '../testing/server'
import { AgentConfigViewer } from './AgentConfigViewer'
import { stagesOf } from './stages'

const delivery = (hash: string, state: Delivery['state']): Delivery => ({
  delivery_id: `d-${hash}`,
  instance_id: 'i',
  config_hash: hash,
  state,
  error: state === 'failed' ? 'unknown exporter "otpl"' : null,
  created_at: '2026-11-02T08:15:30Z',
  created_by: 'admin',
  updated_at: '2026-11-02T08:15:32Z',
})
const refused: AgentConfig = {
  gateway_id: 'g',
  instance_id: 'i',
  effective: {
    files: { '': { body: 'runs: effective\n', encoding: 'utf-8', content_type: null } },
    hash: 'eeee',
    reported_at: '2026-11-02T08:16:00Z',
  },
  assigned: { config_hash: 'bbbb', config: 'exporters:\n  otpl:\n' },
  state: 'failed',
  error: 'unknown exporter "otpl"',
  delivery: delivery('bbbb', 'failed'),
  reported: { config_hash: 'bbbb', status: 'failed', error: 'unknown exporter "otpl"' },
}
const history = [delivery('bbbb', 'failed'), delivery('aaaa', 'applied')]

it('tells what an agent refused from what it runs with', () => {
  const byKey = Object.fromEntries(stagesOf(refused, history, 'draft: 1').map((one) => [one.key, one.hash]))
  expect(byKey).toEqual({ draft: null, authored: 'bbbb', assigned: 'bbbb', running: 'aaaa', effective: 'eeee' })
  const applied = { ...refused, reported: { config_hash: 'cccc', status: 'applied', error: null } }
  const running = stagesOf(applied, history, null).find((one) => one.key === 'running')
  expect(running).toMatchObject({ hash: 'cccc', delivery: null, text: null })
})

it('shows every stage with its hash and compares any two, the texts of earlier ones included', async () => {
  server.use(
    http.get('*/api/v1/gateways/i/config/history', () => HttpResponse.json({ items: history })),
    http.get('*/api/v1/deliveries/d-aaaa/config', () =>
      HttpResponse.json({ ...delivery('aaaa', 'applied'), config: 'exporters:\n  debug:\n' }),
    ),
  )
  keepDraft('i', 'draft: not sent\n')
  show(<AgentConfigViewer config={refused} />)
  const table = screen.getByRole('table', { name: 'Configurations of this agent' })
  const running = await within(table).findByRole('row', { name: /Running/ })
  expect(running).toHaveTextContent('aaaa')
  expect(running).toHaveTextContent('has not applied what came after')
  expect(screen.getByRole('region', { name: 'Assigned, as it was sent' })).toHaveTextContent('◀ here')
  await userEvent.click(screen.getByText('Compare'))
  await userEvent.selectOptions(screen.getByRole('combobox', { name: 'On the right' }), 'running')
  const diff = await screen.findByRole('region', { name: /^Assigned, as it was sent beside Running/ })
  expect(diff).toHaveTextContent('otpl')
  expect(diff).toHaveTextContent('debug')
  await userEvent.selectOptions(screen.getByRole('combobox', { name: 'On the left' }), 'draft')
  expect(await screen.findByRole('region', { name: /^Draft/ })).toHaveTextContent('draft: not sent')
})

it("tells why the assigned one failed in the collector's words, at its line", async () => {
  const error = 'Agent exited unexpectedly with exit code 1 while applying configuration'
  const crashed: AgentConfig = {
    ...refused,
    assigned: { config_hash: 'bbbb', config: 'receivers:\n  otlp:\n    endpoint: 127.0.0.1:8080\n' },
    error,
    delivery: { ...delivery('bbbb', 'failed'), error },
  }
  server.use(
    http.get('*/api/v1/gateways/i/config/history', () => HttpResponse.json({ items: history })),
    http.get('*/api/v1/gateways/i/diagnosis', () => HttpResponse.json(diagnosisOf('d-bbbb'))),
  )
  show(<AgentConfigViewer config={crashed} />)
  const alert = await screen.findByRole('alert', { name: /8080 is in use by another process/ })
  expect(alert).toHaveTextContent('with exit code 1')
  expect(alert).toHaveTextContent('bind: address already in use')
  expect(alert).toHaveTextContent('Give it another endpoint.')
  expect(alert).toHaveTextContent('Probably line 3')
  expect(alert).not.toHaveTextContent('runs with the one before')
})
