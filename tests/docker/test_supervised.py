"""A gateway in supervisor mode: what operators do with it, and how it ends and comes back."""

import json
from urllib.request import Request, urlopen

import pytest
from docker_project import STORAGE, Container, Project, in_thread
from interop_configs import UNSTARTABLE, exporters, good
from interop_flowgate import Api

from flowkit.testing import eventually

pytestmark = pytest.mark.docker

# What is left over from extension mode must not cut the collector off from its supervisor.
WITH_OPAMP = """\
extensions:
  opamp:
    instance_uid: 00000000-0000-4000-8000-000000000000
    server: {ws: {endpoint: "wss://elsewhere.example.com/v1/opamp"}}
receivers: {nop: }
exporters: {debug/with_opamp: }
service:
  extensions: [opamp]
  pipelines: {metrics: {receivers: [nop], exporters: [debug/with_opamp]}}
"""

# Holds records for an hour: only an orderly end brings them out before that.
SLOW_BATCH = """\
receivers:
  otlp: {protocols: {http: {endpoint: "0.0.0.0:4318"}}}
processors:
  batch: {timeout: 1h}
exporters:
  debug: {verbosity: detailed}
service:
  pipelines: {logs: {receivers: [otlp], processors: [batch], exporters: [debug]}}
"""


@pytest.fixture
async def instance_id(project: Project, api: Api, supervised: Container) -> str:
    """The supervised agent, online and healthy."""
    found = await project.instance_id("gateway-supervisor")
    await api.healthy(found, seconds=40)
    return found


async def test_a_pushed_configuration_runs(project: Project, api: Api, instance_id: str) -> None:
    """It is applied and is the effective one."""
    await project.push_applied(api, instance_id, good("docker"))
    assert {"debug/docker"} == exporters(await api.effective(instance_id))


async def test_a_pushed_configuration_cannot_cut_the_collector_off(
    project: Project, api: Api, instance_id: str
) -> None:
    """What the supervisor needs is merged last."""
    await project.push_applied(api, instance_id, WITH_OPAMP)
    effective = await api.effective(instance_id)
    assert {"debug/with_opamp"} == exporters(effective)
    assert instance_id == effective["extensions"]["opamp"]["instance_uid"]
    assert "127.0.0.1" in effective["extensions"]["opamp"]["server"]["ws"]["endpoint"]


async def test_a_restart_by_the_api_is_a_new_collector(api: Api, supervised: Container, instance_id: str) -> None:
    """The collector is another process, below the same supervisor."""
    supervisor, collector = supervised.pid_of("opampsupervisor"), supervised.pid_of("otelcol")
    ordered = await api.try_restart(instance_id)
    assert ordered.status_code == 202, ordered.text
    await api.command(ordered.json()["command_id"], "completed", seconds=40)
    assert supervisor == supervised.pid_of("opampsupervisor")
    assert collector != supervised.pid_of("otelcol")


async def test_logs_of_supervisor_and_collector_are_in_the_api(api: Api, instance_id: str) -> None:
    """The supervisor sends its own by its configuration, the collector by FlowGate's offer of own telemetry."""

    async def bodies(source: str) -> str:
        answer = await api.get(f"/supervisor/agents/{instance_id}/logs?limit=1000&source={source}")
        return "\n".join(record["body"] for record in answer["items"])

    await eventually(lambda: bodies("supervisor"), seconds=30, until=lambda text: "Supervisor starting" in text)
    await eventually(lambda: bodies("collector"), seconds=30, until=lambda text: "Everything is ready" in text)


async def test_docker_stop_flushes_and_is_seen_at_once(
    project: Project, api: Api, supervised: Container, instance_id: str
) -> None:
    """What the pipelines hold goes out, nothing is left running, and the agent has said goodbye by then."""
    await project.push_applied(api, instance_id, SLOW_BATCH)
    await in_thread(_send_log, supervised.address(), "held back in a batch")
    assert "held back" not in supervised.read(f"{STORAGE}/agent.log")
    pids = [process.pid for process in supervised.processes() if "sleep" not in process.command]
    await in_thread(supervised.stop)
    gateway = await api.gateway(instance_id)
    assert gateway["status"] == "offline"
    assert supervised.state()["ExitCode"] == 0
    assert "held back in a batch" in supervised.read(f"{STORAGE}/agent.log")
    assert [pid for pid in pids if _is_alive(pid)] == []


async def test_docker_kill_and_start_bring_the_same_agent_back(
    project: Project, api: Api, supervised: Container, instance_id: str
) -> None:
    """Same identity, same gateway, same configuration, one collector."""
    await project.push_applied(api, instance_id, good("before_kill"))
    before = await api.gateway(instance_id)
    await in_thread(supervised.kill)
    await in_thread(supervised.start)
    after = await api.restarted(instance_id, before, seconds=40)
    assert before["gateway_id"] == after["gateway_id"]
    assert instance_id == await project.instance_id("gateway-supervisor")
    assert {"debug/before_kill"} == exporters(await api.effective(instance_id))
    assert supervised.tree() == ["docker-entrypoint.sh", "opampsupervisor", "otelcol"]


async def test_a_refused_configuration_does_not_come_back_with_the_container(
    project: Project, api: Api, supervised: Container, instance_id: str
) -> None:
    """The supervisor stores it all the same and would start with it unchecked, to crash again and again."""
    await project.push_applied(api, instance_id, good("the_last_good"))
    await eventually(lambda: "the_last_good" in supervised.read(f"{STORAGE}/last_good_remote_config.dat"))
    refused = await api.delivery(await api.push(instance_id, UNSTARTABLE), "failed")
    assert "no_such_exporter" in refused["error"]
    assert "no_such_exporter" in supervised.read(f"{STORAGE}/last_recv_remote_config.dat")
    before = await api.gateway(instance_id)
    await in_thread(supervised.kill)
    await in_thread(supervised.start)
    await api.restarted(instance_id, before, seconds=40)
    assert {"debug/the_last_good"} == exporters(await api.effective(instance_id))
    assert "the last configuration was not applied; starting with the one before it" in supervised.output()


async def test_a_supervisor_that_dies_takes_its_collector_along(
    api: Api, supervised: Container, instance_id: str
) -> None:
    """The collector would live on as an orphan; the container ends instead and is started again."""
    before, restarts = await api.gateway(instance_id), supervised.restarts()
    collector = supervised.pid_of("otelcol")
    await in_thread(
        supervised.engine.run, "exec", supervised.name, "sh", "-c", f"kill -9 {_supervisor_inside(supervised)}"
    )
    await eventually(lambda: supervised.restarts() == restarts + 1, seconds=20)
    await api.restarted(instance_id, before, seconds=40)
    assert not _is_alive(collector)
    assert "otelcol was left behind, stopping it" in supervised.output()
    assert "opampsupervisor ended unasked with exit code 137" in supervised.output()


def _supervisor_inside(container: Container) -> int:
    """Pid of the supervisor as the container sees it."""
    script = "grep -lz opampsupervisor /proc/[0-9]*/cmdline | cut -d / -f 3"
    pids = container.engine.run("exec", container.name, "sh", "-c", script).stdout.split()
    inside = [int(pid) for pid in pids if _command(container, int(pid)).startswith("/usr/local/bin/opampsupervisor")]
    (found,) = inside
    return found


def _command(container: Container, pid: int) -> str:
    return container.engine.run("exec", container.name, "cat", f"/proc/{pid}/cmdline", check=False).stdout


def _is_alive(pid: int) -> bool:
    from pathlib import Path

    return Path(f"/proc/{pid}").exists()


def _send_log(address: str, text: str) -> None:
    record = {"resourceLogs": [{"scopeLogs": [{"logRecords": [{"body": {"stringValue": text}}]}]}]}
    headers = {"Content-Type": "application/json"}
    with urlopen(Request(f"http://{address}:4318/v1/logs", json.dumps(record).encode(), headers), timeout=10) as answer:
        assert answer.status == 200
