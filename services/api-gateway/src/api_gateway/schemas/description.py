"""What one agent is: its version with the components that it was built with, and how it describes itself."""

from typing import Annotated, Any
from uuid import UUID

from google.protobuf.message import DecodeError
from pydantic import ConfigDict, Field

from api_gateway.schemas.values import ApiModel, attributes, capabilities
from flowgate.rpc.v1 import agent_registry_pb2 as registry
from opamp.v1 import opamp_pb2 as opamp


class ComponentDetailsTree(ApiModel):
    """A component that an agent was built with, and its parts."""

    metadata: dict[str, Any]
    """Facts on it, such as the Go module that it comes from."""
    components: dict[str, "ComponentDetailsTree"]
    """Its parts by name."""


class AgentVersionResponse(ApiModel):
    """What an agent is and what it was built with."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "gateway_id": "5c0d5d43-0d0e-4f53-9d0e-2f5ad1d6a2b1",
                    "instance_id": "0198e4b0-7c1d-7a3e-9f00-0000000000a7",
                    "name": "io.opentelemetry.collector@edge-7",
                    "agent_type": "io.opentelemetry.collector",
                    "version": "0.149.0",
                    "os_type": "linux",
                    "os_description": "Debian GNU/Linux 13 (trixie)",
                    "host_name": "edge-7",
                    "host_arch": "amd64",
                    "components_hash": "5e1f",
                    "components": {
                        "receivers": {
                            "metadata": {},
                            "components": {
                                "otlp": {
                                    "metadata": {
                                        "code.namespace": "go.opentelemetry.io/collector/receiver/otlpreceiver"
                                    },
                                    "components": {},
                                }
                            },
                        }
                    },
                }
            ]
        }
    )

    gateway_id: str
    """The gateway."""
    instance_id: str
    """Its agent."""
    name: str
    """Its name."""
    agent_type: str | None
    """service.name of its description."""
    version: str | None
    """service.version of its description."""
    os_type: str | None
    """os.type of its description."""
    os_description: str | None
    """os.description of its description."""
    host_name: str | None
    """host.name of its description."""
    host_arch: str | None
    """host.arch of its description."""
    components_hash: str | None
    """The agent's hash over its components, hex."""
    components: dict[str, ComponentDetailsTree]
    """Components that it was built with, by kind and name; empty when it does not report them."""


class ComponentsQuestion(ApiModel):
    """Whose components are asked for."""

    instance_ids: Annotated[list[UUID], Field(min_length=1, max_length=10_000)]
    """The agents."""


class ComponentSet(ApiModel):
    """What agents that were built alike were built with."""

    agents: int
    """How many they are."""
    instance_ids: list[str]
    """Which."""
    components: dict[str, list[str]] | None
    """Types of the components by kind; null for agents that did not tell."""


class ComponentsResponse(ApiModel):
    """What several agents were built with."""

    items: list[ComponentSet]
    """Those of most agents first. Agents that are not known are left out."""


class AgentDescriptionResponse(ApiModel):
    """An agent's description as it reported it, and what it can do."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "gateway_id": "5c0d5d43-0d0e-4f53-9d0e-2f5ad1d6a2b1",
                    "instance_id": "0198e4b0-7c1d-7a3e-9f00-0000000000a7",
                    "name": "io.opentelemetry.collector@edge-7",
                    "identifying_attributes": {
                        "service.name": "io.opentelemetry.collector",
                        "service.version": "0.149.0",
                        "service.instance.id": "0198e4b0-7c1d-7a3e-9f00-0000000000a7",
                    },
                    "non_identifying_attributes": {"host.name": "edge-7", "os.type": "linux", "host.arch": "amd64"},
                    "capabilities": ["ReportsStatus", "AcceptsRemoteConfig", "AcceptsRestartCommand"],
                    "capabilities_mask": "1027",
                    "supervisor_logs_path": None,
                }
            ]
        }
    )

    gateway_id: str
    """The gateway."""
    instance_id: str
    """Its agent."""
    name: str
    """Its name."""
    identifying_attributes: dict[str, Any]
    """Attributes that identify it. Integers beyond 2^53 - 1 are decimal text, bytes `{"bytesValue": "<base64>"}`."""
    non_identifying_attributes: dict[str, Any]
    """Attributes that tell more, in the same form."""
    capabilities: list[str]
    """What it can do, in OpAMP's names."""
    capabilities_mask: str
    """The same as a bit mask, decimal text."""
    supervisor_logs_path: str | None
    """Where the supervisor's logs lie on the host, if it said so."""


def description_of(detail: registry.GatewayDetail) -> opamp.AgentDescription:
    """The agent's description; an empty one where it cannot be read."""
    try:
        return opamp.AgentDescription.FromString(detail.agent_description)
    except DecodeError:
        return opamp.AgentDescription()


def details_tree(parts: Any) -> dict[str, Any]:
    """Parts by name as ComponentDetailsTree; `parts` is a map of ComponentDetails."""
    return {
        name: {"metadata": attributes(part.metadata), "components": details_tree(part.sub_component_map)}
        for name, part in sorted(parts.items())
    }


def components_json(found: registry.ListComponentsResponse) -> dict[str, Any]:
    """A ComponentsResponse."""
    items = []
    for one in found.sets:
        available = _available(one.available_components)
        kinds = {kind: sorted(group.sub_component_map) for kind, group in sorted(available.components.items())}
        items.append(
            {"agents": len(one.instance_ids), "instance_ids": list(one.instance_ids), "components": kinds or None}
        )
    return {"items": items}


def _available(reported: bytes) -> opamp.AvailableComponents:
    try:
        return opamp.AvailableComponents.FromString(reported)
    except DecodeError:
        return opamp.AvailableComponents()


def version_json(detail: registry.GatewayDetail) -> dict[str, Any]:
    """An AgentVersionResponse."""
    gateway = detail.gateway
    available = _available(detail.available_components)
    told = attributes(description_of(detail).non_identifying_attributes)
    system = told.get("os.description")
    return {
        "gateway_id": gateway.gateway_id,
        "instance_id": gateway.instance_id,
        "name": gateway.name,
        "agent_type": gateway.agent_type or None,
        "version": gateway.version or None,
        "os_type": gateway.os_type or None,
        "os_description": system if isinstance(system, str) else None,
        "host_name": gateway.host_name or None,
        "host_arch": gateway.host_arch or None,
        "components_hash": available.hash.hex() or None,
        "components": details_tree(available.components),
    }


def description_json(detail: registry.GatewayDetail) -> dict[str, Any]:
    """An AgentDescriptionResponse."""
    gateway, description = detail.gateway, description_of(detail)
    return {
        "gateway_id": gateway.gateway_id,
        "instance_id": gateway.instance_id,
        "name": gateway.name,
        "identifying_attributes": attributes(description.identifying_attributes),
        "non_identifying_attributes": attributes(description.non_identifying_attributes),
        "capabilities": capabilities(gateway.capabilities),
        "capabilities_mask": str(gateway.capabilities),
        "supervisor_logs_path": detail.supervisor_logs_path or None,
    }
