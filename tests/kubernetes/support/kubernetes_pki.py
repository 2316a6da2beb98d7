"""Certificates and kubeconfigs of the test cluster, by openssl."""

import json
import subprocess
from pathlib import Path

SERVER = "https://10.210.0.1:16443"
CLIENTS = {
    "admin": "/O=system:masters/CN=admin",
    "proxy": "/CN=system:kube-proxy",
    "front": "/CN=front-proxy",
    "controller-manager": "/CN=system:kube-controller-manager",
    "scheduler": "/CN=system:kube-scheduler",
    "node": "/O=system:nodes/CN=system:node:node1",
}
NAMES = (
    "IP:127.0.0.1,IP:10.210.0.1,IP:10.96.0.1,DNS:localhost,DNS:kubernetes,DNS:kubernetes.default,"
    "DNS:kubernetes.default.svc"
)


def make(folder: Path) -> None:
    """Write ca, a server's and each client's certificate, the key of service accounts, and a kubeconfig a client."""
    folder.mkdir()
    _openssl(folder, "req -x509 -subj /CN=flowgate-test -keyout ca.key -out ca.crt")
    issued = "req -x509 -CA ca.crt -CAkey ca.key -addext basicConstraints=critical,CA:FALSE"
    _openssl(
        folder,
        f"{issued} -subj /CN=kube-apiserver -keyout server.key -out server.crt",
        "-addext", f"subjectAltName={NAMES}", "-addext", "extendedKeyUsage=serverAuth",
    )  # fmt: skip
    for name, subject in CLIENTS.items():
        _openssl(
            folder,
            f"{issued} -keyout {name}.key -out {name}.crt -addext extendedKeyUsage=clientAuth",
            "-subj", subject,
        )  # fmt: skip
        (folder / f"{name}.kubeconfig").write_text(json.dumps(_kubeconfig(folder, name)))
    subprocess.run(["openssl", "genrsa", "-out", "accounts.key", "2048"], cwd=folder, check=True, capture_output=True)


def _openssl(folder: Path, arguments: str, *more: str) -> None:
    key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30"
    subprocess.run(["openssl", *arguments.split(), *more, *key.split()], cwd=folder, check=True, capture_output=True)


def _kubeconfig(folder: Path, name: str) -> dict[str, object]:
    user = {"client-certificate": f"{folder}/{name}.crt", "client-key": f"{folder}/{name}.key"}
    cluster = {"server": SERVER, "certificate-authority": f"{folder}/ca.crt"}
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "test", "cluster": cluster}],
        "users": [{"name": name, "user": user}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": name}}],
        "current-context": "test",
    }
