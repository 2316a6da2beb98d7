import { Link } from 'react-router'
import { AgentStatusBadge } from './AgentStatusBadge'
import { ConfigStateBadge } from './ConfigStateBadge'
import type { Column } from './FleetTable'
import { HealthIndicator } from './HealthIndicator'
import { Labels } from './Labels'
import { ModeBadge } from './ModeBadge'
import { RelativeTime } from './RelativeTime'
import { SupervisorStatus } from './SupervisorStatus'

const name = (base: string): Column => ({
  id: 'name',
  title: 'Name',
  width: 260,
  sort: 'name',
  cell: (row) => (
    <Link
      to={{ pathname: `${base}/${row.instance_id}`, search: globalThis.location.search }}
      data-row-link
      className="fg-link"
      title={row.name}
    >
      {row.name}
    </Link>
  ),
})
const status: Column = {
  id: 'status',
  title: 'Status',
  width: 96,
  sort: 'status',
  cell: (row) => <AgentStatusBadge status={row.status} />,
}
const health: Column = {
  id: 'health',
  title: 'Health',
  width: 110,
  sort: 'health',
  cell: (row) => <HealthIndicator health={row.health} />,
}
const version: Column = { id: 'version', title: 'Version', width: 96, sort: 'version', cell: (row) => row.version ?? '–' }
const mode: Column = {
  id: 'mode',
  title: 'Mode',
  width: 100,
  cell: (row) => <ModeBadge mode={row.management_mode} />,
}
const collector: Column = {
  id: 'collector',
  title: 'Collector',
  width: 112,
  cell: (row) =>
    row.management_mode === 'supervisor' ? (
      <SupervisorStatus supervisor={row.supervisor} />
    ) : (
      <span title="In extension mode nothing watches the process">–</span>
    ),
}
const config: Column = {
  id: 'config',
  title: 'Config',
  width: 104,
  cell: (row) => <ConfigStateBadge state={row.delivery?.state ?? null} error={row.delivery?.error} />,
}
const labels: Column = { id: 'labels', title: 'Labels', width: 200, cell: (row) => <Labels labels={row.labels} /> }
const seen: Column = {
  id: 'seen',
  title: 'Last seen',
  width: 110,
  sort: 'last_seen_at',
  cell: (row) => <RelativeTime at={row.last_seen_at} />,
}
const host: Column = { id: 'host', title: 'Host', width: 150, cell: (row) => row.host_name ?? '–' }
const first: Column = {
  id: 'first',
  title: 'First seen',
  width: 110,
  sort: 'first_seen_at',
  cell: (row) => <RelativeTime at={row.first_seen_at} />,
}
const starts: Column = {
  id: 'starts',
  title: 'Starts',
  width: 70,
  cell: (row) => row.supervisor?.collector_starts ?? '–',
}
const lastError: Column = {
  id: 'error',
  title: 'Last error',
  width: 260,
  cell: (row) => {
    const text = row.delivery?.error ?? row.supervisor?.last_error ?? row.health.last_error
    return text ? <span title={text}>{text}</span> : '–'
  },
}

export const agentColumns: Column[] = [name('/agents'), status, health, version, mode, collector, config, labels, seen, host, first]
export const agentDefault = ['name', 'status', 'health', 'version', 'mode', 'collector', 'config', 'labels', 'seen']
export const supervisorColumns: Column[] = [name('/supervisors'), status, collector, health, starts, config, lastError, version, labels, seen]
export const supervisorDefault = ['name', 'status', 'collector', 'health', 'starts', 'config', 'error', 'seen']
