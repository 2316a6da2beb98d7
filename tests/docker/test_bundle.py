"""`flowgate gateway bundle` makes a folder that joins a FlowGate as it is."""

import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
from docker_engine import Engine
from docker_images import Images
from docker_project import STORAGE, Container, Project, free_ports, in_thread
from interop_flowgate import Api
from testcontainers.compose import DockerCompose

pytestmark = pytest.mark.docker

ENDPOINT = "ws://opamp-gateway:4320/v1/opamp"
UID = "01a20a49-467b-76bd-b3fd-0000000000b1"


async def test_a_bundle_joins(project: Project, images: Images, api: Api, tmp_path: Path) -> None:
    """Made by the command and started by compose, the agent comes under the identity that it was given."""
    folder, name = tmp_path / "bundle", f"{project.name}-bundle"
    command = [sys.executable, "-m", "flowgate_cli", "gateway", "bundle", str(folder), "--endpoint", ENDPOINT]
    command += ["--token", project.secrets["FLOWGATE_ENROLLMENT_TOKEN"], "--image", images.gateway]
    command += ["--name", "bundled", "--instance-uid", UID]
    await in_thread(partial(subprocess.run, command, check=True, capture_output=True))
    grpc, http = free_ports(2)
    with (folder / ".env").open("a") as settings:
        settings.write(f"GATEWAY_OTLP_GRPC_PORT={grpc}\nGATEWAY_OTLP_HTTP_PORT={http}\nCOMPOSE_PROJECT_NAME={name}\n")
    network = f"networks: {{default: {{name: {project.name}_default, external: true}}}}\n"
    (folder / "network.yml").write_text(network)  # where the name opamp-gateway is known
    compose = DockerCompose(
        folder,
        compose_file_name=["docker-compose.yml", "network.yml"],
        docker_command_path=project.engine.client,
        wait=True,
    )
    try:
        await in_thread(compose.start)
        gateway = await api.healthy(UID)
        assert (gateway["management_mode"], gateway["host_name"]) == ("supervisor", "bundled")
        assert Container(project.engine, f"{name}-gateway-1").read(f"{STORAGE}/instance_uid").strip() == UID
    finally:
        await in_thread(compose.stop)
    await api.with_status(UID, "offline")


def test_the_image_of_the_services_makes_bundles_too(docker_engine: Engine, images: Images) -> None:
    """The command and all it brings along is in it."""
    make = f"flowgate gateway bundle b --endpoint {ENDPOINT} --token t && ls -A b"
    done = docker_engine.run("run", "--rm", "--network=none", images.services, "sh", "-c", make)
    assert sorted(done.stdout.split()) == [
        ".env",
        "README.md",
        "collector.yaml",
        "docker-compose.yml",
        "supervisor.yaml",
    ]
