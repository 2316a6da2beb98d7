"""The images of the tests: ours from their Dockerfiles, and stand-ins for those that would have to be pulled.

The engine keeps them, and its builder's cache, from run to run: what has not changed is not built again.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from docker_engine import Engine, NoEngineError

from flowkit.embedded.postgres import binaries_folder as postgres_binaries

ROOT = Path(__file__).parents[3]
STANDINS = ROOT / "tests" / "docker" / "standins"
VERSION = "0.149.0"
ARCH = {"x86_64": "amd64", "aarch64": "arm64"}[os.uname().machine]
SUPERVISOR = f"opampsupervisor_{VERSION}_linux_{ARCH}"
PACKAGES = "python3,python3-venv,python3-pip,ca-certificates,wget"
PULLED_BASE = "python:3.12-slim"
CERTIFICATES = "ca-certificates.crt"


@dataclass(frozen=True)
class Images:
    """Tags of what was built."""

    base: str = "flowgate-test/base"
    nats: str = "flowgate-test/nats"
    postgres: str = "flowgate-test/postgres"
    collector: str = "flowgate-test/collector"
    services: str = "flowgate-test/services"
    gateway: str = "flowgate-test/gateway"


class Builder:
    """Builds with one engine; `peers` is the folder with the real opampsupervisor and collector."""

    def __init__(self, engine: Engine, peers: Path) -> None:
        self.engine = engine
        self.peers = peers
        self.images = Images()

    def build_all(self) -> Images:
        """Build everything in order; what is not used any more goes."""
        self._base()
        self._servers()
        self._collector()
        self.gateway(self.images.gateway, dict(self.gateway_arguments()))
        self._services()
        if self.engine.is_own:
            self.engine.run("image", "prune", "--force")
        return self.images

    def gateway_arguments(self) -> dict[str, str]:
        """Build arguments of gateway/Dockerfile that need nothing from outside."""
        return {
            "BASE_IMAGE": self.images.base,
            "COLLECTOR_IMAGE": self.images.collector,
            "OPAMPSUPERVISOR_VERSION": VERSION,
            "OPAMPSUPERVISOR_URL": "peers",
            "TARGETARCH": ARCH,
        }

    def gateway(
        self, tag: str, arguments: dict[str, str], checksum: str | None = None
    ) -> "subprocess.CompletedProcess[str]":
        """Build gateway/Dockerfile with the supervisor as a local file; `checksum` in place of the right one."""
        with tempfile.TemporaryDirectory(prefix="flowgate-build-") as name:
            context = Path(name) / "gateway"
            shutil.copytree(ROOT / "gateway", context, ignore=shutil.ignore_patterns("supervisor-storage*"))
            release = context / "peers"
            release.mkdir()
            shutil.copy(self.peers / "opampsupervisor", release / SUPERVISOR)
            right = hashlib.sha256((release / SUPERVISOR).read_bytes()).hexdigest()
            (release / "checksums.txt").write_text(f"{'0' * 64}  other\n{checksum or right}  {SUPERVISOR}\n")
            return self._build(context, context / "Dockerfile", tag, arguments, check=checksum is None)

    def _base(self) -> None:
        key = hashlib.sha256(f"{_codename()} {PACKAGES}".encode()).hexdigest()[:12]
        root = f"flowgate-test/root:{key}"
        if not self.engine.has_image(root):
            self._root(root)
        with tempfile.TemporaryDirectory(prefix="flowgate-build-") as name:
            shutil.copy(_host_certificates(), Path(name) / CERTIFICATES)
            self._build(Path(name), STANDINS / "base.Dockerfile", self.images.base, {"ROOT_IMAGE": root})

    def _root(self, tag: str) -> None:
        """A small Debian with Python: pulled where that works, else made here."""
        if self.engine.run("pull", "--quiet", PULLED_BASE, check=False).returncode == 0:
            self.engine.run("tag", PULLED_BASE, tag)
            return
        if shutil.which("mmdebstrap") is None:
            raise NoEngineError(f"{PULLED_BASE} cannot be pulled, and mmdebstrap is missing to make a base image")
        with tempfile.TemporaryDirectory(prefix="flowgate-base-") as name:
            archive = Path(name) / "base.tar"
            command = ["mmdebstrap", "--variant=minbase", f"--include={PACKAGES}", _codename(), str(archive)]
            made = subprocess.run(command, capture_output=True, text=True, check=False)
            if made.returncode != 0:
                raise NoEngineError(f"mmdebstrap cannot make a base image: {made.stderr.strip()[-300:]}")
            self.engine.run("import", str(archive), tag)

    def _servers(self) -> None:
        with tempfile.TemporaryDirectory(prefix="flowgate-build-") as name:
            context = Path(name)
            shutil.copy(Path(sys.executable).parent / "nats-server", context)
            self._build(context, STANDINS / "nats.Dockerfile", self.images.nats, {"BASE_IMAGE": self.images.base})
        with tempfile.TemporaryDirectory(prefix="flowgate-build-") as name:
            context = Path(name)
            install = postgres_binaries().parent
            package = install.parent.name
            shutil.copytree(install, context / "site" / package / install.name, symlinks=True)
            libraries = install.parent.with_name(f"{package}.libs")
            shutil.copytree(libraries, context / "site" / libraries.name, symlinks=True)
            subprocess.run(["chmod", "-R", "a+rX", str(context / "site")], check=True)
            shutil.copy(STANDINS / "postgres-entrypoint.sh", context)
            arguments = {"BASE_IMAGE": self.images.base}
            self._build(context, STANDINS / "postgres.Dockerfile", self.images.postgres, arguments)

    def _collector(self) -> None:
        with tempfile.TemporaryDirectory(prefix="flowgate-build-") as name:
            context = Path(name)
            shutil.copy(self.peers / "fgcol", context / "otelcol-contrib")
            shutil.copy(_host_certificates(), context / CERTIFICATES)
            self._build(context, STANDINS / "collector.Dockerfile", self.images.collector, {})

    def _services(self) -> None:
        dockerfile = ROOT / "deploy" / "docker" / "Dockerfile"
        arguments = {"BASE_IMAGE": self.images.base, **_pip_arguments()}
        # The stage has a name of its own, so that it stays in the builder's cache.
        self._build(ROOT, dockerfile, f"{self.images.services}-build", arguments, "--target", "build")
        self._build(ROOT, dockerfile, self.images.services, arguments)

    def _build(
        self, context: Path, dockerfile: Path, tag: str, arguments: dict[str, str], *more: str, check: bool = True
    ) -> "subprocess.CompletedProcess[str]":
        command = ["build", "--network", "host", "--tag", tag, "--file", str(dockerfile), *more]
        for name, value in arguments.items():
            command += ["--build-arg", f"{name}={value}"]
        return self.engine.run(*command, str(context), check=check)


def _codename() -> str:
    for line in Path("/etc/os-release").read_text().splitlines():
        if line.startswith("VERSION_CODENAME="):
            return line.partition("=")[2].strip('"')
    return "bookworm"


def _host_certificates() -> Path:
    for name in (os.environ.get("SSL_CERT_FILE", ""), "/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/cert.pem"):
        if name and Path(name).is_file():
            return Path(name)
    import certifi

    return Path(certifi.where())


def _pip_arguments() -> dict[str, str]:
    """How pip gets out from a container: as it does here, with the bundle of the base image."""
    found = {"PIP_CERT": f"/etc/ssl/certs/{CERTIFICATES}"}
    names = ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_TRUSTED_HOST", "PIP_DEFAULT_TIMEOUT")
    found |= {name: os.environ[name] for name in names if os.environ.get(name)}
    if "PIP_INDEX_URL" not in found:
        command = [sys.executable, "-m", "pip", "config", "get", "global.index-url"]
        configured = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
        found |= {"PIP_INDEX_URL": configured} if configured else {}
    return found
