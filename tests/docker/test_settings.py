"""The collector image refuses settings that are missing or wrong, with one line that says what to do."""

import pytest
from docker_engine import Engine
from docker_images import Images

pytestmark = pytest.mark.docker

RIGHT = {
    "FLOWGATE_OPAMP_ENDPOINT": "ws://flowgate.example.com:4320/v1/opamp",
    "FLOWGATE_ENROLLMENT_TOKEN": "fge_0123456789abcdef",
}

WRONG = [
    ({"USE_SUPERVISOR": "yes"}, 'USE_SUPERVISOR is "yes"; use true or false'),
    ({"FLOWGATE_OPAMP_ENDPOINT": ""}, "FLOWGATE_OPAMP_ENDPOINT is missing; set FlowGate's address for agents"),
    ({"FLOWGATE_OPAMP_ENDPOINT": "flowgate:4320"}, 'FLOWGATE_OPAMP_ENDPOINT is "flowgate:4320"; it needs to be ws://'),
    ({"FLOWGATE_ENROLLMENT_TOKEN": ""}, "FLOWGATE_ENROLLMENT_TOKEN is missing; set it, or"),
    ({"FLOWGATE_ENROLLMENT_TOKEN": "two words"}, "the enrollment token holds white space"),
    ({"FLOWGATE_ENROLLMENT_TOKEN_FILE": "/etc/hostname"}, "_TOKEN and FLOWGATE_ENROLLMENT_TOKEN_FILE are both set"),
    (
        {"FLOWGATE_ENROLLMENT_TOKEN": "", "FLOWGATE_ENROLLMENT_TOKEN_FILE": "/no/such"},
        'FLOWGATE_ENROLLMENT_TOKEN_FILE is "/no/such", which uid 10001 cannot read',
    ),
    ({"FLOWGATE_CA_FILE": "/no/such"}, 'FLOWGATE_CA_FILE is "/no/such", which uid 10001 cannot read'),
    ({"FLOWGATE_CLIENT_CERT_FILE": "/etc/hostname"}, "FLOWGATE_CLIENT_KEY_FILE is missing"),
    ({"FLOWGATE_TLS_INSECURE_SKIP_VERIFY": "true"}, "for FLOWGATE_ENVIRONMENT=development only"),
    ({"FLOWGATE_TELEMETRY_URL": "flowgate:4320"}, 'FLOWGATE_TELEMETRY_URL is "flowgate:4320"; it needs to be http://'),
    ({"FLOWGATE_LOG_LEVEL": "loud"}, 'FLOWGATE_LOG_LEVEL is "loud"; use debug or info or warn or error'),
    ({"FLOWGATE_STOP_SECONDS": "8s"}, 'FLOWGATE_STOP_SECONDS is "8s"; it needs to be whole seconds'),
    ({"FLOWGATE_INSTANCE_UID": "me"}, 'FLOWGATE_INSTANCE_UID is "me"; it needs to be a UUID'),
    ({"FLOWGATE_COLLECTOR_CONFIG": "/no/such"}, 'FLOWGATE_COLLECTOR_CONFIG is "/no/such"'),
    (
        {"USE_SUPERVISOR": "true", "FLOWGATE_SUPERVISOR_CONFIG": "/no/such"},
        'FLOWGATE_SUPERVISOR_CONFIG is "/no/such"',
    ),
]


@pytest.mark.parametrize(("changes", "line"), WRONG, ids=[",".join(changes) for changes, _ in WRONG])
def test_a_wrong_setting_is_one_line(docker_engine: Engine, images: Images, changes: dict[str, str], line: str) -> None:
    """Exit code 78, one line, nothing started."""
    environment = [f"--env={name}={value}" for name, value in {**RIGHT, **changes}.items()]
    done = docker_engine.run("run", "--rm", "--network=none", *environment, images.gateway, check=False)
    assert done.returncode == 78
    (told,) = (done.stdout + done.stderr).splitlines()
    assert told.startswith("flowgate-gateway: ")
    assert line in told


def test_several_wrong_settings_are_told_at_once(docker_engine: Engine, images: Images) -> None:
    """A line for each, so that one attempt is enough."""
    done = docker_engine.run("run", "--rm", "--network=none", images.gateway, check=False)
    assert done.returncode == 78
    told = [line.split()[1] for line in done.stderr.splitlines()]
    assert told == ["FLOWGATE_OPAMP_ENDPOINT", "FLOWGATE_ENROLLMENT_TOKEN"]


def test_a_storage_that_cannot_be_written_is_one_line(docker_engine: Engine, images: Images) -> None:
    """The folder that the engine made belongs to root; the line says what to do on the host."""
    environment = [f"--env={name}={value}" for name, value in RIGHT.items()]
    mount = "--mount=type=tmpfs,destination=/var/lib/opampsupervisor,tmpfs-mode=0700"
    done = docker_engine.run("run", "--rm", "--network=none", mount, *environment, images.gateway, check=False)
    assert done.returncode == 78
    (told,) = done.stderr.splitlines()
    assert "/var/lib/opampsupervisor cannot be written by uid 10001; on the host: chown 10001:10001" in told


def test_a_volume_of_another_agent_is_refused(docker_engine: Engine, images: Images) -> None:
    """Two identities for one storage would be two gateways for one collector."""
    one, other = "01a20a49-467b-76bd-b3fd-04af0d0db44c", "01a20a49-467b-76bd-b3fd-000000000000"
    command = f"echo {one} > /var/lib/opampsupervisor/instance_uid && exec docker-entrypoint.sh"
    environment = [f"--env={name}={value}" for name, value in {**RIGHT, "FLOWGATE_INSTANCE_UID": other}.items()]
    arguments = ["run", "--rm", "--network=none", *environment, images.gateway, "sh", "-c", command]
    done = docker_engine.run(*arguments, check=False)
    assert done.returncode == 78
    (told,) = done.stderr.splitlines()
    assert f'FLOWGATE_INSTANCE_UID is "{other}", but /var/lib/opampsupervisor belongs to agent {one}' in told
