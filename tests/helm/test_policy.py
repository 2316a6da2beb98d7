"""What every pod of the chart has, and that manifests, services and settings fit together."""

import base64
import hashlib
import os
import re
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from agent_registry.settings import Settings as AgentRegistrySettings
from api_gateway.settings import ApiGatewaySettings
from config_push.settings import Settings as ConfigPushSettings
from flowkit import contracts
from flowkit.settings import ServiceSettings
from opamp_gateway.settings import OpampGatewaySettings
from supervisor_control.settings import Settings as SupervisorControlSettings

Manifest = dict[str, Any]
SETTINGS: dict[str, type[ServiceSettings]] = {
    "opamp-gateway": OpampGatewaySettings,
    "api-gateway": ApiGatewaySettings,
    "agent-registry": AgentRegistrySettings,
    "config-push": ConfigPushSettings,
    "supervisor-control": SupervisorControlSettings,
}
OWNERS = ("agent-registry", "config-push", "supervisor-control")


@pytest.fixture(scope="module")
def manifests(render: Callable[..., list[Manifest]]) -> list[Manifest]:
    """Of an installation with everything switched on."""
    hpa = [f"--set=services.{name}.autoscaling.kind=hpa" for name in SETTINGS if name != "api-gateway"]
    return render("--set=metrics.serviceMonitor=true", *hpa)


@pytest.fixture(scope="module")
def deployments(manifests: list[Manifest]) -> dict[str, Manifest]:
    """By the name of the service."""
    return {component(one): one for one in manifests if one["kind"] == "Deployment"}


def component(manifest: Manifest) -> str:
    return str(manifest["metadata"]["labels"]["app.kubernetes.io/component"])


def pod_specs(manifests: list[Manifest]) -> list[tuple[str, Manifest]]:
    kinds = ("Deployment", "StatefulSet", "Job")
    return [(one["metadata"]["name"], one["spec"]["template"]["spec"]) for one in manifests if one["kind"] in kinds]


def containers(spec: Manifest) -> list[Manifest]:
    return [*spec.get("initContainers", []), *spec["containers"]]


def test_there_are_the_five_services(deployments: dict[str, Manifest]) -> None:
    """No more and no less."""
    assert sorted(deployments) == sorted(SETTINGS)


def test_every_pod_is_confined(manifests: list[Manifest]) -> None:
    """No root, nothing writable but volumes, no capability, no credentials of the cluster, the runtime's seccomp."""
    specs = pod_specs(manifests)
    assert len(specs) == 8
    for name, spec in specs:
        assert spec["automountServiceAccountToken"] is False, name
        context = spec["securityContext"]
        assert context["runAsNonRoot"] is True and context["runAsUser"] > 0, name
        assert context["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert not {"hostNetwork", "hostPID", "hostIPC"} & spec.keys(), name
        for container in containers(spec):
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }, name
            assert {"cpu", "memory"} <= container["resources"]["requests"].keys(), name
            assert "memory" in container["resources"]["limits"], name


def test_every_service_is_probed_and_drained(deployments: dict[str, Manifest]) -> None:
    """Probes on the health port; the time to end holds preStop and stop; an upgrade takes no replica away first."""
    for name, deployment in deployments.items():
        spec = deployment["spec"]["template"]["spec"]
        (container,) = spec["containers"]
        assert {"name": "health", "containerPort": 8081} in container["ports"]
        paths = {probe: container[probe]["httpGet"] for probe in ("startupProbe", "readinessProbe", "livenessProbe")}
        assert [one["port"] for one in paths.values()] == ["health"] * 3
        assert [one["path"] for one in paths.values()] == ["/readyz", "/readyz", "/healthz"]
        environment = plain(container)
        pause = container["lifecycle"]["preStop"]["sleep"]["seconds"]
        stop = int(environment["FLOWGATE_STOP_SECONDS"])
        assert pause > 0
        assert spec["terminationGracePeriodSeconds"] > pause + stop
        drain = float(environment.get("FLOWGATE_OPAMP_GATEWAY_DRAIN_SECONDS", 0))
        assert stop > drain + 6 or name != "opamp-gateway"  # 6 s is what ends besides, at the worst
        # The next pod of an upgrade begins to drain when the one before is done.
        assert deployment["spec"].get("minReadySeconds", 0) == (pause + drain if drain else 0)
        assert deployment["spec"]["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}
        keys = [one["topologyKey"] for one in spec["topologySpreadConstraints"]]
        assert keys == ["topology.kubernetes.io/zone", "kubernetes.io/hostname"]


def plain(container: Manifest) -> dict[str, str]:
    return {one["name"]: one["value"] for one in container["env"] if "value" in one}


def test_selectors_fit_the_pods(manifests: list[Manifest], deployments: dict[str, Manifest]) -> None:
    """Of Deployments, Services, PodDisruptionBudgets and NetworkPolicies; each finds what it is named after."""
    pods = {
        component(one): one["spec"]["template"]["metadata"]["labels"]
        for one in manifests
        if one["kind"] in ("Deployment", "StatefulSet", "Job")
    }

    def found(labels: dict[str, str]) -> list[str]:
        return sorted(name for name, own in pods.items() if labels.items() <= own.items())

    seen = set()
    for one in manifests:
        spec = one.get("spec", {})
        if one["kind"] == "Service":
            wanted = sorted(SETTINGS) if component(one) == "metrics" else [component(one)]
            assert found(spec["selector"]) == wanted
        elif one["kind"] in ("Deployment", "StatefulSet", "PodDisruptionBudget"):
            assert found(spec["selector"]["matchLabels"]) == [component(one)]
        elif one["kind"] == "NetworkPolicy":
            assert found(spec["podSelector"]["matchLabels"]) == [component(one)]
        else:
            continue
        seen.add((one["kind"], component(one)))
    assert {("PodDisruptionBudget", name) for name in deployments} <= seen
    assert {("NetworkPolicy", name) for name in pods} <= seen


def test_every_port_that_is_named_is_there(manifests: list[Manifest]) -> None:
    """Services and NetworkPolicies go by the names of container ports."""
    ports = {
        component(one): {port["name"] for port in one["spec"]["template"]["spec"]["containers"][0].get("ports", [])}
        for one in manifests
        if one["kind"] in ("Deployment", "StatefulSet", "Job")
    }
    for one in manifests:
        if one["kind"] == "Service":
            of = [component(one)] if component(one) in ports else list(SETTINGS)
            wanted = {port["targetPort"] for port in one["spec"]["ports"]}
            assert all(wanted <= ports[name] for name in of)
        if one["kind"] == "NetworkPolicy":
            wanted = {port["port"] for rule in one["spec"].get("ingress", []) for port in rule["ports"]}
            assert wanted <= ports[component(one)]


def test_the_planes_are_apart(manifests: list[Manifest]) -> None:
    """Agents and people come by Services of their own, and nothing else is reachable from outside of the release."""
    services = {one["metadata"]["name"]: one for one in manifests if one["kind"] == "Service"}
    assert component(services["flowgate-agents"]) == "opamp-gateway"
    assert component(services["flowgate-api"]) == "api-gateway"
    policies = {component(one): one["spec"] for one in manifests if one["kind"] == "NetworkPolicy"}
    opened = {
        name: [port["port"] for rule in spec.get("ingress", []) if "from" not in rule for port in rule["ports"]]
        for name, spec in policies.items()
    }
    assert opened == {
        "opamp-gateway": ["health", "opamp-gateway"],
        "api-gateway": ["health", "api-gateway"],
        **{name: ["health"] for name in OWNERS},
        **{name: [] for name in ("nats", "postgresql", "migrations")},
    }
    reaches = {
        name: sorted({str(port["port"]) for rule in spec.get("egress", []) for port in rule["ports"]})
        for name, spec in policies.items()
    }
    assert reaches == {
        **{name: ["4222", "53"] for name in ("opamp-gateway", "api-gateway")},
        **{name: ["4222", "53", "5432"] for name in OWNERS},
        "migrations": ["53", "5432"],
        "nats": ["53", "6222"],
        "postgresql": [],
    }


@pytest.mark.parametrize("service", SETTINGS)
def test_every_variable_is_a_setting(deployments: dict[str, Manifest], service: str) -> None:
    """Of this service, by its settings class; others are there only to be put into one of them."""
    (container,) = deployments[service]["spec"]["template"]["spec"]["containers"]
    names = [one["name"] for one in container["env"]]
    assert len(names) == len(set(names))
    inserted = set(re.findall(r"\$\((\w+)\)", " ".join(plain(container).values())))
    assert inserted <= set(names)
    assert all(names.index(one) < names.index(f"FLOWGATE_{one.partition('_')[0]}_URL") for one in inserted)
    unknown = set(names) - inserted - variables(SETTINGS[service])
    assert unknown == set()


def variables(settings: type[ServiceSettings]) -> set[str]:
    prefix = settings.model_config["env_prefix"]
    return {
        str(field.validation_alias) if field.validation_alias else f"{prefix}{name}".upper()
        for name, field in settings.model_fields.items()
    }


@pytest.mark.parametrize("service", SETTINGS)
def test_the_service_takes_its_settings(
    deployments: dict[str, Manifest], manifests: list[Manifest], service: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The values of the chart, and of its Secret, pass the settings class."""
    secrets = {one["metadata"]["name"]: one["data"] for one in manifests if one["kind"] == "Secret"}
    for name in [name for name in os.environ if name.startswith("FLOWGATE_")]:
        monkeypatch.delenv(name)
    (container,) = deployments[service]["spec"]["template"]["spec"]["containers"]
    for one in container["env"]:
        if "value" in one:
            monkeypatch.setenv(one["name"], re.sub(r"\$\((\w+)\)", lambda found: os.environ[found[1]], one["value"]))
        else:
            where = one["valueFrom"]["secretKeyRef"]
            monkeypatch.setenv(one["name"], base64.b64decode(secrets[where["name"]][where["key"]]).decode())
    settings = SETTINGS[service]()
    assert settings.nats_replicas == 3
    assert settings.nats_url.get_secret_value().count("@flowgate-nats-") == 3
    if service in OWNERS:
        url = settings.database_url.get_secret_value()  # type: ignore[attr-defined]
        assert re.fullmatch(rf"postgresql://{service.replace('-', '_')}:\w+@flowgate-postgresql:5432/flowgate", url)


def test_each_pod_gets_only_the_secrets_it_needs(manifests: list[Manifest]) -> None:
    """And nobody gets a token in plain: those are in a Secret that no pod names."""
    taken = {
        name: sorted(
            {
                (one["valueFrom"]["secretKeyRef"]["name"], one["valueFrom"]["secretKeyRef"]["key"])
                for container in containers(spec)
                for one in container["env"]
                if "secretKeyRef" in one.get("valueFrom", {})
            }
        )
        for name, spec in pod_specs(manifests)
    }
    assert {secret for pairs in taken.values() for secret, _ in pairs} == {"flowgate"}
    keys = {name.removeprefix("flowgate-"): {key for _, key in pairs} for name, pairs in taken.items()}
    common = {"nats-password", "metrics-token-sha256"}
    owned = {name: {f"database-password-{name}"} for name in OWNERS}
    assert keys == {
        "opamp-gateway": common | {"enrollment-token-sha256", "telemetry-key"},
        "api-gateway": common | {"admin-token-sha256", "session-key"},
        **{name: common | own for name, own in owned.items()},
        "migrations-1": {"postgresql-password"}.union(*owned.values()),  # each owner's container its own
        "nats": {"nats-password", "nats-events-password", "nats-route-password"},
        "postgresql": {"postgresql-password"},
    }
    secrets = {one["metadata"]["name"]: one for one in manifests if one["kind"] == "Secret"}
    assert set().union(*keys.values()) == secrets["flowgate"]["data"].keys()
    assert sorted(secrets["flowgate-tokens"]["data"]) == ["admin-token", "enrollment-token"]
    (monitor,) = [one for one in manifests if one["kind"] == "ServiceMonitor"]
    wanted = monitor["spec"]["endpoints"][0]["authorization"]["credentials"]
    token, digest = (secrets[name]["data"][key] for name, key in (
        (wanted["name"], wanted["key"]), ("flowgate", "metrics-token-sha256")
    ))  # fmt: skip
    assert wanted["name"] == "flowgate-metrics"  # not among those that may be deleted
    assert hashlib.sha256(base64.b64decode(token)).hexdigest() == base64.b64decode(digest).decode()


def test_autoscaled_services_leave_their_number_alone(manifests: list[Manifest]) -> None:
    """An upgrade must not reset what the autoscaler chose; without one the number is the chart's. (What is live is put
    in where there is a cluster to ask: tests/kubernetes.)"""
    scaled = {component(one): one["spec"] for one in manifests if one["kind"] == "HorizontalPodAutoscaler"}
    assert sorted(scaled) == sorted(set(SETTINGS) - {"api-gateway"})
    for one in manifests:
        if one["kind"] == "Deployment":
            assert ("replicas" in one["spec"]) == (component(one) not in scaled)
    for name, spec in scaled.items():
        assert spec["scaleTargetRef"]["name"] == f"flowgate-{name}"
        assert spec["maxReplicas"] >= spec["minReplicas"]
        shards = 8  # more replicas of a consumer would have nothing to do
        assert name == "opamp-gateway" or spec["maxReplicas"] <= shards


def test_the_tag_of_the_ui_touches_nothing_else(
    render: Callable[..., list[Manifest]], deployments: dict[str, Manifest]
) -> None:
    """A new UI is a new api-gateway; every other pod stays as it is."""
    fixed = ["--set=secrets.existing=mine"]
    before = {one["metadata"]["name"]: one for one in render(*fixed) if one["kind"] in ("Deployment", "StatefulSet")}
    after = {
        one["metadata"]["name"]: one
        for one in render(*fixed, "--set=services.api-gateway.tag=next")
        if one["kind"] in ("Deployment", "StatefulSet")
    }
    assert [name for name in before if before[name] != after[name]] == ["flowgate-api-gateway"]


def test_merges_reach_every_level(render: Callable[..., list[Manifest]]) -> None:
    """Maps key by key: what the chart says about other keys stays."""
    at = "services.agent-registry.merge"
    (deployment,) = [
        one
        for one in render(
            f"--set={at}.deployment.spec.minReadySeconds=7",
            f"--set={at}.pod.priorityClassName=high",
            f"--set={at}.container.livenessProbe.failureThreshold=9",
        )
        if one["kind"] == "Deployment" and component(one) == "agent-registry"
    ]
    spec = deployment["spec"]["template"]["spec"]
    assert deployment["spec"]["minReadySeconds"] == 7
    assert (spec["priorityClassName"], spec["automountServiceAccountToken"]) == ("high", False)
    assert spec["containers"][0]["livenessProbe"]["failureThreshold"] == 9
    assert spec["containers"][0]["livenessProbe"]["httpGet"]["path"] == "/healthz"


def test_the_accounts_of_the_bus_are_those_of_docker(manifests: list[Manifest]) -> None:
    """Who may read what is said twice, and is the same."""
    docker = (Path(__file__).parents[2] / "deploy" / "docker" / "nats.conf").read_text()
    (chart,) = [one["data"]["nats.conf"] for one in manifests if one["kind"] == "ConfigMap"]

    def accounts(text: str) -> str:
        return re.sub(r"\$(FLOWGATE_)?NATS", "$NATS", text[text.index("accounts {") :]).rstrip()

    assert accounts(docker) == accounts(chart)


def test_migrations_are_a_hook_when_the_database_is_there(render: Callable[..., list[Manifest]]) -> None:
    """Before an upgrade, and before an installation on a PostgreSQL of yours; else one of the manifests."""
    yours = ["--set=secrets.existing=mine", "--set=postgresql.url=postgresql://db/flowgate"]
    for arguments, is_hook in (([], False), (["--is-upgrade"], True), (yours, True)):
        (job,) = [one for one in render(*arguments) if one["kind"] == "Job"]
        hooks = job["metadata"].get("annotations", {}).get("helm.sh/hook")
        assert hooks == ("pre-install,pre-upgrade" if is_hook else None)
        # Within helm's --timeout of 5m; without a hook nobody waits, and the database may take its time to come up.
        assert job["spec"].get("activeDeadlineSeconds", 0) == (240 if is_hook else 0)


def test_each_owner_is_migrated_by_the_image_that_it_runs(render: Callable[..., list[Manifest]]) -> None:
    """Else a pod of a newer image would wait for ever for a schema that nobody makes."""
    manifests = render("--set=image.tag=old,services.config-push.tag=new")
    (job,) = [one["spec"]["template"]["spec"] for one in manifests if one["kind"] == "Job"]
    migrated = {one["name"]: (one["image"], one["command"][-1]) for one in job["containers"]}
    running = {
        component(one): one["spec"]["template"]["spec"]["containers"][0]["image"]
        for one in manifests
        if one["kind"] == "Deployment"
    }
    assert migrated == {name: (running[name], name.replace("-", "_")) for name in OWNERS}
    assert running["config-push"] == "flowgate:new"


def test_jetstream_stays_within_its_volume(render: Callable[..., list[Manifest]]) -> None:
    """It refuses before the volume is full, and takes what the streams reserve on the smallest one."""
    reserved = sum(stream.max_bytes for stream in contracts.streams().values())
    for size in (16, 20, 500):
        (text,) = [
            one["data"]["nats.conf"]
            for one in render(f"--set=nats.storage.size={size}Gi")
            if one["kind"] == "ConfigMap"
        ]
        (mebibytes,) = re.findall(r"max_file_store: (\d+)Mi\n", text)
        assert reserved <= int(mebibytes) << 20 <= 0.95 * (size << 30)


def test_others_reach_the_databases_only_when_they_are_named(render: Callable[..., list[Manifest]]) -> None:
    """Readers of events, jobs that make backups."""
    at = "networkPolicy"
    named = [f"--set={at}.{one}From[0].podSelector.matchLabels.app={one}" for one in ("nats", "postgresql")]
    for arguments, more in (([], 0), (named, 1)):
        policies = {component(one): one["spec"] for one in render(*arguments) if one["kind"] == "NetworkPolicy"}
        for name in ("nats", "postgresql"):
            own, *others = policies[name]["ingress"][0]["from"]
            assert "flowgate" in own["podSelector"]["matchLabels"].values()
            assert others == [{"podSelector": {"matchLabels": {"app": name}}}] * more


def test_versions_agree() -> None:
    """Of the chart, the image and the services."""
    root = Path(__file__).parents[2]
    projects = [root / "services" / name / "pyproject.toml" for name in SETTINGS]
    versions = {tomllib.loads(project.read_text())["project"]["version"] for project in projects}
    versions.add(yaml.safe_load((root / "deploy" / "helm" / "flowgate" / "Chart.yaml").read_text())["appVersion"])
    versions.update(re.findall(r"ARG FLOWGATE_VERSION=(\S+)", (root / "deploy" / "docker" / "Dockerfile").read_text()))
    assert len(versions) == 1


def test_metrics_that_autoscalers_go_by_are_there() -> None:
    """Each name in the chart is one that a service gives."""
    root = Path(__file__).parents[2]
    chart = root / "deploy" / "helm" / "flowgate"
    texts = [path.read_text() for path in [chart / "values.yaml", *(chart / "examples").glob("**/*.yaml")]]
    figure = yaml.safe_load((chart / "examples" / "hpa-by-agents.yaml").read_text())
    (wanted,) = figure["services"]["opamp-gateway"]["autoscaling"]["metrics"]
    adapter = yaml.safe_load((chart / "examples" / "prometheus-adapter" / "values.yaml").read_text())
    given = [rule["name"]["as"] for rule in adapter["rules"]["custom"]]
    assert given == [wanted["pods"]["metric"]["name"]]
    named = set(re.findall(r"\bflowgate_(?:opamp|consumer|uplink|outbox)_\w+", " ".join(texts)))
    sources = [path.read_text() for folder in ("libs", "services") for path in (root / folder).glob("**/src/**/*.py")]
    assert named == {"flowgate_opamp_agents", "flowgate_consumer_lag"}
    assert [name for name in named if not any(f'"{name}"' in source for source in sources)] == []
