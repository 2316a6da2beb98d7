{{/* The one shape of the five services: {root, name, about (of flowgate.services), values}. */}}

{{- define "flowgate.service.env" -}}
{{- $prefix := printf "FLOWGATE_%s" (.name | upper | replace "-" "_") -}}
{{- $secrets := merge (dict "NATS_PASSWORD" "nats-password" "FLOWGATE_METRICS_TOKEN_SHA256" "metrics-token-sha256") (.about.secrets | default dict) -}}
{{- $env := dict
  "FLOWGATE_NATS_URL" (include "flowgate.natsUrl" .root)
  "FLOWGATE_NATS_REPLICAS" .root.Values.nats.replicas
  "FLOWGATE_LOG_LEVEL" .root.Values.logLevel
  "FLOWGATE_UPLINK_SHARDS" .root.Values.uplinkShards
  "FLOWGATE_STOP_SECONDS" .values.stopSeconds
  (printf "%s_HEALTH_HOST" $prefix) .root.Values.listenAddress
  (printf "%s_HEALTH_PORT" $prefix) "8081" -}}
{{- /* A gateway may wait beside its drain for polls, handshakes, batches and the bus, 6 s together. */}}
{{- $least := hasKey .values "drainSeconds" | ternary (add 7 .values.drainSeconds) 5 -}}
{{- if lt (int .values.stopSeconds) (int $least) }}
{{- fail (printf "stopSeconds of %s has to be %d at least" .name $least) }}
{{- end }}
{{- with .about.owner -}}
{{- $_ := set $secrets "DATABASE_PASSWORD" (printf "database-password-%s" $.name) -}}
{{- $_ := set $env "FLOWGATE_DATABASE_URL" (include "flowgate.databaseUrl" (list $.root .)) -}}
{{- end -}}
{{- include "flowgate.secretEnv" (list .root $secrets) }}
{{- include "flowgate.plainEnv" (mergeOverwrite $env (.about.env | default dict) .root.Values.env .values.env) }}
{{- end }}

{{- define "flowgate.service.container" -}}
name: {{ .name }}
image: {{ include "flowgate.image" (list .root .values.tag) }}
imagePullPolicy: {{ .root.Values.image.pullPolicy }}
command: [python, -m, {{ .name | replace "-" "_" }}]
env: {{- include "flowgate.service.env" . | nindent 2 }}
ports:
  - {name: health, containerPort: 8081}
  {{- with .about.port }}
  - {name: {{ $.name }}, containerPort: {{ . }}}
  {{- end }}
# Ready within two minutes of its start, or it starts again; alive is whoever answers, also while NATS does not.
startupProbe:
  httpGet: {path: /readyz, port: health}
  periodSeconds: 1
  failureThreshold: 120
readinessProbe:
  httpGet: {path: /readyz, port: health}
  periodSeconds: 5
  timeoutSeconds: 3
livenessProbe:
  httpGet: {path: /healthz, port: health}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 3
# Until nobody is sent here any more.
lifecycle: {preStop: {sleep: {seconds: {{ .root.Values.preStopSeconds }}}}}
resources: {{- toYaml .values.resources | nindent 2 }}
securityContext: {{- include "flowgate.confined" . | nindent 2 }}
volumeMounts:
  - {name: tmp, mountPath: /tmp}
{{- end }}

{{- define "flowgate.service.pod" -}}
{{- $container := include "flowgate.merged" (list (include "flowgate.service.container" .) .values.merge.container) -}}
{{ include "flowgate.pod" (list .root 10000) }}
terminationGracePeriodSeconds: {{ add .root.Values.preStopSeconds .values.stopSeconds 5 }}
topologySpreadConstraints: {{- include "flowgate.spread" (list .root .name) | nindent 2 }}
initContainers:
  - name: wait
    {{- pick ($container | fromYaml) "image" "imagePullPolicy" "env" "resources" "securityContext" "volumeMounts" | toYaml | nindent 4 }}
    command: [python, -m, flowkit.wait{{ with .about.owner }}, {{ . }}{{ end }}]
containers:
  - {{- $container | nindent 4 }}
volumes:
  - {name: tmp, emptyDir: {sizeLimit: 64Mi}}
{{- end }}

{{- define "flowgate.service.deployment" -}}
{{- $name := printf "%s-%s" (include "flowgate.name" .root) .name }}
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ $name }}
  labels: {{- include "flowgate.labels" (list .root .name) | nindent 4 }}
spec:
  {{- if eq .values.autoscaling.kind "none" }}
  replicas: {{ .values.replicas }}
  {{- else }}
  {{- /* As many as there are: helm would make a number that is left out into none, which is one pod. */}}
  {{- with lookup "apps/v1" "Deployment" .root.Release.Namespace $name }}
  replicas: {{ int .spec.replicas }}
  {{- end }}
  {{- end }}
  {{- with .values.drainSeconds }}
  # The next one goes when the one before has drained.
  minReadySeconds: {{ add $.root.Values.preStopSeconds . }}
  {{- end }}
  strategy: {type: RollingUpdate, rollingUpdate: {maxSurge: 1, maxUnavailable: 0}}
  selector:
    matchLabels: {{- include "flowgate.selector" (list .root .name) | nindent 6 }}
  template:
    metadata:
      labels:
        {{- include "flowgate.podLabels" (list .root .name) | nindent 8 }}
        flowgate.metrics: "true"
    spec: {{- include "flowgate.merged" (list (include "flowgate.service.pod" .) .values.merge.pod) | nindent 6 }}
{{- end }}
