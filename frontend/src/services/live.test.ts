import { describe, expect, it } from 'vitest'
import { makeAgent } from '../testing/server'
import type { FleetEvent } from './api'
import { applyEvents, patched } from './live'
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
