"""FlowGate installed by its chart, and what the tests do to it."""

import base64
import json
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kubernetes_cluster import Cluster

ROOT = Path(__file__).parents[3]
CHART = ROOT / "deploy" / "helm" / "flowgate"
NAMESPACE = "fleet"
NAME = "flowgate"
SERVICES = ("opamp-gateway", "api-gateway", "agent-registry", "config-push", "supervisor-control")
HELM_SECONDS = 400.0

Json = dict[str, Any]


def eventually(probe: Callable[[], Any], what: str, seconds: float = 120.0) -> Any:
    """Ask until there is an answer."""
    deadline = time.monotonic() + seconds
    while not (answer := probe()):
        assert time.monotonic() < deadline, f"{what}: not within {seconds} s"
        time.sleep(0.3)
    return answer


class Release:
    """One installation of the chart in a namespace of its own."""

    def __init__(self, cluster: Cluster, helm: str) -> None:
        self.cluster = cluster
        self._helm = helm

    def helm(self, *arguments: str, check: bool = True) -> "subprocess.CompletedProcess[str]":
        """`helm …` in the namespace."""
        command = [self._helm, "--kubeconfig", str(self.cluster.kubeconfig), "--namespace", NAMESPACE, *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=HELM_SECONDS)
        if check and done.returncode != 0:
            raise AssertionError(f"helm {' '.join(arguments)}: {done.stderr}\n{self.state()}")
        return done

    def install(self) -> None:
        """Install with the chart's NATS and PostgreSQL, and wait for all of it."""
        self.cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
        for number in range(4):
            folder = self.cluster.folder / f"volume-{number}"
            folder.mkdir(exist_ok=True)
            folder.chmod(0o777)
            self.cluster.apply(_volume(number, folder))
        values = Path(__file__).parents[1] / "values.yaml"
        self.helm("install", NAME, str(CHART), "--values", str(values), "--wait", "--timeout", "5m")

    def upgrade(self, *values: str, timeout: str = "4m", more: tuple[str, ...] = ()) -> None:
        """Change values and wait."""
        arguments = ["upgrade", NAME, str(CHART), "--reuse-values", "--wait", "--timeout", timeout, *more]
        self.helm(*arguments, *(f"--set={value}" for value in values))

    def other_image(self, service: str) -> str:
        """The value that makes an upgrade of it: the same image by its other tag."""
        deployment = self.cluster.get("deployment", f"{NAME}-{service}", namespace=NAMESPACE)
        image = deployment["spec"]["template"]["spec"]["containers"][0]["image"]
        return f"services.{service}.tag={'latest' if image.endswith(':next') else 'next'}"

    def pods(self, component: str) -> list[Json]:
        """Its pods that are not ending."""
        selector = f"app.kubernetes.io/component={component}"
        items = self.cluster.get("pods", namespace=NAMESPACE, selector=selector)["items"]
        return [pod for pod in items if "deletionTimestamp" not in pod["metadata"]]

    def ready(self, component: str) -> list[Json]:
        """Its pods that are ready."""
        return [pod for pod in self.pods(component) if is_ready(pod)]

    def scale(self, component: str, replicas: int) -> None:
        """Change the number of pods by hand, and wait until exactly so many are left and ready."""
        self.upgrade(f"services.{component}.replicas={replicas}")
        self.settled(component, replicas)

    def settled(self, component: str, replicas: int) -> None:
        """Wait until so many pods are there, all ready, none ending."""
        selector = f"app.kubernetes.io/component={component}"

        def are_there() -> bool:
            items = self.cluster.get("pods", namespace=NAMESPACE, selector=selector)["items"]
            return len(items) == replicas == len([pod for pod in items if is_ready(pod)])

        eventually(are_there, f"{replicas} pods of {component}")

    def kill(self, component: str) -> None:
        """SIGKILL to the process of one pod; the kubelet starts it again."""
        pod = self.pods(component)[0]
        before = pod["status"]["containerStatuses"][0]
        container = before["containerID"].removeprefix("containerd://")
        self.cluster.ctr("tasks", "kill", "--signal", "SIGKILL", container)

        def is_back() -> bool:
            found = self.cluster.get("pod", pod["metadata"]["name"], namespace=NAMESPACE)
            status = found["status"]["containerStatuses"][0]
            return bool(status["restartCount"] > before["restartCount"] and is_ready(found))

        eventually(is_back, f"a new process of {component}")

    def evict(self, pod: Json) -> bool:
        """Ask for an eviction; whether the disruption budget allowed it."""
        name = pod["metadata"]["name"]
        body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name, "namespace": NAMESPACE}}
        path = f"/api/v1/namespaces/{NAMESPACE}/pods/{name}/eviction"
        done = self.cluster.try_kubectl("create", "--raw", path, "--filename=-", text=json.dumps(body))
        is_refused = "disruption budget" in done.stderr  # 429, Too Many Requests
        assert is_refused or done.returncode == 0, done.stderr
        return not is_refused

    def secret(self, name: str) -> dict[str, str]:
        """Its values."""
        data = self.cluster.get("secret", name, namespace=NAMESPACE)["data"]
        return {key: base64.b64decode(value).decode() for key, value in data.items()}

    def service_url(self, name: str) -> str:
        """Address of a Service by its cluster IP."""
        spec = self.cluster.get("service", f"{NAME}-{name}", namespace=NAMESPACE)["spec"]
        return f"http://{spec['clusterIP']}:{spec['ports'][0]['port']}"

    def bus_urls(self) -> list[str]:
        """Addresses of the NATS servers, as the services use them."""
        password = self.secret(NAME)["nats-password"]
        return [f"nats://flowgate:{password}@{pod['status']['podIP']}:4222" for pod in self.pods("nats")]

    def state(self) -> str:
        """For a failure: programs that ended, pods, last events, last logs."""
        kubectl = self.cluster.kubectl
        told = [self.cluster.ended(), kubectl("--namespace", NAMESPACE, "get", "pods", "--output=wide", check=False)]
        events = kubectl("--namespace", NAMESPACE, "get", "events", "--sort-by=.lastTimestamp", check=False)
        told.append("\n".join(events.splitlines()[-30:]))
        for component in (*SERVICES, "migrations", "nats", "postgresql"):
            selector = f"--selector=app.kubernetes.io/component={component}"
            logs = ("--namespace", NAMESPACE, "logs", selector, "--tail=5", "--all-containers", "--prefix")
            told.append(kubectl(*logs, check=False))
        return "\n".join(told)


def is_ready(pod: Json) -> bool:
    """Whether Services send to it."""
    conditions = pod["status"].get("conditions", [])
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


def _volume(number: int, folder: Path) -> Json:
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": f"volume-{number}"},
        "spec": {
            "capacity": {"storage": "20Gi"},
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": "by-hand",
            "hostPath": {"path": str(folder)},
        },
    }
