"""`flowgate enroll`: the configuration file with which a real collector comes to this FlowGate."""

from flowgate_cli.connection import Connection

SUPERVISOR = """\
# For opampsupervisor: it runs the collector and lets FlowGate configure and restart it.
# Holds the enrollment token: keep the file private.
server:
  endpoint: {endpoint}
  headers:
    Authorization: "Bearer {token}"
capabilities:
  accepts_remote_config: true
  reports_remote_config: true
  reports_effective_config: true
  reports_health: true
  reports_own_metrics: true
  reports_own_logs: true
  reports_own_traces: true
  reports_heartbeat: true
  reports_available_components: true
  accepts_restart_command: true
agent:
  executable: {executable}
  # A configuration that the collector refuses is reported as failed, and the running one stays.
  validate_config: true
  bootstrap_timeout: 10s
storage:
  directory: {storage}
"""

EXTENSION = """\
# A collector that reports itself to FlowGate by its opampextension: it can be seen, not configured.
# Put the extension into the collector's own file, or try this one as it is.
# Holds the enrollment token: keep the file private.
extensions:
  opamp:
    server:
      {transport}:
        endpoint: {endpoint}
        headers: {{Authorization: "Bearer {token}"}}{tls}
receivers:
  hostmetrics: {{collection_interval: 30s, scrapers: {{load: {{}}}}}}
exporters:
  debug: {{}}
service:
  extensions: [opamp]
  telemetry: {{metrics: {{level: none}}}}
  pipelines:
    metrics: {{receivers: [hostmetrics], exporters: [debug]}}
"""


def supervisor_yaml(connection: Connection, executable: str, storage: str, transport: str) -> str:
    """A supervisor.yaml; `transport` is ws or http."""
    return SUPERVISOR.format(
        endpoint=endpoint(connection.opamp_url, transport),
        token=connection.enrollment_token,
        executable=executable,
        storage=storage,
    )


def extension_yaml(connection: Connection, transport: str) -> str:
    """A collector configuration with the opamp extension; `transport` is ws or http."""
    where = endpoint(connection.opamp_url, transport)
    insecure = where.startswith("ws://")  # the extension takes TLS for granted on ws, and the scheme on http
    tls = "\n        tls: {insecure: true}" if insecure else ""
    return EXTENSION.format(transport=transport, endpoint=where, token=connection.enrollment_token, tls=tls)


def endpoint(opamp_url: str, transport: str) -> str:
    """The agents' address for a transport: the same URL with another scheme."""
    scheme, _, rest = opamp_url.partition("://")
    secure = scheme in ("wss", "https")
    return {"ws": "wss" if secure else "ws", "http": "https" if secure else "http"}[transport] + "://" + rest
