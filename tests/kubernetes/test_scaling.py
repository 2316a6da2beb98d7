"""Each service is upgraded, scaled, killed and evicted under load: nothing that was answered is lost or doubled."""

import time
from collections.abc import Iterator

import pytest
from kubernetes_load import AGENTS, PAUSE, Load
from kubernetes_release import CHART, NAMESPACE, SERVICES, Release, eventually, is_ready
from kubernetes_report import Steps

pytestmark = pytest.mark.kubernetes

CONFIG = (
    "receivers: {nop: {}}\nexporters: {nop: {}}\nservice: {pipelines: {logs: {receivers: [nop], exporters: [nop]}}}\n"
)


@pytest.fixture(scope="module", autouse=True)
def edge(release: Release, load: Load) -> Iterator[str]:
    """A real collector under a real supervisor in a pod, which reaches FlowGate by the name of its Service; its id."""
    token = release.secret("flowgate-tokens")["enrollment-token"]
    environment = {
        "USE_SUPERVISOR": "true",
        "FLOWGATE_OPAMP_ENDPOINT": "ws://flowgate-agents:4320/v1/opamp",
        "FLOWGATE_ENROLLMENT_TOKEN": token,
    }
    container = {
        "name": "edge",
        "image": "flowgate-test/gateway:latest",
        "imagePullPolicy": "Never",
        "env": [{"name": name, "value": value} for name, value in environment.items()],
        "volumeMounts": [{"name": "storage", "mountPath": "/var/lib/opampsupervisor"}],
    }
    release.cluster.apply(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "edge", "namespace": NAMESPACE},
            "spec": {
                "securityContext": {"runAsUser": 10001, "runAsGroup": 10001, "fsGroup": 10001},
                "containers": [container],
                "volumes": [{"name": "storage", "emptyDir": {}}],
            },
        }
    )
    yield str(eventually(lambda: online_edge(load), "the supervised collector"))


def online_edge(load: Load) -> str:
    items = load.ask("GET", "/gateways?management_mode=supervisor&q=edge&status=online")["items"]
    return next((item["instance_id"] for item in items if item["health"]["healthy"]), "")


def test_a_quiet_minute(steps: Steps) -> None:
    """The yardstick: nothing happens but reports."""
    with steps.step("nothing"):
        time.sleep(20)


@pytest.mark.parametrize("service", SERVICES)
def test_rolling_upgrade(release: Release, steps: Steps, service: str) -> None:
    """Another image: the migrations run, and each pod is replaced when its successor is ready."""
    with steps.step(f"upgrade {service}"):
        release.upgrade(release.other_image(service))
        release.settled(service, 1)


def test_a_new_ui_touches_no_agent(release: Release, load: Load) -> None:
    """An upgrade of api-gateway alone costs no reconnection."""
    before = load.figures()
    release.upgrade(release.other_image("api-gateway"))
    release.settled("api-gateway", 1)
    assert (load.figures() - before).connections == 0


def test_scale_gateways_up_and_down(release: Release, load: Load, steps: Steps) -> None:
    """By hand. Connections stay where they are, so that an upgrade spreads them before two gateways go."""
    with steps.step("scale opamp-gateway from 1 to 3"):
        release.scale("opamp-gateway", 3)
    with steps.step("upgrade three opamp-gateways"):
        release.upgrade(release.other_image("opamp-gateway"))
        release.settled("opamp-gateway", 3)
    with steps.step("upgrade three opamp-gateways, agents on each"):
        release.upgrade(release.other_image("opamp-gateway"))
        release.settled("opamp-gateway", 3)
    before = load.figures()
    with steps.step("scale opamp-gateway from 3 to 1"):
        release.scale("opamp-gateway", 1)
    assert (load.figures() - before).connections > AGENTS / 3


def test_scale_consumers_up(release: Release, steps: Steps) -> None:
    """By hand."""
    with steps.step("scale agent-registry from 1 to 2"):
        release.scale("agent-registry", 2)


@pytest.mark.parametrize("service", [*SERVICES, "nats", "postgresql"])
def test_kill(release: Release, steps: Steps, service: str) -> None:
    """SIGKILL: requests may fail meanwhile, answered reports may not be lost."""
    with steps.step(f"kill -9 {service}", is_orderly=False):
        release.kill(service)


def test_eviction_keeps_one_away_at_a_time(release: Release, steps: Steps) -> None:
    """The second eviction waits until the first pod has its successor."""
    release.scale("opamp-gateway", 2)
    with steps.step("evict both opamp-gateways"):
        first, second = release.ready("opamp-gateway")
        assert release.evict(first)
        assert not release.evict(second)
        eventually(lambda: release.evict(second), "the second eviction")
        release.settled("opamp-gateway", 2)


def test_autoscaler_follows_the_load(release: Release, load: Load, steps: Steps) -> None:
    """More to do, more gateways; less, fewer."""
    at = "services.opamp-gateway.autoscaling"
    with steps.step("autoscaler up and down"):
        release.upgrade(
            f"{at}.kind=hpa",
            f"{at}.min=1",
            f"{at}.max=3",
            f"{at}.cpu=80",
            f"{at}.behavior.scaleDown.stabilizationWindowSeconds=5",
            f"{at}.behavior.scaleDown.policies=null",
        )
        with load.refused_requests():
            eventually(lambda: len(release.ready("opamp-gateway")) == 3, "three gateways", 180)
        load.set_pause((15, 25))
        eventually(lambda: len(release.pods("opamp-gateway")) == 1, "one gateway", 240)
        load.set_pause(PAUSE)
        release.upgrade(f"{at}.kind=none", "services.opamp-gateway.replicas=1")
        release.settled("opamp-gateway", 1)


@pytest.mark.parametrize(
    ("why", "values"),
    [
        ("an image that does not exist", ["services.agent-registry.tag=missing"]),
        (
            "migrations that fail",
            ["migrations.merge.container.command={/bin/false}", "migrations.deadlineSeconds=15", "image.tag=next"],
        ),
    ],
)
def test_a_failed_upgrade_rolls_back(release: Release, steps: Steps, why: str, values: list[str]) -> None:
    """Nobody notices, and the release is what it was."""
    before = {pod["metadata"]["name"] for name in SERVICES for pod in release.pods(name)}
    with steps.step(f"upgrade that fails: {why}"):
        done = release.helm(
            "upgrade",
            "flowgate",
            str(CHART),
            "--reuse-values",
            "--atomic",
            "--timeout=30s",
            *(f"--set={value}" for value in values),
            check=False,
        )
        assert done.returncode != 0 and "has been rolled back" in done.stderr
        release.settled("agent-registry", 2)
    after = {pod["metadata"]["name"] for name in SERVICES for pod in release.pods(name)}
    assert before == after


def test_the_supervised_collector_is_there(release: Release, load: Load, edge: str) -> None:
    """After all that it is online, was never restarted, and takes a configuration."""
    pod = release.cluster.get("pod", "edge", namespace=NAMESPACE)
    assert is_ready(pod) and pod["status"]["containerStatuses"][0]["restartCount"] == 0
    assert online_edge(load) == edge
    delivery = load.ask("POST", f"/supervisor/ui/agents/{edge}/config", json={"config": CONFIG})["delivery_id"]
    eventually(lambda: load.ask("GET", f"/deliveries/{delivery}")["state"] == "applied", "the configuration", 60)


def test_the_fleet_survives_its_release(release: Release, load: Load, edge: str) -> None:
    """`helm uninstall` keeps Secrets and volumes, as it says; installing again goes on with them."""
    before = known(load)
    release.helm("uninstall", "flowgate", "--wait")
    names = {one["metadata"]["name"] for one in release.cluster.get("secrets", namespace=NAMESPACE)["items"]}
    assert names == {"flowgate", "flowgate-tokens", "flowgate-metrics"}
    release.install()
    load.api_url = release.service_url("api")
    eventually(lambda: online_edge(load) == edge, "the collector, by the same name and token")
    assert known(load) == before and len(before) == AGENTS + 1


def known(load: Load) -> set[str]:
    return {item["gateway_id"] for item in load.ask("GET", "/gateways?limit=1000")["items"]}
