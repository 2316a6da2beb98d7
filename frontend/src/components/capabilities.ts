import type { Gateway } from '../services/api'

/** What a capability of OpAMP means to somebody who looks at an agent. */
export const CAPABILITIES: Record<string, string> = {
  ReportsStatus: 'tells its status',
  AcceptsRemoteConfig: 'takes configurations from here',
  ReportsEffectiveConfig: 'shows the configuration that it runs with',
  AcceptsPackages: 'takes packages',
  ReportsPackageStatuses: 'tells the state of its packages',
  ReportsOwnTraces: 'sends its own traces',
  ReportsOwnMetrics: 'sends its own metrics',
  ReportsOwnLogs: 'sends its own logs',
  AcceptsOpAMPConnectionSettings: 'takes connection settings',
  AcceptsOtherConnectionSettings: 'takes settings of other connections',
  AcceptsRestartCommand: 'can be restarted from here',
  ReportsHealth: 'tells how it does',
  ReportsRemoteConfig: 'tells what came of a configuration',
  ReportsHeartbeat: 'sends heartbeats',
  ReportsAvailableComponents: 'tells what it was built with',
  ReportsConnectionSettingsStatus: 'tells what came of connection settings',
}

const SETTINGS: Record<string, string> = {
  AcceptsRemoteConfig: 'accepts_remote_config',
  AcceptsRestartCommand: 'accepts_restart_command',
}

/** Why an agent cannot be told to do something, and how that is changed; null when it can. */
export function whyNot(gateway: Gateway, capability: string): string | null {
  if (gateway.capabilities.includes(capability)) return null
  if (gateway.management_mode === 'extension') {
    return "The collector's own opampextension reports and takes no orders. Run the collector under opampsupervisor: “Move to supervisor mode” on its overview shows how."
  }
  return `The agent lacks the capability ${capability}. Set capabilities.${SETTINGS[capability] ?? capability}: true in the supervisor's configuration and restart the supervisor.`
}
