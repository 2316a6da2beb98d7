"""`make env && docker compose up -d --wait`: all of FlowGate, with one gateway in each mode."""

import pytest
from docker_project import STORAGE, Container, Project, in_thread
from httpx2 import AsyncClient
from interop_flowgate import Api, Json

from flowkit.testing import eventually

pytestmark = pytest.mark.docker

SERVICES = ("opamp-gateway", "agent-registry", "config-push", "supervisor-control", "api-gateway")


async def test_each_mode_is_seen_through_the_api(project: Project, api: Api) -> None:
    """A fresh clone's project has an agent in each mode, online and healthy."""
    plain = await api.healthy(await project.instance_id("gateway"))
    supervised = await api.healthy(await project.instance_id("gateway-supervisor"))
    assert (plain["management_mode"], plain["host_name"]) == ("extension", "gateway")
    assert (supervised["management_mode"], supervised["host_name"]) == ("supervisor", "gateway-supervisor")


async def test_extension_mode_is_the_default(plain: Container) -> None:
    """Without USE_SUPERVISOR the collector runs by itself, below the process that passes signals on."""
    assert plain.tree() == ["docker-entrypoint.sh", "otelcol"]


async def test_the_supervisor_runs_the_collector(supervised: Container) -> None:
    """With USE_SUPERVISOR=true the collector is a child of opampsupervisor."""
    assert supervised.tree() == ["docker-entrypoint.sh", "opampsupervisor", "otelcol"]


async def test_a_supervisor_says_where_its_logs_lie(project: Project, api: Api) -> None:
    """The description names the path on the host, and that is where they are."""
    instance_id = await project.instance_id("gateway-supervisor")
    description = await api.get(f"/supervisor/agents/{instance_id}/description")
    path = project.folder / "gateway" / "supervisor-storage-supervisor" / "supervisor.log"
    assert str(path) == description["supervisor_logs_path"]
    assert "Supervisor starting" in project.container("gateway-supervisor").read(f"{STORAGE}/supervisor.log")


async def test_nothing_but_the_storage_step_runs_as_root(project: Project) -> None:
    """Each service runs under an account of its own."""
    users = set()
    for service in [*SERVICES, "gateway", "gateway-supervisor"]:
        users |= {process.user for process in await in_thread(project.container(service).processes)}
    assert {"10000", "10001"} == users


async def test_prometheus_in_the_network_reads_every_service(project: Project) -> None:
    """With the token that `make env` made; without it nothing but health is told."""
    headers = {"Authorization": f"Bearer {project.secrets['FLOWGATE_METRICS_TOKEN']}"}
    async with AsyncClient(timeout=5) as client:
        for service in SERVICES:
            url = f"http://{project.container(service).address()}:8081"
            assert (await client.get(f"{url}/healthz")).status_code == 200
            assert (await client.get(f"{url}/metrics")).status_code == 401
            answer = await client.get(f"{url}/metrics", headers=headers)
            assert f'component="{service}"' in answer.text and "flowgate_nats_connected" in answer.text


async def test_an_agent_moves_from_one_mode_to_the_other_and_back(project: Project, api: Api) -> None:
    """USE_SUPERVISOR is all that changes: the gateway stays the same one in FlowGate."""
    instance_id = await project.instance_id("gateway")
    before = await api.healthy(instance_id)
    assert before["management_mode"] == "extension"
    for use_supervisor, mode in (("true", "supervisor"), ("false", "extension")):
        project.set(USE_SUPERVISOR=use_supervisor)
        await in_thread(project.compose("gateway").start)
        assert instance_id == await project.instance_id("gateway")
        moved = await _in_mode(api, instance_id, mode)
        assert before["gateway_id"] == moved["gateway_id"]


async def _in_mode(api: Api, instance_id: str, mode: str) -> Json:
    def is_there(gateway: Json) -> bool:
        return bool(gateway["management_mode"] == mode)

    return await eventually(lambda: api.healthy(instance_id), seconds=30, until=is_there)
