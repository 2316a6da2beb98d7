"""A real Kubernetes of one node, inside the namespaces that run.py makes: etcd, control plane, containerd, kubelet."""

import contextlib
import json
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import kubernetes_pki

NODE = "10.210.0.1"
READY_SECONDS = 120.0
STOP_SECONDS = 10.0
COMMAND_SECONDS = 300.0

Json = dict[str, Any]


class Cluster:
    """Runs the programs; all of them end with it, and with the namespaces at the latest."""

    def __init__(self, folder: Path, programs: Path, cgroup: str) -> None:
        self.folder = folder
        self.kubeconfig = folder / "pki" / "admin.kubeconfig"
        self._programs = programs
        self._cgroup = cgroup
        self._logs = folder / "logs"
        self._running: list[subprocess.Popen[bytes]] = []

    def kubectl(self, *arguments: str, text: str | None = None, check: bool = True) -> str:
        """Standard output of kubectl.

        Raises:
            AssertionError: it failed, and `check` was not False.
        """
        done = self.try_kubectl(*arguments, text=text)
        assert done.returncode == 0 or not check, f"kubectl {' '.join(arguments)}: {done.stderr[-2000:]}"
        return done.stdout

    def try_kubectl(self, *arguments: str, text: str | None = None) -> "subprocess.CompletedProcess[str]":
        """What kubectl did and said."""
        command = [str(self._programs / "kubectl"), "--kubeconfig", str(self.kubeconfig), *arguments]
        return subprocess.run(command, input=text, capture_output=True, text=True, check=False, timeout=COMMAND_SECONDS)

    def get(self, kind: str, name: str = "", **options: str) -> Json:
        """An object, or a list of them under `items`; options such as namespace and selector."""
        flags = [f"--{key}={value}" for key, value in options.items()]
        found: Json = json.loads(self.kubectl("get", kind, *([name] if name else []), "--output=json", *flags))
        return found

    def apply(self, *manifests: Json) -> None:
        """Make or change objects."""
        self.kubectl("apply", "--filename=-", text=json.dumps({"apiVersion": "v1", "kind": "List", "items": manifests}))

    def load_images(self, archive: Path) -> None:
        """Give the images of a tar to the container runtime."""
        self.ctr("images", "import", str(archive))

    def ctr(self, *arguments: str) -> str:
        """Ask the container runtime."""
        command = ["ctr", "--address", str(self.folder / "containerd.sock"), "--namespace", "k8s.io", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=COMMAND_SECONDS)
        assert done.returncode == 0, f"ctr {' '.join(arguments)}: {done.stderr[-2000:]}"
        return done.stdout

    def start(self) -> None:
        """Start everything and wait until the node is ready."""
        for name in ("logs", "cni"):
            (self.folder / name).mkdir()
        pki = self.folder / "pki"
        kubernetes_pki.make(pki)
        self._etcd()
        self._control_plane(pki)
        self._node(pki)
        self._addons(pki)

    def stop(self) -> None:
        """End the programs, the last first; containers end with the namespaces."""
        for process in reversed(self._running):
            process.terminate()
        for process in reversed(self._running):
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(STOP_SECONDS)
                continue
            process.kill()
            process.wait()

    def ended(self) -> str:
        """For a failure: the last words of the cluster's programs that should still run."""
        return "\n".join(self._last_words(process) for process in self._running if process.poll() is not None)

    def _last_words(self, process: "subprocess.Popen[bytes]") -> str:
        log = self._logs / f"{Path(process.args[0]).name}.log"  # type: ignore[arg-type, index]
        return f"{log.name}: {log.read_text()[-2000:]}"

    def _run(self, program: str | Path, *arguments: str) -> None:
        name = Path(program).name
        with (self._logs / f"{name}.log").open("wb") as log:
            self._running.append(
                subprocess.Popen([str(program), *arguments], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
            )

    def _wait(self, what: str, *arguments: str, until: str) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while until not in self.kubectl(*arguments, check=False):
            assert not (ended := self.ended()), ended
            assert time.monotonic() < deadline, f"{what} is not ready; the logs are in {self._logs}"
            time.sleep(0.2)

    def _etcd(self) -> None:
        client, peer = "http://127.0.0.1:12379", "http://127.0.0.1:12380"
        self._run(
            "etcd",
            f"--data-dir={self.folder}/etcd",
            f"--listen-client-urls={client}",
            f"--advertise-client-urls={client}",
            f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster=default={peer}",
            "--unsafe-no-fsync",
        )

    def _control_plane(self, pki: Path) -> None:
        self._run(
            self._programs / "kube-apiserver",
            "--etcd-servers=http://127.0.0.1:12379",
            "--secure-port=16443",
            f"--advertise-address={NODE}",
            f"--tls-cert-file={pki}/server.crt",
            f"--tls-private-key-file={pki}/server.key",
            f"--client-ca-file={pki}/ca.crt",
            f"--service-account-key-file={pki}/accounts.key",
            f"--service-account-signing-key-file={pki}/accounts.key",
            "--service-account-issuer=https://kubernetes.default.svc",
            "--service-cluster-ip-range=10.96.0.0/16",
            "--authorization-mode=Node,RBAC",
            f"--kubelet-client-certificate={pki}/admin.crt",
            f"--kubelet-client-key={pki}/admin.key",
            "--kubelet-preferred-address-types=InternalIP",
            f"--requestheader-client-ca-file={pki}/ca.crt",
            "--requestheader-allowed-names=front-proxy",
            "--requestheader-extra-headers-prefix=X-Remote-Extra-",
            "--requestheader-group-headers=X-Remote-Group",
            "--requestheader-username-headers=X-Remote-User",
            f"--proxy-client-cert-file={pki}/front.crt",
            f"--proxy-client-key-file={pki}/front.key",
            "--enable-aggregator-routing=true",
        )
        self._wait("kube-apiserver", "get", "--raw=/readyz", until="ok")
        self._run(
            self._programs / "kube-controller-manager",
            *(f"--{kind}={pki}/controller-manager.kubeconfig" for kind in _CONFIGS),
            f"--service-account-private-key-file={pki}/accounts.key",
            f"--root-ca-file={pki}/ca.crt",
            f"--cluster-signing-cert-file={pki}/ca.crt",
            f"--cluster-signing-key-file={pki}/ca.key",
            "--use-service-account-credentials",
            "--leader-elect=false",
            "--bind-address=127.0.0.1",
            "--cluster-cidr=10.244.0.0/16",
            "--allocate-node-cidrs=true",
            "--service-cluster-ip-range=10.96.0.0/16",
            # An autoscaler that decides within seconds, so that a test can wait for it.
            "--horizontal-pod-autoscaler-sync-period=2s",
            "--horizontal-pod-autoscaler-cpu-initialization-period=1s",
            "--horizontal-pod-autoscaler-initial-readiness-delay=1s",
        )
        self._run(
            self._programs / "kube-scheduler",
            *(f"--{kind}={pki}/scheduler.kubeconfig" for kind in _CONFIGS),
            "--leader-elect=false",
            "--bind-address=127.0.0.1",
        )

    def _node(self, pki: Path) -> None:
        config = self.folder / "containerd.toml"
        config.write_text(_CONTAINERD.format(folder=self.folder))
        (self.folder / "cni" / "10-test.conflist").write_text(json.dumps(_CNI))
        self._run("containerd", "--config", str(config))
        kubelet = self.folder / "kubelet.json"
        kubelet.write_text(json.dumps(_kubelet(self.folder, pki, self._cgroup)))
        self._run(
            self._programs / "kubelet",
            f"--config={kubelet}",
            f"--kubeconfig={pki}/node.kubeconfig",
            "--hostname-override=node1",
            f"--root-dir={self.folder}/kubelet",
            f"--cert-dir={self.folder}/kubelet-pki",
            f"--node-ip={NODE}",
        )
        proxy = self.folder / "proxy.json"
        proxy.write_text(json.dumps(_proxy(pki)))
        self._run(self._programs / "kube-proxy", f"--config={proxy}")
        ready = "jsonpath={.status.conditions[?(@.type=='Ready')].status}"
        self._wait("the node", "get", "node", "node1", f"--output={ready}", until="True")

    def _addons(self, pki: Path) -> None:
        corefile = self.folder / "Corefile"
        corefile.write_text(
            ".:53 {\n  errors\n  ready 127.0.0.1:8181\n  cache 2\n"
            f"  kubernetes cluster.local {{\n    kubeconfig {pki}/admin.kubeconfig\n    ttl 2\n  }}\n}}\n"
        )
        self._run(self._programs / "coredns", "-conf", str(corefile))
        self._run(
            self._programs / "metrics-server",
            "--secure-port=14443",
            f"--cert-dir={self.folder}/metrics-pki",
            *(f"--{kind}={pki}/admin.kubeconfig" for kind in _CONFIGS),
            "--kubelet-insecure-tls",
            "--kubelet-use-node-status-port",
            "--kubelet-preferred-address-types=InternalIP",
            "--metric-resolution=10s",
            "--kubelet-request-timeout=5s",
        )
        self.apply(*_METRICS)
        self._wait("metrics-server", "get", "--raw=/apis/metrics.k8s.io/v1beta1/nodes", until="node1")


@contextmanager
def cluster(settings: dict[str, str]) -> Iterator[Cluster]:
    """A running cluster with the images of the tests."""
    made = Cluster(Path(settings["folder"]), Path(settings["programs"]), settings["cgroup"])
    try:
        made.start()
        made.load_images(Path(settings["images"]))
        yield made
    finally:
        if kept := os.environ.get("FLOWGATE_KUBERNETES_LOGS"):
            subprocess.run(["cp", "-r", f"{made.folder}/logs", kept], check=False)
            subprocess.run(["cp", "-rL", "/var/log/pods", kept], check=False)
        made.stop()


_CONFIGS = ("kubeconfig", "authentication-kubeconfig", "authorization-kubeconfig")

_CONTAINERD = """\
version = 2
root = "{folder}/containerd"
state = "/run/containerd-test"
[grpc]
  address = "{folder}/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "docker.io/flowgate-test/pause:latest"
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "{folder}/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    default_runtime_name = "runc"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
"""

_CNI = {
    "cniVersion": "0.4.0",
    "name": "test",
    "plugins": [
        {
            "type": "ptp",
            "ipMasq": True,
            "ipam": {"type": "host-local", "subnet": "10.244.0.0/24", "routes": [{"dst": "0.0.0.0/0"}]},
        }
    ],
}

_METRICS: tuple[Json, ...] = (
    {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "metrics-server", "namespace": "kube-system"},
        "spec": {"ports": [{"name": "https", "port": 443, "targetPort": 14443}]},
    },
    {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": "metrics-server",
            "namespace": "kube-system",
            "labels": {"kubernetes.io/service-name": "metrics-server"},
        },
        "addressType": "IPv4",
        "ports": [{"name": "https", "port": 14443, "protocol": "TCP"}],
        "endpoints": [{"addresses": [NODE], "conditions": {"ready": True}}],
    },
    {
        "apiVersion": "apiregistration.k8s.io/v1",
        "kind": "APIService",
        "metadata": {"name": "v1beta1.metrics.k8s.io"},
        "spec": {
            "group": "metrics.k8s.io",
            "version": "v1beta1",
            "groupPriorityMinimum": 100,
            "versionPriority": 100,
            "insecureSkipTLSVerify": True,
            "service": {"name": "metrics-server", "namespace": "kube-system"},
        },
    },
)


def _kubelet(folder: Path, pki: Path, cgroup: str) -> Json:
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": f"{pki}/ca.crt"},
        },
        "authorization": {"mode": "Webhook"},
        "address": NODE,
        "port": 11250,
        "healthzPort": 0,
        "containerRuntimeEndpoint": f"unix://{folder}/containerd.sock",
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": cgroup,
        "failCgroupV1": False,
        "failSwapOn": False,
        "clusterDNS": [NODE],
        "clusterDomain": "cluster.local",
        "resolvConf": "",
        "evictionHard": {"memory.available": "100Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
        "enforceNodeAllocatable": [],
        "oomScoreAdj": 0,  # lowering it needs a capability that a container may not have
        "maxOpenFiles": 20000,
        "syncFrequency": "5s",
        "nodeStatusUpdateFrequency": "4s",
    }


def _proxy(pki: Path) -> Json:
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "clientConnection": {"kubeconfig": f"{pki}/proxy.kubeconfig"},
        "mode": "iptables",
        "clusterCIDR": "10.244.0.0/16",
        "hostnameOverride": "node1",
        "conntrack": {"maxPerCore": 0, "min": 0},
        "iptables": {"minSyncPeriod": "0s"},
        "healthzBindAddress": "127.0.0.1:11256",
        "metricsBindAddress": "127.0.0.1:11255",
    }
