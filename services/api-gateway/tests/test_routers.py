"""Every endpoint, in both modes, over owners in memory."""

from typing import Any

import pytest
from httpx2 import AsyncClient
from pydantic import BaseModel

from api_gateway.schemas.agent import AgentHealthResponse, AgentStatusResponse
from api_gateway.schemas.command import CommandResponse, RestartResponse
from api_gateway.schemas.config import AgentConfigResponse, ConfigCheckResponse, ConfigPushResponse, DeliveryResponse
from api_gateway.schemas.description import AgentDescriptionResponse, AgentVersionResponse
from api_gateway.schemas.fleet import FleetSummaryResponse
from api_gateway.schemas.gateway import GatewayListResponse, GatewayResponse
from api_gateway.schemas.supervisor import (
    SupervisorAgentListResponse,
    SupervisorStatusResponse,
    UiAgentListResponse,
    UiAgentResponse,
)
from api_gateway.schemas.telemetry import LogsResponse, MetricsResponse
from api_gateway.testing import MemoryOwners, make_gateway
from flowgate.rpc.v1 import agent_registry_pb2 as registry
from flowgate.rpc.v1 import config_push_pb2 as configs

EXTENSION = make_gateway(1).gateway
SUPERVISED = make_gateway(2, supervised=True).gateway
UNKNOWN = "0198e4b0-7c1d-7a3e-9f00-ffffffffffff"
BOTH = pytest.mark.parametrize("gateway", [EXTENSION, SUPERVISED], ids=["extension", "supervisor"])
READS = {
    "": GatewayResponse,
    "/health": AgentHealthResponse,
    "/version": AgentVersionResponse,
    "/description": AgentDescriptionResponse,
    "/config": AgentConfigResponse,
    "/status": AgentStatusResponse,
    "/logs": LogsResponse,
    "/metrics": MetricsResponse,
}
SUPERVISOR_READS = {
    "agents/{}/status": SupervisorStatusResponse,
    "agents/{}/description": AgentDescriptionResponse,
    "agents/{}/logs": LogsResponse,
    "ui/agents/{}": UiAgentResponse,
    "ui/agents/{}/effective-config": AgentConfigResponse,
}


async def get(client: AsyncClient, path: str, model: type[BaseModel]) -> dict[str, Any]:
    """The answer to a GET, which fits the model that OpenAPI names."""
    response = await client.get("/api/v1/" + path)
    assert response.status_code == 200, response.text
    body: dict[str, Any] = response.json()
    model.model_validate(body)
    return body


@BOTH
@pytest.mark.parametrize("part", READS)
async def test_a_gateway_is_read_by_either_id(client: AsyncClient, gateway: registry.Gateway, part: str) -> None:
    """gateway_id and instance_id give the same, however they are written."""
    ids = (gateway.gateway_id, gateway.instance_id, gateway.instance_id.upper(), gateway.gateway_id.replace("-", ""))
    bodies = [await get(client, f"gateways/{either}{part}", READS[part]) for either in ids]
    assert {body["gateway_id"] for body in bodies} == {gateway.gateway_id}
    assert {body["instance_id"] for body in bodies} == {gateway.instance_id}


@pytest.mark.parametrize("either", [UNKNOWN, "nonsense", "%20", "..%2f"])
@pytest.mark.parametrize(
    ("method", "path"),
    [
        *(("GET", f"gateways/{{}}{part}") for part in READS),
        ("PATCH", "gateways/{}"),
        ("DELETE", "gateways/{}"),
        *(("GET", f"supervisor/{path}") for path in SUPERVISOR_READS),
        ("POST", "supervisor/agents/{}/restart"),
        ("POST", "supervisor/ui/agents/{}/config"),
        ("GET", "commands/{}"),
        ("GET", "deliveries/{}"),
    ],
)
async def test_an_unknown_id_is_404(client: AsyncClient, method: str, path: str, either: str) -> None:
    """Whatever it looks like, and however the id is used."""
    response = await client.request(
        method, "/api/v1/" + path.format(either), json={"config": "a: 1"} if "config" in path else {}
    )
    assert response.status_code == 404, response.text
    assert response.headers["content-type"] == "application/problem+json"


async def test_the_list_has_both_modes(client: AsyncClient) -> None:
    """With mode, status, health, version, labels and capabilities of each."""
    body = await get(client, "gateways", GatewayListResponse)
    assert (body["total"], body["next_cursor"]) == (2, None)
    assert [item["management_mode"] for item in body["items"]] == ["extension", "supervisor"]
    assert body["items"][1]["health"]["healthy"] is True
    assert "AcceptsRemoteConfig" in body["items"][1]["capabilities"]
    assert "AcceptsRemoteConfig" not in body["items"][0]["capabilities"]


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("management_mode=extension", ["edge-1"]),
        ("management_mode=supervisor", ["edge-2"]),
        ("status=online", ["edge-1"]),
        ("status=online&status=offline", ["edge-1", "edge-2"]),
        ("healthy=true", ["edge-1"]),
        ("healthy=false", ["edge-2"]),
        ("q=EDGE-2", ["edge-2"]),
        ("label=env", ["edge-1"]),
        ("label=env%3Dprod&label=team", ["edge-1"]),
        ("label=env%3Ddev", []),
    ],
)
async def test_filters_reach_the_registry(
    client: AsyncClient, owners: MemoryOwners, query: str, names: list[str]
) -> None:
    """One field each; those that may be repeated are."""
    owners.fleet[SUPERVISED.gateway_id].gateway.status = registry.GATEWAY_STATUS_OFFLINE
    owners.fleet[EXTENSION.gateway_id].gateway.labels.update(env="prod", team="a")
    body = await get(client, f"gateways?{query}", GatewayListResponse)
    assert [item["name"] for item in body["items"]] == names


async def test_pages_follow_one_another(client: AsyncClient) -> None:
    """next_cursor leads on and is null at the end."""
    first = await get(client, "gateways?limit=1", GatewayListResponse)
    second = await get(client, f"gateways?limit=1&cursor={first['next_cursor']}", GatewayListResponse)
    assert [first["items"][0]["name"], second["items"][0]["name"]] == ["edge-1", "edge-2"]
    assert (first["total"], second["next_cursor"]) == (2, None)


async def test_a_patch_merges(client: AsyncClient) -> None:
    """What is left out stays, null takes a label away."""
    path = f"/api/v1/gateways/{EXTENSION.instance_id}"
    await client.patch(path, json={"name": "first", "labels": {"env": "prod", "team": "a"}})
    response = await client.patch(path, json={"labels": {"team": None, "zone": ""}})
    GatewayResponse.model_validate(response.json())
    assert (response.json()["name"], response.json()["labels"]) == ("first", {"env": "prod", "zone": ""})


async def test_only_an_offline_gateway_is_deleted(client: AsyncClient, owners: MemoryOwners) -> None:
    """409 while it is connected; then it is gone."""
    path = f"/api/v1/gateways/{EXTENSION.gateway_id}"
    refused = await client.delete(path)
    assert (refused.status_code, refused.json()["title"]) == (409, "Conflict")
    owners.fleet[EXTENSION.gateway_id].gateway.status = registry.GATEWAY_STATUS_OFFLINE
    gone = await client.delete(path)
    assert (gone.status_code, gone.content) == (204, b"")
    assert (await client.get(path)).status_code == 404


async def test_config_shows_effective_assigned_and_state(client: AsyncClient, owners: MemoryOwners) -> None:
    """The same under the gateway and under the UI's path."""
    owners.configs[SUPERVISED.instance_id] = configs.GetAgentConfigResponse(
        effective=[configs.ConfigFile(body=b"a: 1\n")],
        effective_hash="e1",
        assigned_hash="a1",
        assigned_config="a: 2\n",
        delivery=configs.Delivery(delivery_id="d", state="DELIVERY_STATE_FAILED", error="exit code 1"),
    )
    body = await get(client, f"gateways/{SUPERVISED.gateway_id}/config", AgentConfigResponse)
    assert (body["effective"]["files"][""]["body"], body["assigned"]["config"]) == ("a: 1\n", "a: 2\n")
    assert (body["state"], body["error"]) == ("failed", "exit code 1")
    path = f"supervisor/ui/agents/{SUPERVISED.instance_id}/effective-config"
    assert await get(client, path, AgentConfigResponse) == body


async def test_the_supervisor_list_has_supervisors_only(client: AsyncClient) -> None:
    """Also for the UI, there with supervisor, delivery and actions."""
    plain = await get(client, "supervisor/agents", SupervisorAgentListResponse)
    assert [item["name"] for item in plain["items"]] == ["edge-2"]
    joined = await get(client, "supervisor/ui/agents", UiAgentListResponse)
    assert [item["supervisor"]["collector_state"] for item in joined["items"]] == ["running"]
    assert (joined["items"][0]["delivery"], joined["partial"]) == (None, [])


async def test_an_empty_list_asks_no_other_owner(client: AsyncClient, owners: MemoryOwners) -> None:
    """For config-push no ids mean all agents."""
    owners.fleet.clear()
    assert (await get(client, "supervisor/ui/agents", UiAgentListResponse))["items"] == []
    assert [type(question) for question in owners.asked] == [registry.ListGatewaysRequest]


@pytest.mark.parametrize("path", SUPERVISOR_READS)
async def test_a_supervisor_is_read_by_either_id(client: AsyncClient, path: str) -> None:
    """Whatever the path calls it."""
    by_instance = await get(client, "supervisor/" + path.format(SUPERVISED.instance_id), SUPERVISOR_READS[path])
    by_gateway = await get(client, "supervisor/" + path.format(SUPERVISED.gateway_id), SUPERVISOR_READS[path])
    for body in (by_instance, by_gateway):
        for part in ("health", "supervisor", "collector"):  # have uptimes
            body.pop(part, None)
    assert by_instance == by_gateway


async def test_the_status_tells_all_of_both_processes(client: AsyncClient, owners: MemoryOwners) -> None:
    """Connection, supervisor, collector, configuration, capabilities with what they allow, own telemetry."""
    known = owners.supervisors[SUPERVISED.instance_id]
    known.supervisor_started_at.FromJsonString("2026-11-02T08:00:00Z")
    known.collector_started_at.FromJsonString("2026-11-02T08:15:00Z")
    known.recent_crashes, known.is_crash_looping, known.crash_window_seconds = 3, True, 600
    known.connection_settings.state, known.connection_settings.own_logs = "offered", True
    owners.configs[SUPERVISED.instance_id] = configs.GetAgentConfigResponse(
        delivery=configs.Delivery(delivery_id="d", state="DELIVERY_STATE_FAILED", error="exit code 1")
    )
    detail = owners.fleet[SUPERVISED.gateway_id]
    detail.gateway.ingress, detail.gateway.transport = "opamp-gateway-1", "websocket"
    detail.supervisor_logs_path = "/var/log/supervisor.log"
    body = await get(client, f"supervisor/agents/{SUPERVISED.instance_id}/status", SupervisorStatusResponse)
    assert body["connection"]["is_connected"] and body["connection"]["ingress"] == "opamp-gateway-1"
    assert body["supervisor"]["started_at"] == "2026-11-02T08:00:00.000Z"
    assert body["supervisor"]["uptime_seconds"] - body["collector"]["uptime_seconds"] in (899, 900, 901)
    assert body["supervisor"]["logs_path"] == "/var/log/supervisor.log"
    assert (body["collector"]["recent_crashes"], body["collector"]["is_crash_looping"]) == (3, True)
    assert (body["remote_config"]["state"], body["remote_config"]["error"]) == ("failed", "exit code 1")
    allowed = {one["name"]: one["allowed"] for one in body["capabilities"]}
    assert (allowed["AcceptsRestartCommand"], allowed["AcceptsPackages"]) == (True, False)
    assert all(one["meaning"] for one in body["capabilities"]) and len(allowed) == 16
    assert (body["own_telemetry"]["state"], body["own_telemetry"]["heartbeat_interval_seconds"]) == ("offered", None)


@pytest.mark.parametrize("reason", ["agent", "closed", "timeout", "drain"])
async def test_the_status_of_one_that_is_gone_says_why(client: AsyncClient, owners: MemoryOwners, reason: str) -> None:
    """And does not claim that its collector does not run."""
    detail = owners.fleet[SUPERVISED.gateway_id]
    detail.gateway.status, detail.disconnect_reason = registry.GATEWAY_STATUS_OFFLINE, reason
    owners.down.add("config-push")
    body = await get(client, f"supervisor/agents/{SUPERVISED.instance_id}/status", SupervisorStatusResponse)
    assert (body["connection"]["is_connected"], body["connection"]["disconnect_reason"]) == (False, reason)
    assert body["connection"]["disconnect_reason_text"]
    assert (body["supervisor"]["is_running"], body["collector"]["is_running"]) == (False, None)
    assert (body["remote_config"], body["partial"]) == (None, ["config-push"])


@pytest.mark.parametrize("path", SUPERVISOR_READS)
async def test_there_is_no_supervisor_in_extension_mode(client: AsyncClient, path: str) -> None:
    """404 that says so and where to look."""
    response = await client.get("/api/v1/supervisor/" + path.format(EXTENSION.instance_id))
    assert response.status_code == 404
    assert "extension mode" in response.json()["detail"]
    assert f"/api/v1/gateways/{EXTENSION.gateway_id}" in response.json()["detail"]


async def test_a_restart_is_accepted_and_can_be_followed(client: AsyncClient) -> None:
    """202 with the command's id and where it is told."""
    response = await client.post(f"/api/v1/supervisor/agents/{SUPERVISED.gateway_id}/restart")
    assert response.status_code == 202
    RestartResponse.model_validate(response.json())
    assert response.headers["location"] == f"/api/v1/commands/{response.json()['command_id']}"
    command = await get(client, response.headers["location"].removeprefix("/api/v1/"), CommandResponse)
    assert (command["state"], command["type"], command["instance_id"]) == ("pending", "restart", SUPERVISED.instance_id)


async def test_a_push_is_accepted_and_can_be_followed(client: AsyncClient, owners: MemoryOwners) -> None:
    """202 with the delivery's id; the text goes on as it was written."""
    text = "# \u00e9\nreceivers: {}\n"
    path = f"/api/v1/supervisor/ui/agents/{SUPERVISED.instance_id}/config"
    response = await client.post(path, json={"config": text})
    assert response.status_code == 202
    ConfigPushResponse.model_validate(response.json())
    assigned = next(one for one in owners.asked if isinstance(one, configs.AssignConfigRequest))
    assert (assigned.config, assigned.gateway_id, assigned.actor) == (text, SUPERVISED.gateway_id, "admin")
    delivery = await get(client, response.headers["location"].removeprefix("/api/v1/"), DeliveryResponse)
    assert (delivery["state"], delivery["config_hash"]) == ("pending", "c0ffee")


async def test_a_push_may_be_bound_to_what_was_seen(client: AsyncClient) -> None:
    """If-Match names the assigned one, If-None-Match none at all; another one meanwhile is 412, nonsense 422."""
    path = f"/api/v1/supervisor/ui/agents/{SUPERVISED.instance_id}/config"
    seen, none = {"If-Match": '"c0ffee"'}, {"If-None-Match": "*"}
    for headers, status in (
        (seen, 412),
        (none, 202),
        (none, 412),
        (seen, 202),
        ({}, 202),
        ({"If-Match": "c0ffee"}, 422),
        ({"If-None-Match": '"c0ffee"'}, 422),
    ):
        response = await client.post(path, json={"config": "a: 1"}, headers=headers)
        assert response.status_code == status
        if status == 412:
            problem = response.json()
            assert (problem["type"], "config_hash" in problem) == ("urn:flowgate:problem:changed", True)


async def test_yaml_that_does_not_parse_is_422_with_its_place(client: AsyncClient) -> None:
    """Line and column are config-push's."""
    path = f"/api/v1/supervisor/ui/agents/{SUPERVISED.instance_id}/config"
    response = await client.post(path, json={"config": ":"})
    assert response.status_code == 422
    assert response.json()["errors"] == [{"loc": "body.config", "message": "expected a key", "line": 1, "column": 1}]


async def test_a_configuration_is_checked_without_being_sent(client: AsyncClient, owners: MemoryOwners) -> None:
    """What a push would be refused for is the answer, not a refusal."""
    for text, errors in (
        ("receivers: {}", []),
        (":", [{"loc": None, "message": "expected a key", "line": 1, "column": 1}]),
    ):
        response = await client.post("/api/v1/configs/validate", json={"config": text})
        ConfigCheckResponse.model_validate(response.json())
        assert (response.status_code, response.json()) == (200, {"valid": not errors, "errors": errors})
    assert all(one.check_only for one in owners.asked if isinstance(one, configs.KeepConfigRequest))
    assert (await client.post("/api/v1/configs/validate", json={"config": ""})).status_code == 422
    owners.down.add("config-push")
    assert (await client.post("/api/v1/configs/validate", json={"config": "a: 1"})).status_code == 503


@pytest.mark.parametrize(
    ("path", "capability"),
    [
        ("supervisor/agents/{}/restart", "AcceptsRestartCommand"),
        ("supervisor/ui/agents/{}/config", "AcceptsRemoteConfig"),
    ],
)
async def test_what_an_agent_cannot_do_is_409(client: AsyncClient, path: str, capability: str) -> None:
    """The capability is named, for people and for programs."""
    response = await client.post("/api/v1/" + path.format(EXTENSION.instance_id), json={"config": "a: 1"})
    assert response.status_code == 409
    assert response.json()["capability"] == capability
    assert capability in response.json()["detail"]


@pytest.mark.parametrize(
    "body", ["{}", '{"config": ""}', '{"config": 1}', '{"config": "a", "x": 1}', '{"config": "\\ud800"}']
)
async def test_a_push_without_a_text_is_422(client: AsyncClient, body: str) -> None:
    """What cannot be a configuration does not reach its owner."""
    path = f"/api/v1/supervisor/ui/agents/{SUPERVISED.instance_id}/config"
    response = await client.post(path, content=body, headers={"Content-Type": "application/json"})
    assert response.status_code == 422


async def test_the_detail_has_everything_in_one_answer(client: AsyncClient) -> None:
    """Joined from the three owners."""
    body = await get(client, f"supervisor/ui/agents/{SUPERVISED.instance_id}", UiAgentResponse)
    assert body["supervisor"]["collector_starts"] == 3
    assert [record["body"] for record in body["logs"]] == ["it broke", "it connected"]
    assert body["actions"]["push_config"] == {"available": True, "capability": "AcceptsRemoteConfig", "reason": None}


@pytest.mark.parametrize("owner", ["config-push", "supervisor-control"])
async def test_joined_answers_go_on_without_an_owner(client: AsyncClient, owners: MemoryOwners, owner: str) -> None:
    """`partial` names the one that is down; the rest is there."""
    owners.down.add(owner)
    listed = await get(client, "supervisor/ui/agents", UiAgentListResponse)
    detail = await get(client, f"supervisor/ui/agents/{SUPERVISED.instance_id}", UiAgentResponse)
    assert (listed["partial"], detail["partial"]) == ([owner], [owner])
    assert (detail["config"] is None) == (owner == "config-push")
    assert (detail["supervisor"] is None) == (owner == "supervisor-control")


async def test_status_and_summary_go_on_without_the_others(client: AsyncClient, owners: MemoryOwners) -> None:
    """They are the registry's first of all."""
    summary = await get(client, "fleet/summary", FleetSummaryResponse)
    assert (summary["by_mode"], summary["partial"]) == ({"extension": 1, "supervisor": 1}, [])
    assert summary["supervisors"]["crash_looping"] == 0
    assert summary["supervisors"]["by_collector_state"]["running"] == 1
    owners.down |= {"config-push", "supervisor-control"}
    summary = await get(client, "fleet/summary", FleetSummaryResponse)
    assert (summary["by_config_state"]["applied"], summary["supervisors"]) == (0, None)
    assert summary["partial"] == ["supervisor-control"]
    owners.down.remove("supervisor-control")
    status = await get(client, f"gateways/{SUPERVISED.gateway_id}/status", AgentStatusResponse)
    assert (status["config"], status["partial"]) == (None, ["config-push"])


async def test_a_thousand_gateways_are_one_quick_answer(client: AsyncClient, owners: MemoryOwners) -> None:
    """No validation row by row: the largest page stays far below a second."""
    for number in range(3, 1001):
        detail = make_gateway(number, supervised=number % 2 == 0)
        owners.fleet[detail.gateway.gateway_id] = detail
    body = await get(client, "gateways?limit=1000", GatewayListResponse)
    assert len(body["items"]) == 1000
