"""`flowgate enroll`: the configuration file with which a real collector comes to this FlowGate."""

import json
import shutil
from dataclasses import replace

from flowgate_cli.api import Api
from flowgate_cli.connection import Connection
from flowgate_cli.errors import CommandError

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


def configuration(
    mode: str, connection: Connection, transport: str, address: str | None, executable: str | None, storage: str
) -> str:
    """The configuration of a real collector of this mode.

    Args:
        mode: supervisor or extension.
        connection: address and enrollment token.
        transport: ws or http.
        address: the agents' address where it differs from the one in `connection`.
        executable: the collector that a supervisor runs; searched on the PATH when it is not given.
        storage: the supervisor's folder.

    Raises:
        CommandError: there is no such mode or transport, or the token is not known.
    """
    if transport not in ("ws", "http"):
        raise CommandError(f"there is no transport {transport!r}; use ws or http", 2)
    if not connection.enrollment_token:
        raise CommandError("the enrollment token is not known here; use --data-dir or --connection")
    where = endpoint(address or connection.opamp_url, transport)
    token = connection.enrollment_token
    if mode == "supervisor":
        program = executable or shutil.which("otelcol-contrib") or shutil.which("otelcol") or "otelcol-contrib"
        return SUPERVISOR.format(
            endpoint=where, token=token, executable=json.dumps(program), storage=json.dumps(storage)
        )
    if mode == "extension":
        # On ws the extension takes TLS for granted; on http the scheme says it.
        tls = "\n        tls: {insecure: true}" if where.startswith("ws://") else ""
        return EXTENSION.format(transport=transport, endpoint=where, token=token, tls=tls)
    raise CommandError(f"there is no mode {mode!r}; use supervisor or extension", 2)


def with_new_token(connection: Connection, name: str, labels: dict[str, str]) -> Connection:
    """The same FlowGate with an enrollment token that was just made there.

    Raises:
        CommandError: the API does not make one.
    """
    with Api(connection) as api:
        made = api.call("POST", "/enrollment-tokens", json={"name": name, "labels": labels})
    return replace(connection, enrollment_token=made["token"])


def endpoint(opamp_url: str, transport: str) -> str:
    """The agents' address for a transport: the same URL with another scheme."""
    scheme, _, rest = opamp_url.partition("://")
    secure = scheme in ("wss", "https")
    return {"ws": "wss" if secure else "ws", "http": "https" if secure else "http"}[transport] + "://" + rest
