"""Every way to install the chart is valid for Kubernetes, and what is not is refused."""

import itertools
import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import jsonschema
import kubernetes_validate
import pytest
import yaml

CHART = Path(__file__).parents[2] / "deploy" / "helm" / "flowgate"
EXAMPLES = sorted((CHART / "examples").glob("*.yaml"))
VERSIONS = sorted(
    {version.rpartition(".")[0] for version in kubernetes_validate.utils.all_versions()},
    key=lambda version: [int(part) for part in version.split(".")],
)[-3:]
Foreign = dict[tuple[str, str], jsonschema.Draft202012Validator]
OWN_SERVERS: list[str] = []
YOUR_SERVERS = [
    "--set=secrets.existing=mine",
    "--set=nats.urls={nats://n:4222,nats://m:4223}",
    "--set=postgresql.url=postgresql://db.example/flowgate?sslmode=require",
]
SERVICES = ("opamp-gateway", "api-gateway", "agent-registry", "config-push", "supervisor-control")
MATRIX = {
    f"{servers}-{scaling}-{extras}": [*arguments, *more, *rest]
    for (servers, arguments), (scaling, more), (extras, rest) in itertools.product(
        [("own", OWN_SERVERS), ("yours", YOUR_SERVERS)],
        [
            (kind, [f"--set=services.{one}.autoscaling.kind={kind}" for one in SERVICES])
            for kind in ("none", "hpa", "keda")
        ],
        [
            ("bare", ["--set=networkPolicy.enabled=false,nats.replicas=1"]),
            ("full", ["--set=metrics.serviceMonitor=true,image.pullSecrets={a,b},service.agents.type=LoadBalancer"]),
        ],
    )
}
MATRIX |= {
    f"{example}-alone": [
        "--values",
        str(CHART / "examples" / f"{example}.yaml"),
        "--set=services.opamp-gateway.autoscaling.cpu=0",
    ]
    for example in ("hpa-by-agents", "keda")
}
WRONG = {
    "typo of a service": ("services.opamp-gatway.replicas=1", "'opamp-gatway' not allowed"),
    "typo in a service": ("services.opamp-gateway.replcas=1", "'replcas' not allowed"),
    "typo at the top": ("networkpolicy.enabled=false", "'networkpolicy' not allowed"),
    "typo in a merge": ("services.api-gateway.merge.pods.hostNetwork=true", "'pods' not allowed"),
    "number as word": ("services.api-gateway.replicas=two", "/services/api-gateway/replicas"),
    "unknown autoscaler": ("services.api-gateway.autoscaling.kind=vpa", "value must be one of"),
    "drain of another service": ("services.api-gateway.drainSeconds=1", "'drainSeconds' not allowed"),
    "two servers are no quorum": ("nats.replicas=2", "value must be one of"),
    "password in an address": ("nats.urls={nats://me:secret@host}", "/nats/urls/0"),
    "level": ("logLevel=loud", "value must be one of"),
    "no setting": ("env.lower=1", "lower"),
    "drain past its check": ("services.opamp-gateway.env.FLOWGATE_OPAMP_GATEWAY_DRAIN_SECONDS=60", "DRAIN_SECONDS"),
    "stop past its check": ("env.FLOWGATE_STOP_SECONDS=60", "STOP_SECONDS"),
    "no pause": ("preStopSeconds=0", "/preStopSeconds"),
    "volume in another unit": ("nats.storage.size=20G", "/nats/storage/size"),
    "volume without room for the streams": ("nats.storage.size=15Gi", "has to be 16Gi at least"),
}


@pytest.mark.parametrize("values", [None, *EXAMPLES], ids=lambda path: path.stem if path else "defaults")
def test_lint_finds_nothing(helm: Callable[..., "subprocess.CompletedProcess[str]"], values: Path | None) -> None:
    """The defaults and every example."""
    done = helm("lint", CHART, "--strict", *(["--values", values] if values else []))
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("arguments", MATRIX.values(), ids=MATRIX)
def test_manifests_are_valid(
    render: Callable[..., list[dict[str, object]]], foreign: Foreign, arguments: list[str]
) -> None:
    """For the newest versions of Kubernetes, unknown fields refused."""
    validate(render(*arguments), foreign)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_examples_are_valid(render: Callable[..., list[dict[str, object]]], foreign: Foreign, example: Path) -> None:
    """With what they add."""
    manifests = render("--values", example)
    validate(manifests, foreign)
    added = yaml.safe_load(example.read_text()).get("extra", [])
    assert len(manifests) >= 20 + len(added)


def validate(manifests: list[dict[str, object]], foreign: Foreign) -> None:
    own = 0
    for manifest in manifests:
        other = foreign.get((str(manifest["apiVersion"]), str(manifest["kind"])))
        if other is not None:
            other.validate(manifest)
            continue
        own += 1
        for version in VERSIONS:
            kubernetes_validate.validate(manifest, version, strict=True)
    assert own >= 14
    assert len({(one["kind"], one["metadata"]["name"]) for one in manifests}) == len(manifests)  # type: ignore[index]


def test_foreign_manifests_are_held_to_their_definitions(foreign: Foreign) -> None:
    """A field that nobody knows, one of another type, and triggers that are none are found."""
    scaled = foreign["keda.sh/v1alpha1", "ScaledObject"]
    good = {"scaleTargetRef": {"name": "x"}, "triggers": [{"type": "cpu", "metadata": {"value": "70"}}]}
    assert scaled.is_valid({"spec": good})
    for wrong in ({"minReplicas": 2}, {"minReplicaCount": "two"}, {"triggers": None}):
        assert not scaled.is_valid({"spec": {**good, **wrong}})
    assert ("monitoring.coreos.com/v1", "ServiceMonitor") in foreign
    assert ("gateway.networking.k8s.io/v1", "HTTPRoute") in foreign


@pytest.mark.parametrize(("value", "told"), WRONG.values(), ids=WRONG)
def test_wrong_values_are_refused(
    helm: Callable[..., "subprocess.CompletedProcess[str]"], value: str, told: str
) -> None:
    """The message names the value."""
    done = helm("template", "flowgate", CHART, "--set", value)
    assert done.returncode != 0
    assert told in done.stderr


def test_your_servers_need_your_secret(helm: Callable[..., "subprocess.CompletedProcess[str]"]) -> None:
    """The chart cannot know their passwords."""
    done = helm("template", "flowgate", CHART, "--set", "nats.urls={nats://n:4222}")
    assert "need secrets.existing" in done.stderr


def test_a_drain_that_does_not_fit_is_refused(helm: Callable[..., "subprocess.CompletedProcess[str]"]) -> None:
    """Connections that are left when the time is up would be dropped all at once."""
    done = helm("template", "flowgate", CHART, "--set", "services.opamp-gateway.drainSeconds=30")
    assert "stopSeconds of opamp-gateway has to be 37 at least" in done.stderr


@pytest.mark.parametrize("pause", [5, 45])
def test_the_grace_holds_the_pause_and_the_stop(render: Callable[..., list[dict[str, object]]], pause: int) -> None:
    """A longer preStop takes nothing away from the drain."""
    for one in render(f"--set=preStopSeconds={pause}"):
        if one["kind"] == "Deployment":
            pod = one["spec"]["template"]["spec"]  # type: ignore[index]
            (container,) = pod["containers"]
            stop = next(int(each["value"]) for each in container["env"] if each["name"] == "FLOWGATE_STOP_SECONDS")
            assert container["lifecycle"]["preStop"]["sleep"]["seconds"] == pause
            assert pod["terminationGracePeriodSeconds"] == pause + stop + 5


@pytest.mark.parametrize(("kind", "own"), [("hpa", "metrics"), ("keda", "triggers")])
def test_an_autoscaler_goes_by_something(
    helm: Callable[..., "subprocess.CompletedProcess[str]"], kind: str, own: str
) -> None:
    """Without CPU and without figures of its own it would do something that nobody chose."""
    at = "services.api-gateway.autoscaling"
    done = helm("template", "flowgate", CHART, "--set", f"{at}.kind={kind},{at}.cpu=0")
    assert f"autoscaling of api-gateway goes by nothing: set cpu or {own}" in done.stderr


def test_every_value_has_a_comment() -> None:
    """The line above it; what all services have is described once, above them."""
    above, _, rest = (CHART / "values.yaml").read_text().partition("\nservices:\n")
    shared = "\n".join(above.splitlines()[-20:])
    below = rest[rest.index("\n# ") :]
    lines = ["", *above.splitlines(), "", *below.splitlines()]
    keys = [
        (before.strip(), line)
        for before, line in itertools.pairwise(lines)
        if re.match(r"( {2})?\w+:", line) and not re.fullmatch(r"\w+:", line)
    ]
    assert len(keys) > 30
    assert [line for before, line in keys if not before.startswith("#")] == []
    (first, *_others) = yaml.safe_load(f"services:\n{rest}")["services"].values()
    assert [key for key in first if key not in shared and key != "drainSeconds"] == []


def test_the_schema_knows_every_value() -> None:
    """And no object of it takes unknown names, apart from pieces of manifests."""
    schema = json.loads((CHART / "values.schema.json").read_text())
    assert sorted({*yaml.safe_load((CHART / "values.yaml").read_text()), "global"}) == sorted(schema["properties"])
    assert schema["additionalProperties"] is False
    for name, definition in schema["$defs"].items():
        assert name == "env" or definition["additionalProperties"] is False
