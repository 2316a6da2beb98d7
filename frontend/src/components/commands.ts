/** What somebody types on a host to bring its collector here. */

export interface Choice {
  mode: 'supervisor' | 'extension'
  platform: 'linux' | 'docker' | 'kubernetes'
  url: string
  token: string
  /** Where the collector's program is on a host; COLLECTOR where it is left out. */
  executable?: string
  /** Identity to take over from an agent that moves; a new one where it is left out. */
  instanceId?: string
}

/** Whether a text is FlowGate's address and nothing else: it gets into commands. */
export const isAddress = (text: string) => /^wss?:\/\/([\w.-]+|\[[\da-f:.]+\])(:\d+)?(\/[\w./~%-]*)?$/i.test(text)

/** Whether a text is the absolute path of a program and nothing else: it gets into a command too. */
export const isProgram = (text: string) => /^\/[\w./+@~-]*[\w+@~-]$/.test(text)

/** Where packages of the OpenTelemetry Collector put it. */
export const COLLECTOR = '/usr/bin/otelcol-contrib'

/** Where opampsupervisor and collectors are to be had. */
export const RELEASES = 'https://github.com/open-telemetry/opentelemetry-collector-releases/releases'

/** FlowGate's collector image, as it is called where it was built. */
export const IMAGE = 'flowgate-gateway:local'

function supervisorYaml({ url, token, instanceId, executable = COLLECTOR }: Choice, storage: string): string {
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
  validate_config: true${instanceId ? `\n  instance_id: ${instanceId}` : ''}
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

/** What has to be there before. */
export function needs({ mode, platform }: Choice): string {
  if (platform === 'docker') return `Needs FlowGate's collector image: “docker build -t ${IMAGE} gateway” in FlowGate's repository.`
  if (platform === 'kubernetes' && mode === 'supervisor') {
    return "Needs FlowGate's collector image where the cluster can pull it: build the folder gateway, push it, and name it in the manifest."
  }
  if (mode === 'supervisor') {
    return 'Needs opampsupervisor and a collector on the host.'
  }
  return 'Needs a collector that was built with opampextension, as otelcol-contrib is.'
}

const SUPERVISOR_FOLDER = '/etc/opampsupervisor'
const STORAGE = '/var/lib/opampsupervisor'

function image({ mode, url, instanceId }: Choice): string {
  return `            - {name: USE_SUPERVISOR, value: "${mode === 'supervisor'}"}
            - {name: FLOWGATE_OPAMP_ENDPOINT, value: "${url}"}${instanceId ? `\n            - {name: FLOWGATE_INSTANCE_UID, value: "${instanceId}"}` : ''}
            - name: FLOWGATE_ENROLLMENT_TOKEN
              valueFrom: {secretKeyRef: {name: flowgate-enrollment, key: token}}`
}

function manifest(choice: Choice): string {
  return `apiVersion: apps/v1
kind: StatefulSet
metadata:
  name: gateway
spec:
  serviceName: gateway
  selector: {matchLabels: {app: gateway}}
  template:
    metadata:
      labels: {app: gateway}
    spec:
      containers:
        - name: gateway
          image: flowgate-gateway
          env:
${image(choice)}
          volumeMounts:
            - {name: storage, mountPath: ${STORAGE}}
  volumeClaimTemplates:
    - metadata: {name: storage}
      spec:
        accessModes: [ReadWriteOnce]
        resources: {requests: {storage: 100Mi}}
`
}

/** The steps, in order; what is to be typed is complete. */
export function steps(choice: Choice): Step[] {
  const { mode, platform, url, token, instanceId } = choice
  if (platform === 'docker') {
    return [
      {
        title: "Run FlowGate's collector image",
        text: `docker run -d --name gateway --restart unless-stopped \\
  -e USE_SUPERVISOR=${mode === 'supervisor'} \\
  -e FLOWGATE_OPAMP_ENDPOINT=${url} \\
  -e FLOWGATE_ENROLLMENT_TOKEN=${token} \\${instanceId ? `\n  -e FLOWGATE_INSTANCE_UID=${instanceId} \\` : ''}
  -v gateway-storage:${STORAGE} \\
  ${IMAGE}
`,
      },
    ]
  }
  if (mode === 'supervisor') {
    if (platform === 'kubernetes') {
      return [
        { title: 'Keep the token as a secret', text: `kubectl create secret generic flowgate-enrollment --from-literal=token=${token}\n` },
        { title: "Run FlowGate's collector image under its supervisor", text: `kubectl apply -f - <<'EOF'\n${manifest(choice)}EOF\n` },
      ]
    }
    return [
      {
        title: "Write the supervisor's configuration, which only root may read",
        text: `sudo install -d -m 700 ${SUPERVISOR_FOLDER} ${STORAGE}
sudo install -m 600 /dev/stdin ${SUPERVISOR_FOLDER}/config.yaml <<'EOF'
${supervisorYaml(choice, STORAGE)}EOF
`,
      },
      { title: 'Run the supervisor', text: `sudo opampsupervisor --config ${SUPERVISOR_FOLDER}/config.yaml\n` },
    ]
  }
  const yaml = extensionYaml(choice)
  return platform === 'linux'
    ? [
        { title: "Add this to the collector's configuration", text: yaml },
        { title: 'Start the collector with it', text: 'sudo systemctl restart otelcol-contrib\n' },
      ]
    : [
        { title: "Add this to the collector's configuration (its ConfigMap)", text: yaml },
        { title: 'Roll the collector', text: 'kubectl rollout restart daemonset/otel-collector\n' },
      ]
}
