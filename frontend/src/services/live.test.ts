import { describe, expect, it } from 'vitest'
import { makeAgent } from '../testing/server'
import type { FleetEvent } from './api'
import { applyEvents } from './live'
import { patched } from './patches'
import { keys, makeQueryClient } from './queries'

const row = makeAgent(1)
const event = (kind: string, more: object = {}): FleetEvent => ({
  event: kind,
  event_id: 'e',
  instance_id: row.instance_id,
  gateway_id: row.gateway_id,
  occurred_at: '2026-11-02T09:00:00.000Z',
  ...more,
})

describe('an event leaves a row', () => {
  it('offline, with what was known last', () => {
    const next = patched(row, event('agent.disconnected'))
    expect(next.status).toBe('offline')
    expect(next.health.state).toBe('unknown')
    expect(next.health.last_known?.health_status).toBe('StatusOK')
  })
  it('unhealthy, with the reason', () => {
    const next = patched(row, event('agent.health-changed', { healthy: false, status: 'StatusRecoverableError', last_error: 'refused' }))
    expect(next.health).toMatchObject({ state: 'unhealthy', last_error: 'refused' })
  })
  it('with another state of its configuration, of the latest delivery only', () => {
    const told = (state: string, more: object = {}) => event('config.delivery-state-changed', { delivery_id: 'new', state, ...more })
    const pending = patched(row, told('pending', { config_hash: 'abc' }))
    expect(pending.delivery).toMatchObject({ delivery_id: 'new', state: 'pending', config_hash: 'abc', error: null })
    const failed = patched(pending, told('failed', { previous_state: 'applying', error: 'unknown exporter' }))
    expect(failed.delivery).toMatchObject({ state: 'failed', error: 'unknown exporter', created_at: pending.delivery!.created_at })
    expect(patched(failed, told('superseded', { delivery_id: 'old' }))).toBe(failed)
    expect(patched(failed, told('failed', { delivery_id: 'refused', error: 'offline' }))).toBe(failed)
  })
  it('with another state of its collector', () => {
    const crashed = patched(
      row,
      event('supervisor.status-changed', { collector_state: 'crashed', collector_starts: 7, is_crash_looping: true, last_error: 'exit 1' }),
    )
    expect(crashed.supervisor).toMatchObject({
      collector_state: 'crashed',
      collector_starts: 7,
      is_crash_looping: true,
      last_error: 'exit 1',
      last_error_at: '2026-11-02T09:00:00.000Z',
    })
    expect(patched(makeAgent(1, { supervisor: null }), event('supervisor.status-changed', { collector_state: 'running' })).supervisor)
      .toMatchObject({ collector_state: 'running', collector_starts: 0, last_error_at: null })
  })
  it('with another mode or version', () => {
    expect(patched(row, event('agent.capabilities-changed', { management_mode: 'extension', capabilities: ['ReportsStatus'] })))
      .toMatchObject({ management_mode: 'extension', capabilities: ['ReportsStatus'] })
    expect(patched(row, event('agent.description-changed', { changed: { 'service.version': '0.150.0' } })).version).toBe('0.150.0')
  })
  it('as it is when it is about another one or says nothing that is shown', () => {
    expect(patched(makeAgent(2), event('agent.disconnected'))).toMatchObject({ status: 'online' })
    expect(patched(row, event('config.effective-config-changed'))).toBe(row)
  })
})

it('patches loaded pages in place and leaves the others untouched', () => {
  const client = makeQueryClient()
  const key = [...keys.agents, {}]
  const pages = [{ items: [makeAgent(1)], total: 2 }, { items: [makeAgent(2)], total: 2 }]
  client.setQueryData(key, { pages, pageParams: ['', 'x'] })
  applyEvents(client, [event('agent.disconnected')])
  const after = client.getQueryData<{ pages: typeof pages }>(key)!
  expect(after.pages[0]!.items[0]!.status).toBe('offline')
  expect(after.pages[1]).toBe(pages[1])
})

it('leaves alone what is asked for under other keys', () => {
  const client = makeQueryClient()
  const counts = { all: 4 }
  client.setQueryData([...keys.supervised, 'counts'], counts)
  applyEvents(client, [event('agent.disconnected')])
  expect(client.getQueryData([...keys.supervised, 'counts'])).toBe(counts)
})
