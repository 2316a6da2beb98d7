"""Why a real agent does not do well: the API names component and key from the words of supervisor and collector."""

import os
import signal
import socket

import pytest
from interop_agents import Fleet
from interop_configs import good, listening_at
from interop_flowgate import Api, FlowGate, Json

from flowkit.testing import eventually

pytestmark = pytest.mark.interop


async def diagnosis(api: Api, agent: str) -> Json:
    """The explanation as it is now."""
    return await api.get(f"/gateways/{agent}/diagnosis")


async def test_a_refused_configuration_is_explained(flowgate: FlowGate, api: Api, fleet: Fleet) -> None:
    """The supervisor's validation tells component and key; the collector runs on; the next good one ends it."""
    agent = fleet.supervisor(flowgate, "ws")
    instance_id = await agent.instance_id()
    await api.settled(instance_id)
    assert (await diagnosis(api, instance_id))["state"] == "ok"

    delivery_id = await api.push(
        instance_id, good("wrong").replace("debug/wrong:", "debug/wrong: {verbositty: basic}", 1)
    )
    await api.delivery(delivery_id, "failed")
    told = await diagnosis(api, instance_id)
    first = told["findings"][0]
    assert (told["state"], first["is_probable_cause"], first["severity"]) == ("attention", True, "warning")
    assert (first["component"], first["config_key"]) == ("exporter:debug/wrong", "exporters.debug/wrong.verbositty")
    assert first["evidence"][0]["link"] == f"/api/v1/deliveries/{delivery_id}"
    assert any("is offered" in change["text"] for change in told["changes_before"])

    await api.delivery(await api.push(instance_id, good("right")), "applied")
    assert (await diagnosis(api, instance_id))["state"] == "ok"


async def test_a_crash_loop_is_explained_by_the_collectors_own_log(flowgate: FlowGate, api: Api, fleet: Fleet) -> None:
    """The status says no more than an exit code; the log that the collector sent itself names port and component."""
    agent = fleet.supervisor(flowgate, "ws")
    instance_id = await agent.instance_id()
    await api.settled(instance_id)
    with socket.socket() as occupied:
        occupied.bind(("127.0.0.1", 0))
        occupied.listen()
        address = f"127.0.0.1:{occupied.getsockname()[1]}"
        delivery_id = await api.push(instance_id, listening_at(address))
        await api.delivery(delivery_id, "failed")

        async def crash_loop() -> bool:
            status = await api.get(f"/supervisor/agents/{instance_id}/status")
            return bool(status["collector"]["is_crash_looping"])

        await eventually(crash_loop, seconds=40)
        told = await eventually(
            lambda: diagnosis(api, instance_id),
            seconds=20,
            until=lambda one: one["findings"][0]["component"] == "receiver:otlp",
        )
        assert told["state"] == "failing"
        assert f"{address} is in use by another process" in told["findings"][0]["statement"]
        assert {"config-push", "collector"} <= {one["source"] for one in told["findings"][0]["evidence"]}
        refused = await api.try_restart(instance_id)
        assert refused.status_code == 202
        failed = await api.command(refused.json()["command_id"], "failed")
        assert "exited unexpectedly" in failed["error"]

    await api.delivery(await api.push(instance_id, good("free")), "applied")
    await api.healthy(instance_id)


async def test_an_agent_that_went_away_is_explained(flowgate: FlowGate, api: Api, fleet: Fleet) -> None:
    """A goodbye is another thing than a loss."""
    stopped, killed = fleet.supervisor(flowgate, "ws"), fleet.supervisor(flowgate, "ws")
    stopped_id, killed_id = await stopped.instance_id(), await killed.instance_id()
    for instance_id in (stopped_id, killed_id):
        await api.healthy(instance_id)
    stopped.stop()
    os.kill(killed.pid, signal.SIGKILL)
    for instance_id, reason, severity in ((stopped_id, "agent", "warning"), (killed_id, "closed", "critical")):
        await api.with_status(instance_id, "offline")
        told = await diagnosis(api, instance_id)
        assert (told["state"], told["findings"][0]["severity"]) == ("gone", severity)
        status = await api.get(f"/supervisor/agents/{instance_id}/status")
        assert status["connection"]["disconnect_reason"] == reason
        assert (status["supervisor"]["is_running"], status["collector"]["is_running"]) == (False, None)
