{{/* Name of everything, and of the one Secret that the services read. */}}
{{- define "flowgate.name" -}}
{{- $release := .Release.Name -}}
{{- $default := contains "flowgate" $release | ternary $release (printf "%s-flowgate" $release) -}}
{{- .Values.fullname | default $default | trunc 40 | trimSuffix "-" -}}
{{- end }}

{{- define "flowgate.secret" -}}
{{- .Values.secrets.existing | default (include "flowgate.name" .) -}}
{{- end }}

{{/* The services: port, what of the Secret each gets as which setting, settings of its own. */}}
{{- define "flowgate.services" -}}
{{- $name := include "flowgate.name" . -}}
{{- $agents := printf "%s-agents.%s:%v" $name .Release.Namespace .Values.service.agents.port -}}
opamp-gateway:
  port: 4320
  secrets:
    FLOWGATE_OPAMP_GATEWAY_ENROLLMENT_TOKEN_SHA256: enrollment-token-sha256
    FLOWGATE_OPAMP_GATEWAY_TELEMETRY_KEY: telemetry-key
  env:
    FLOWGATE_OPAMP_GATEWAY_HOST: {{ .Values.listenAddress | quote }}
    FLOWGATE_OPAMP_GATEWAY_PORT: "4320"
    FLOWGATE_OPAMP_GATEWAY_DRAIN_SECONDS: {{ (index .Values.services "opamp-gateway").drainSeconds | quote }}
api-gateway:
  port: 8080
  secrets:
    FLOWGATE_API_GATEWAY_ADMIN_TOKEN_SHA256: admin-token-sha256
    FLOWGATE_API_GATEWAY_SESSION_KEY: session-key
  env:
    FLOWGATE_API_GATEWAY_HOST: {{ .Values.listenAddress | quote }}
    FLOWGATE_API_GATEWAY_PORT: "8080"
    FLOWGATE_API_GATEWAY_OPAMP_URL: {{ .Values.opampUrl | default (printf "ws://%s/v1/opamp" $agents) | quote }}
agent-registry:
  owner: agent_registry
config-push:
  owner: config_push
supervisor-control:
  owner: supervisor_control
  env:
    FLOWGATE_SUPERVISOR_CONTROL_TELEMETRY_URL: {{ .Values.telemetryUrl | default (printf "http://%s" $agents) | quote }}
{{- end }}

{{- define "flowgate.image" -}}
{{- $root := index . 0 -}}
{{- $root.Values.image.repository }}:{{ index . 1 | default $root.Values.image.tag | default $root.Chart.AppVersion -}}
{{- end }}

{{/* [root, component] → labels that select; those of a pod, which no upgrade of the chart changes, since that would start
every pod again; all of them. */}}
{{- define "flowgate.selector" -}}
{{- $root := index . 0 -}}
app.kubernetes.io/name: flowgate
app.kubernetes.io/instance: {{ $root.Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end }}

{{- define "flowgate.podLabels" -}}
{{ include "flowgate.selector" . }}
app.kubernetes.io/part-of: flowgate
{{- end }}

{{- define "flowgate.labels" -}}
{{- $root := index . 0 -}}
{{ include "flowgate.podLabels" . }}
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
helm.sh/chart: {{ $root.Chart.Name }}-{{ $root.Chart.Version }}
{{- end }}

{{/* Addresses with user and password between scheme and host; $(…) is expanded by Kubernetes. */}}
{{- define "flowgate.natsUrl" -}}
{{- $name := include "flowgate.name" . -}}
{{- $urls := .Values.nats.urls -}}
{{- if not $urls -}}
{{- range $n := until (int .Values.nats.replicas) -}}
{{- $urls = append $urls (printf "nats://%s-nats-%d.%s-nats:4222" $name $n $name) -}}
{{- end -}}
{{- end -}}
{{- join "," $urls | replace "://" (printf "://%s:$(NATS_PASSWORD)@" .Values.nats.user) -}}
{{- end }}

{{- define "flowgate.databaseUrl" -}}
{{- $root := index . 0 -}}
{{- $url := $root.Values.postgresql.url | default (printf "postgresql://%s-postgresql:5432/flowgate" (include "flowgate.name" $root)) -}}
{{- $url | replace "://" (printf "://%s:$(DATABASE_PASSWORD)@" (index . 1)) -}}
{{- end }}

{{/* [root, {variable: key of the Secret}] → entries of `env`. */}}
{{- define "flowgate.secretEnv" -}}
{{- $root := index . 0 -}}
{{- range $variable, $key := index . 1 }}
- name: {{ $variable }}
  valueFrom: {secretKeyRef: {name: {{ include "flowgate.secret" $root }}, key: {{ $key }}}}
{{- end }}
{{- end }}

{{- define "flowgate.plainEnv" -}}
{{- range $variable, $value := . }}
- name: {{ $variable }}
  value: {{ $value | toString | quote }}
{{- end }}
{{- end }}

{{/* What every pod of the chart has: no credentials of the cluster, no root, no more rights. */}}
{{- define "flowgate.pod" -}}
{{- $root := index . 0 -}}
{{- $user := index . 1 -}}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with $root.Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
securityContext:
  runAsNonRoot: true
  runAsUser: {{ $user }}
  runAsGroup: {{ $user }}
  fsGroup: {{ $user }}
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "flowgate.confined" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{/* [root, component] → pods of a component on different nodes and zones, as far as there are any. */}}
{{- define "flowgate.spread" -}}
{{- range list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
- topologyKey: {{ . }}
  maxSkew: 1
  whenUnsatisfiable: ScheduleAnyway
  labelSelector:
    matchLabels: {{- include "flowgate.selector" $ | nindent 6 }}
{{- end }}
{{- end }}

{{/* [text of a manifest, what is laid over it] → the manifest. */}}
{{- define "flowgate.merged" -}}
{{- mergeOverwrite (index . 0 | fromYaml) (index . 1 | default dict | deepCopy) | toYaml -}}
{{- end }}
