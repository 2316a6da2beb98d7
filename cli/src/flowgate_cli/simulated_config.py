"""What a collector makes of its configuration: merge, check, and the component tree that runs with it.

Parsing YAML in Python is slow and a fleet runs few configurations, so results are kept by their text.
"""

import hashlib
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from functools import lru_cache
from io import StringIO
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from opamp.v1 import anyvalue_pb2, opamp_pb2

Tree = dict[str, Any]

UID_PLACE = "00000000-0000-0000-0000-00000000f10a"  # stands for the instance_uid in kept texts

# Components of the collector that the simulated agents run, by kind.
COMPONENTS: Mapping[str, tuple[str, ...]] = {
    "receivers": ("filelog", "hostmetrics", "kafka", "nop", "otlp", "prometheus", "syslog"),
    "processors": (
        *("attributes", "batch", "filter", "k8sattributes", "memory_limiter", "probabilistic_sampler"),
        *("resource", "resourcedetection", "tail_sampling", "transform"),
    ),
    "exporters": ("debug", "file", "kafka", "loki", "nop", "otlp", "otlp_http", "otlphttp", "prometheusremotewrite"),
    "connectors": ("count", "forward", "routing", "spanmetrics"),
    "extensions": ("file_storage", "health_check", "opamp", "pprof", "zpages"),
}
SIGNALS = ("traces", "metrics", "logs", "profiles")

BASE = """\
service:
  telemetry:
    metrics:
      level: normal
"""
# What an agent runs with as long as nobody has pushed it anything.
OWN = """\
receivers:
  hostmetrics:
    collection_interval: 30s
    scrapers:
      load: {}
processors:
  batch: {}
exporters:
  debug: {}
service:
  pipelines:
    metrics:
      receivers: [hostmetrics]
      processors: [batch]
      exporters: [debug]
"""


@dataclass(frozen=True)
class Composed:
    """A configuration as the collector runs it.

    Attributes:
        text: the effective configuration, with UID_PLACE where the agent's uid belongs.
        components: names by part: `extensions`, and `pipeline:<id>` of each pipeline.
        error: why the collector does not start with it; empty when it does.
    """

    text: str
    components: Mapping[str, tuple[str, ...]]
    error: str = ""


@dataclass(frozen=True)
class Telemetry:
    """Where the agent sends its own telemetry: (endpoint, headers) of each signal; an empty endpoint is off."""

    metrics: tuple[str, tuple[tuple[str, str], ...]] = ("", ())
    logs: tuple[str, tuple[tuple[str, str], ...]] = ("", ())
    traces: tuple[str, tuple[tuple[str, str], ...]] = ("", ())


@lru_cache(maxsize=256)
def parse_error(body: bytes) -> str:
    """Why this is no YAML map, in the words of a Go program; empty when it is one."""
    try:
        found = _parse(body)
    except MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        return f"yaml: line {line}: {error.problem or 'could not be parsed'}"
    except (YAMLError, UnicodeDecodeError, ValueError) as error:
        return f"yaml: {str(error).splitlines()[0]}"
    if found is not None and not isinstance(found, dict):
        return "yaml: unmarshal errors: cannot unmarshal into map[string]interface {}"
    return ""


@lru_cache(maxsize=256)
def compose(bodies: tuple[bytes, ...], telemetry: Telemetry, is_supervised: bool) -> Composed:
    """Merge the base, own telemetry, the opamp extension and the remote bodies (the own one where there are none).

    Maps merge, lists are replaced, only service.extensions is joined. The bodies parse (`parse_error`).
    """
    merged: Tree = _parse(BASE.encode())
    _merge(merged, _own_telemetry(telemetry))
    server: Tree = {"ws": {"endpoint": "ws://127.0.0.1:4320/v1/opamp", "headers": {"Authorization": "[REDACTED]"}}}
    if is_supervised:
        server = {"ws": {"endpoint": "ws://127.0.0.1:41999/v1/opamp", "tls": {"insecure": True}}}
    extension = {"instance_uid": UID_PLACE, "server": server}
    _merge(merged, {"extensions": {"opamp": extension}, "service": {"extensions": ["opamp"]}})
    for body in bodies or (OWN.encode(),):
        _merge(merged, _parse(body) or {})
    out = StringIO()
    _yaml().dump(merged, out)
    return Composed(out.getvalue(), _components(merged), _check(merged))


def health_parts(composed: Composed, started_at: int, now: int) -> dict[str, opamp_pb2.ComponentHealth]:
    """component_health_map of a collector that runs well; times in nanoseconds since 1970."""

    def part(children: tuple[str, ...]) -> opamp_pb2.ComponentHealth:
        inner = {name: _well(started_at, now) for name in children}
        health = _well(started_at, now)
        for name, child in inner.items():
            health.component_health_map[name].CopyFrom(child)
        return health

    return {name: part(children) for name, children in composed.components.items()}


def available_components() -> opamp_pb2.AvailableComponents:
    """The components that the collector was built with."""
    available = opamp_pb2.AvailableComponents(hash=components_hash())
    for kind, names in COMPONENTS.items():
        for name in names:
            module = f"github.com/open-telemetry/opentelemetry-collector-contrib/{kind[:-1]}/{name} v0.149.0"
            available.components[kind].sub_component_map[name].metadata.append(
                anyvalue_pb2.KeyValue(key="code.namespace", value=anyvalue_pb2.AnyValue(string_value=module))
            )
    return available


def components_hash() -> bytes:
    """Hash over the components."""
    return hashlib.sha256(repr(sorted(COMPONENTS.items())).encode()).digest()


def _well(started_at: int, now: int) -> opamp_pb2.ComponentHealth:
    return opamp_pb2.ComponentHealth(
        healthy=True, start_time_unix_nano=started_at, status="StatusOK", status_time_unix_nano=now
    )


def _yaml() -> Any:
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    return yaml


def _parse(body: bytes) -> Any:
    return _yaml().load(body.decode())


def _merge(into: Tree, new: Tree, path: tuple[str, ...] = ()) -> None:
    for key, value in new.items():
        here = (*path, str(key))
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            _merge(into[key], value, here)
        elif here == ("service", "extensions") and isinstance(into.get(key), list) and isinstance(value, list):
            into[key] = [*into[key], *(name for name in value if name not in into[key])]
        else:
            into[key] = deepcopy(value)


def _own_telemetry(telemetry: Telemetry) -> Tree:
    def otlp(target: tuple[str, tuple[tuple[str, str], ...]]) -> Tree:
        headers = [{"name": name, "value": value} for name, value in target[1]]
        return {"exporter": {"otlp": {"protocol": "http/protobuf", "endpoint": target[0], "headers": headers}}}

    found: Tree = {}
    if telemetry.metrics[0]:
        found["metrics"] = {"readers": [{"periodic": otlp(telemetry.metrics)}]}
    if telemetry.logs[0]:
        found["logs"] = {"processors": [{"batch": otlp(telemetry.logs)}]}
    if telemetry.traces[0]:
        found["traces"] = {"processors": [{"batch": otlp(telemetry.traces)}]}
    return {"service": {"telemetry": found}} if found else {}


def _pipelines(merged: Tree) -> Tree:
    service = merged.get("service")
    found = service.get("pipelines") if isinstance(service, dict) else None
    return found if isinstance(found, dict) else {}


def _components(merged: Tree) -> dict[str, tuple[str, ...]]:
    enabled = merged.get("service", {}).get("extensions") or []
    parts = {"extensions": tuple(f"extension:{name}" for name in enabled)} if enabled else {}
    for signal, pipeline in _pipelines(merged).items():
        if isinstance(pipeline, dict):
            parts[f"pipeline:{signal}"] = tuple(
                f"{kind[:-1]}:{name}"
                for kind in ("receivers", "processors", "exporters")
                for name in pipeline.get(kind) or []
            )
    return parts


def _check(merged: Tree) -> str:
    """What `otelcol validate` would say; empty when all is well."""
    for key in merged:
        if key != "service" and key not in COMPONENTS:
            return f"'' has invalid keys: {key}"
    for kind, known in COMPONENTS.items():
        section = merged.get(kind)
        if section is not None and not isinstance(section, dict):
            return f"'{kind}' expected a map, got {type(section).__name__}"
        for name in section or {}:
            if str(name).partition("/")[0] not in known:
                valid = " ".join(known)
                return f'\'{kind}\' unknown type: "{name}" for id: "{name}" (valid values: [{valid}])'
    pipelines = _pipelines(merged)
    if not pipelines:
        return "service::pipelines config validation failed: service must have at least one pipeline"
    for signal, pipeline in pipelines.items():
        if str(signal).partition("/")[0] not in SIGNALS:
            return f'service::pipelines: unknown signal "{signal}"'
        for kind in ("receivers", "processors", "exporters"):
            names = (pipeline or {}).get(kind) or []
            if not names and kind != "processors":
                return f"service::pipelines::{signal}: must have at least one {kind[:-1]}"
            for name in names:
                if name not in (merged.get(kind) or {}) and name not in (merged.get("connectors") or {}):
                    return f'service::pipelines::{signal}: references {kind[:-1]} "{name}" which is not configured'
    return ""
