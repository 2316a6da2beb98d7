/** What somebody types on a host to bring its collector here. */

export interface Choice {
  mode: 'supervisor' | 'extension'
  platform: 'linux' | 'docker' | 'kubernetes'
  url: string
  token: string
}

export const httpUrl = (url: string) => url.replace(/^ws/, 'http')

function supervisorYaml({ url, token }: Choice, executable: string, storage: string): string {
  return `server:
  endpoint: ${url}
  headers:
    Authorization: "Bearer ${token}"
capabilities:
  accepts_remote_config: true
  reports_remote_config: true
  reports_effective_config: true
  reports_health: true
  reports_own_metrics: true
  reports_own_logs: true
  reports_heartbeat: true
  reports_available_components: true
  accepts_restart_command: true
agent:
  executable: ${executable}
  validate_config: true
storage:
  directory: ${storage}
`
}

function extensionYaml({ url, token }: Choice): string {
  const tls = url.startsWith('ws://') ? '\n        tls: {insecure: true}' : ''
  return `extensions:
  opamp:
    server:
      ws:
        endpoint: ${url}
        headers: {Authorization: "Bearer ${token}"}${tls}
service:
  extensions: [opamp]
`
}

export interface Step {
  title: string
  text: string
}

/** The steps, in order. */
export function steps(choice: Choice): Step[] {
  const { mode, platform } = choice
  if (mode === 'supervisor') {
    const yaml = supervisorYaml(choice, platform === 'linux' ? '/usr/bin/otelcol-contrib' : '/otelcol', '/var/lib/opampsupervisor')
    if (platform === 'linux') {
      return [
        { title: 'Write /etc/opampsupervisor/config.yaml', text: yaml },
        { title: 'Let only root read it, and run the supervisor', text: 'sudo chmod 600 /etc/opampsupervisor/config.yaml\nsudo opampsupervisor --config /etc/opampsupervisor/config.yaml' },
      ]
    }
    if (platform === 'docker') {
      return [
        {
          title: "Run FlowGate's collector image under the supervisor",
          text: `docker run -d --name gateway --restart unless-stopped \\
  -e USE_SUPERVISOR=true \\
  -e FLOWGATE_OPAMP_ENDPOINT=${choice.url} \\
  -e FLOWGATE_ENROLLMENT_TOKEN=${choice.token} \\
  -v gateway-storage:/var/lib/opampsupervisor \\
  flowgate-gateway`,
        },
      ]
    }
    return [
      { title: 'Keep the configuration as a secret', text: `kubectl create secret generic opampsupervisor --from-file=supervisor.yaml=/dev/stdin <<'EOF'\n${yaml}EOF` },
      { title: 'Mount it at /etc/opampsupervisor and run the supervisor as the container', text: 'command: ["/usr/local/bin/opampsupervisor", "--config", "/etc/opampsupervisor/supervisor.yaml"]' },
    ]
  }
  const yaml = extensionYaml(choice)
  if (platform === 'linux') {
    return [
      { title: "Add this to the collector's configuration", text: yaml },
      { title: 'Start the collector with it', text: 'sudo systemctl restart otelcol-contrib' },
    ]
  }
  if (platform === 'docker') {
    return [
      {
        title: "Run FlowGate's collector image in extension mode",
        text: `docker run -d --name gateway --restart unless-stopped \\
  -e FLOWGATE_OPAMP_ENDPOINT=${choice.url} \\
  -e FLOWGATE_ENROLLMENT_TOKEN=${choice.token} \\
  -v gateway-storage:/var/lib/opampsupervisor \\
  flowgate-gateway`,
      },
    ]
  }
  return [
    { title: "Add this to the collector's configuration (its ConfigMap)", text: yaml },
    { title: 'Roll the collector', text: 'kubectl rollout restart daemonset/otel-collector' },
  ]
}
