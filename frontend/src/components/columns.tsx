import { AgentStatusBadge } from './AgentStatusBadge'
import { ConfigStateBadge } from './ConfigStateBadge'
import type { Column } from './FleetTable'
import { HealthIndicator } from './HealthIndicator'
import { Labels } from './Labels'
import { ModeBadge } from './ModeBadge'
import { NameParts } from './NameParts'
import { agoText } from './RelativeTime'
import { SupervisorStatus } from './SupervisorStatus'

// A list is scrolled through by the thousand: its cells are plain elements. Badges are called and not mounted, links are
// followed by the table (`FleetRows`), time goes on for all of them at once, and the exact one is made when it is hovered.
const timeOf = (at: string | null, now: number) => (at ? <time dateTime={at}>{agoText(at, now)}</time> : 'never')


const name = (base: string): Column => ({
  id: 'name',
  title: 'Name',
  width: 250,
  sort: 'name',
  cell: (row) => (
    <a href={`${base}/${row.instance_id}`} data-row-link className="fg-link fg-name" title={row.name}>
      {NameParts(row)}
    </a>
  ),
})
const status: Column = {
  id: 'status',
  title: 'Status',
  width: 96,
  sort: 'status',
  cell: (row) => AgentStatusBadge(row),
}
const health: Column = {
  id: 'health',
  title: 'Health',
  width: 120,
  sort: 'health',
  cell: (row) => HealthIndicator(row),
}
const version: Column = { id: 'version', title: 'Version', width: 84, isText: true, sort: 'version', cell: (row) => row.version ?? '–' }
const mode: Column = {
  id: 'mode',
  title: 'Mode',
  width: 108,
  cell: (row) => ModeBadge({ mode: row.management_mode }),
}
const collector: Column = {
  id: 'collector',
  title: 'Collector',
  width: 120,
  cell: (row) =>
    row.management_mode === 'supervisor' ? (
      SupervisorStatus(row)
    ) : (
      <span title="In extension mode nothing watches the process">–</span>
    ),
}
const config: Column = {
  id: 'config',
  title: 'Config',
  width: 96,
  cell: (row) => ConfigStateBadge({ state: row.delivery?.state ?? null, error: row.delivery?.error }),
}
const labels: Column = { id: 'labels', title: 'Labels', width: 150, cell: (row) => Labels(row) }
const seen: Column = {
  id: 'seen',
  title: 'Last seen',
  width: 96,
  sort: 'last_seen_at',
  cell: (row, now) => timeOf(row.last_seen_at, now),
}
const host: Column = { id: 'host', title: 'Host', width: 150, isText: true, cell: (row) => row.host_name ?? '–' }
const first: Column = {
  id: 'first',
  title: 'First seen',
  width: 110,
  sort: 'first_seen_at',
  cell: (row, now) => timeOf(row.first_seen_at, now),
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
  isText: true,
  cell: (row) => {
    const text = row.delivery?.error ?? row.supervisor?.last_error ?? row.health.last_error
    return text ? <span title={text}>{text}</span> : '–'
  },
}

export const agentColumns: Column[] = [name('/agents'), status, health, version, mode, collector, config, labels, seen, host, first]
export const agentDefault = ['name', 'status', 'health', 'version', 'mode', 'collector', 'config', 'labels', 'seen']
export const supervisorColumns: Column[] = [name('/supervisors'), status, collector, health, starts, config, lastError, version, labels, seen]
export const supervisorDefault = ['name', 'status', 'collector', 'health', 'starts', 'config', 'error', 'seen']
