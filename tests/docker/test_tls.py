"""Gateways reach FlowGate behind a TLS proxy, with a CA of one's own, in both modes."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import pytest
from docker_images import Images
from docker_project import Container, Project
from interop_flowgate import Api

from flowkit.testing import eventually

pytestmark = pytest.mark.docker

CERTIFICATE = """\
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=tls-proxy \
  -addext subjectAltName=DNS:tls-proxy -keyout /pki/key.pem -out /pki/ca.pem && chmod 644 /pki/*.pem
"""

PROXY = """\
import asyncio, ssl

async def pump(reader, writer):
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
    writer.close()

async def forward(reader, writer):
    there, here = await asyncio.open_connection("opamp-gateway", 4320)
    await asyncio.gather(pump(reader, here), pump(there, writer))

async def main():
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain("/pki/ca.pem", "/pki/key.pem")
    server = await asyncio.start_server(forward, "0.0.0.0", 4443, ssl=context)
    print("ready", flush=True)
    await server.serve_forever()

asyncio.run(main())
"""


@dataclass(frozen=True)
class Proxy:
    """A TLS proxy in the project's network, at wss://tls-proxy:4443; `pki` holds its CA as ca.pem."""

    project: Project
    images: Images
    pki: Path

    @contextmanager
    def gateway(self, **settings: str) -> Iterator[tuple[Container, str]]:
        """A gateway behind the proxy and its instance_uid."""
        uid = str(uuid4())
        environment = {
            "FLOWGATE_OPAMP_ENDPOINT": "wss://tls-proxy:4443/v1/opamp",
            "FLOWGATE_ENROLLMENT_TOKEN": self.project.secrets["FLOWGATE_ENROLLMENT_TOKEN"],
            "FLOWGATE_INSTANCE_UID": uid,
            **settings,
        }
        arguments = [f"--volume={self.pki}:/pki:ro", *(f"--env={name}={value}" for name, value in environment.items())]
        with _running(self.project, f"tls-{uid[:8]}", *arguments, self.images.gateway) as container:
            yield container, uid


@contextmanager
def _running(project: Project, name: str, *arguments: str) -> Iterator[Container]:
    engine, name = project.engine, f"{project.name}-{name}"
    try:
        engine.run("run", "--detach", f"--network={project.name}_default", f"--name={name}", *arguments)
        yield Container(engine, name)
    finally:
        engine.run("rm", "--force", "--volumes", name, check=False)


@pytest.fixture(scope="module")
def proxy(project: Project, images: Images, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    """The proxy, ready."""
    pki = tmp_path_factory.mktemp("pki")
    pki.chmod(0o755)
    mount = f"--volume={pki}:/pki"
    project.engine.run("run", "--rm", "--network=none", mount, images.base, "sh", "-c", CERTIFICATE)
    command = [mount, "--network-alias=tls-proxy", images.base, "python3", "-c", PROXY]
    with _running(project, "tls-proxy", *command) as container:
        while "ready" not in container.output():
            assert container.state()["Running"], container.output()
        yield Proxy(project, images, pki)


@pytest.mark.parametrize("mode", ["supervisor", "extension"])
async def test_a_ca_of_ones_own_is_trusted(api: Api, proxy: Proxy, mode: str) -> None:
    """FLOWGATE_CA_FILE is for OpAMP, and in supervisor mode for the supervisor's own logs as well."""
    use_supervisor = str(mode == "supervisor").lower()
    with proxy.gateway(USE_SUPERVISOR=use_supervisor, FLOWGATE_CA_FILE="/pki/ca.pem") as (_, instance_id):
        assert mode == (await api.healthy(instance_id))["management_mode"]
        if mode == "supervisor":

            async def bodies() -> str:
                answer = await api.get(f"/supervisor/agents/{instance_id}/logs?source=supervisor")
                return "\n".join(record["body"] for record in answer["items"])

            await eventually(bodies, seconds=30, until=lambda text: "Supervisor starting" in text)


@pytest.mark.parametrize("use_supervisor", ["true", "false"])
async def test_an_unknown_ca_is_refused(proxy: Proxy, use_supervisor: str) -> None:
    """Without it the certificate counts for nothing, and the log says so."""
    with proxy.gateway(USE_SUPERVISOR=use_supervisor) as (container, _):
        await eventually(lambda: "x509: certificate signed by unknown authority" in container.output(), seconds=20)


@pytest.mark.parametrize("use_supervisor", ["true", "false"])
async def test_development_may_do_without_verification(api: Api, proxy: Proxy, use_supervisor: str) -> None:
    """The two settings together switch it off."""
    settings = {"FLOWGATE_TLS_INSECURE_SKIP_VERIFY": "true", "FLOWGATE_ENVIRONMENT": "development"}
    with proxy.gateway(USE_SUPERVISOR=use_supervisor, **settings) as (_, instance_id):
        await api.healthy(instance_id)
