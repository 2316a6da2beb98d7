"""docker-compose.yml as its users run it: in a folder of its own, with the .env of `make env`, and its API."""

import asyncio
import io
import json
import random
import shutil
import subprocess
import tarfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from docker_engine import Engine
from docker_images import ROOT, Images
from httpx2 import AsyncClient
from interop_flowgate import Api
from testcontainers.compose import DockerCompose

from flowkit.embedded.ports import free_ports
from flowkit.testing import eventually

STORAGE = "/var/lib/opampsupervisor"


@dataclass(frozen=True)
class Process:
    """A process of a container; `pid` as the host sees it."""

    pid: int
    parent: int
    user: str
    command: str


class Container:
    """One container of the project; the service's name finds it again after it was made anew."""

    def __init__(self, engine: Engine, name: str) -> None:
        self.engine = engine
        self.name = name

    def processes(self) -> list[Process]:
        """What runs in it."""
        lines = self.engine.run("top", self.name, "-o", "pid,ppid,uid,args").stdout.splitlines()[1:]
        rows = [line.split(maxsplit=3) for line in lines]
        return [Process(int(pid), int(parent), user, command) for pid, parent, user, command in rows]

    def tree(self) -> list[str]:
        """Programs from process 1 down to its last descendant, without what keeps the time."""
        found, parent = [], self.state()["Pid"]
        everyone = [one for one in self.processes() if "sleep" not in one.command]
        here = next(one for one in everyone if one.pid == parent)
        while True:
            found.append(_program(here.command))
            children = [one for one in everyone if one.parent == here.pid and one.command != here.command]
            if not children:
                return found
            (here,) = children

    def pid_of(self, program: str) -> int:
        """The one process of this program."""
        (found,) = [one.pid for one in self.processes() if _program(one.command) == program]
        return found

    def state(self) -> dict[str, Any]:
        """Pid, ExitCode, Status, …"""
        state: dict[str, Any] = json.loads(self.engine.run("inspect", "-f", "{{json .State}}", self.name).stdout)
        return state

    def restarts(self) -> int:
        """How often the engine has started it again because it ended."""
        return int(self.engine.run("inspect", "-f", "{{.RestartCount}}", self.name).stdout)

    def address(self) -> str:
        """Its address on the project's network."""
        form = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}"
        return self.engine.run("inspect", "-f", form, self.name).stdout.strip()

    def output(self) -> str:
        """Everything it has written."""
        done = self.engine.run("logs", self.name)
        return done.stdout + done.stderr

    def read(self, path: str) -> str:
        """A file in it, whether it runs or not; empty when there is none."""
        command = [self.engine.client, "cp", f"{self.name}:{path}", "-"]
        done = subprocess.run(command, capture_output=True, check=False)
        if done.returncode != 0:
            return ""
        with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
            file = archive.extractfile(archive.getmembers()[0])
            assert file is not None
            return file.read().decode(errors="replace")

    def kill(self) -> None:
        """`docker kill`: nobody is asked."""
        self.engine.run("kill", self.name)

    def stop(self) -> None:
        """`docker stop`, with the grace time of the compose file."""
        self.engine.run("stop", self.name)

    def start(self) -> None:
        """`docker start`."""
        self.engine.run("start", self.name)


class Project:
    """The compose project of the tests, in a folder as a clone has it."""

    def __init__(self, engine: Engine, images: Images, folder: Path, **settings: str) -> None:
        self.engine = engine
        self.folder = folder
        self.name = f"flowgate-test-{random.randrange(1 << 32):08x}"
        shutil.copy(ROOT / "docker-compose.yml", folder)
        (folder / "gateway").mkdir()
        shutil.copytree(ROOT / "deploy" / "docker", folder / "deploy" / "docker")
        subprocess.run([folder / "deploy" / "docker" / "make-env.sh"], check=True, capture_output=True)
        ports = free_ports(4)
        self.api_port = ports[0]
        self.settings = {
            "COMPOSE_PROJECT_NAME": self.name,
            "FLOWGATE_IMAGE": images.services,
            "FLOWGATE_GATEWAY_IMAGE": images.gateway,
            "NATS_IMAGE": images.nats,
            "POSTGRES_IMAGE": images.postgres,
            "FLOWGATE_API_PORT": str(ports[0]),
            "FLOWGATE_OPAMP_PORT": str(ports[1]),
            "GATEWAY_OTLP_GRPC_PORT": str(ports[2]),
            "GATEWAY_OTLP_HTTP_PORT": str(ports[3]),
            "GATEWAY_CONFIG_APPLY_TIMEOUT": "2s",
            **settings,
        }
        self._made = (folder / ".env").read_text()
        self.set()

    def set(self, **settings: str) -> None:
        """Change settings in .env; the next `up` heeds them."""
        self.settings |= settings
        lines = "".join(f"{name}={value}\n" for name, value in self.settings.items())
        (self.folder / ".env").write_text(self._made + lines)

    @property
    def secrets(self) -> dict[str, str]:
        """What `make env` made up."""
        lines = (line for line in self._made.splitlines() if line and not line.startswith("#"))
        return dict(line.split("=", 1) for line in lines)

    def compose(self, *services: str) -> DockerCompose:
        """The project, or some of its services; entered it runs `docker compose up --wait`."""
        return DockerCompose(
            self.folder, docker_command_path=self.engine.client, services=list(services) or None, wait=True
        )

    def container(self, service: str) -> Container:
        """The container of a service."""
        return Container(self.engine, f"{self.name}-{service}-1")

    async def instance_id(self, service: str) -> str:
        """The identity that a gateway keeps in its volume."""
        return await eventually(lambda: self.container(service).read(f"{STORAGE}/instance_uid").strip(), seconds=20)

    @asynccontextmanager
    async def api(self) -> AsyncIterator[Api]:
        """A client with the admin token."""
        headers = {"Authorization": f"Bearer {self.secrets['FLOWGATE_TOKEN']}"}
        base_url = f"http://127.0.0.1:{self.api_port}/api/v1"
        async with AsyncClient(base_url=base_url, headers=headers, timeout=20) as client:
            yield Api(client)

    async def push_applied(self, api: Api, instance_id: str, config: str) -> str:
        """Push a configuration and wait until it is applied; the delivery's id."""
        delivery_id = await api.push(instance_id, config)
        await api.delivery(delivery_id, "applied")
        return delivery_id


async def in_thread(work: Any, *arguments: Any) -> Any:
    """Run something that blocks beside the event loop."""
    return await asyncio.to_thread(work, *arguments)


def _program(command: str) -> str:
    """Last part of the program's path, for a script that of the script."""
    first, _, rest = command.partition(" ")
    if first.rpartition("/")[2] in ("bash", "sh", "python", "python3") and rest:
        first = rest.split()[0]
    return first.rpartition("/")[2]
