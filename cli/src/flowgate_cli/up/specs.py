"""Which processes make up FlowGate on one machine, and what each is told by its environment."""

import errno
import hashlib
import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote, urlsplit, urlunsplit

from flowgate_cli.errors import CommandError
from flowgate_cli.up.datadir import Secrets
from flowkit.embedded.ports import free_ports

OWNERS = ("agent-registry", "config-push", "supervisor-control")
INGRESS = ("opamp-gateway", "api-gateway")
OPAMP_PATH = "/v1/opamp"


@dataclass(frozen=True, slots=True)
class Options:
    """What `flowgate up` was asked for."""

    api_host: str = "127.0.0.1"
    api_port: int = 8080
    opamp_host: str = "127.0.0.1"
    opamp_port: int = 4320
    replicas: int = 1
    demo: bool = False

    @property
    def ports(self) -> frozenset[int]:
        """On which the ingress listens."""
        return frozenset(first + n for first in (self.api_port, self.opamp_port) for n in range(self.replicas))

    def require_free_ports(self) -> None:
        """Raise a CommandError that names the first port somebody else listens on."""
        for host, first, option in (
            (self.api_host, self.api_port, "--api-port"),
            (self.opamp_host, self.opamp_port, "--opamp-port"),
        ):
            for port in range(first, first + self.replicas):
                _require_free(host, port, option)

    def api_urls(self) -> tuple[str, ...]:
        """Base address of each api-gateway, as seen from this machine."""
        host = _reachable(self.api_host)
        return tuple(f"http://{host}:{self.api_port + n}" for n in range(self.replicas))

    def opamp_urls(self) -> tuple[str, ...]:
        """Address for agents of each opamp-gateway, as seen from this machine."""
        host = _reachable(self.opamp_host)
        return tuple(f"ws://{host}:{self.opamp_port + n}{OPAMP_PATH}" for n in range(self.replicas))


@dataclass(frozen=True, slots=True)
class ServiceSpec:
    """One service process: `name` of the service, `instance` unique among all, `port` of its readiness."""

    name: str
    instance: str
    environment: dict[str, str]
    health_port: int

    @property
    def package(self) -> str:
        """Python package of the service, which its process runs."""
        return self.name.replace("-", "_")

    @property
    def metrics_url(self) -> str:
        """Where its figures are, for who has the token."""
        return f"http://127.0.0.1:{self.health_port}/metrics"

    @property
    def is_ingress(self) -> bool:
        """Whether it is one of those that stop first: nothing is to come in any more."""
        return self.name in INGRESS


def service_specs(options: Options, secrets: Secrets, nats_url: str, database_url: str) -> list[ServiceSpec]:
    """Every service process of this start.

    Args:
        options: what was asked for.
        secrets: tokens and passwords of the data folder.
        nats_url: bus, with credentials for everything.
        database_url: PostgreSQL as administrator; each owner gets the same with its own role.
    """
    health_ports = iter(free_ports(options.replicas * (len(OWNERS) + len(INGRESS)), options.ports))
    specs = []
    for name in (*INGRESS, *OWNERS):
        for number in range(options.replicas):
            port = next(health_ports)
            prefix = f"FLOWGATE_{name.upper().replace('-', '_')}_"
            environment = {
                **{key: value for key, value in os.environ.items() if key not in _WITHHELD},
                "FLOWGATE_NATS_URL": nats_url,
                f"{prefix}HEALTH_PORT": str(port),
                "FLOWGATE_METRICS_TOKEN_SHA256": _digests(secrets.metrics_token, "FLOWGATE_METRICS_TOKEN_SHA256"),
                **_own(name, number, options, secrets, database_url, prefix),
            }
            instance = name if options.replicas == 1 else f"{name}-{number + 1}"
            specs.append(ServiceSpec(name, instance, environment, port))
    return specs


# What the person at the terminal set for `flowgate` itself; a service gets its own or none.
_WITHHELD = frozenset({"FLOWGATE_DATABASE_URL", "FLOWGATE_TOKEN", "FLOWGATE_API_URL"})


def _own(name: str, number: int, options: Options, secrets: Secrets, database_url: str, prefix: str) -> dict[str, str]:
    if name == "opamp-gateway":
        return {
            f"{prefix}HOST": options.opamp_host,
            f"{prefix}PORT": str(options.opamp_port + number),
            f"{prefix}PATH": OPAMP_PATH,
            f"{prefix}ENROLLMENT_TOKEN_SHA256": _digests(secrets.enrollment_token, f"{prefix}ENROLLMENT_TOKEN_SHA256"),
            f"{prefix}TELEMETRY_KEY": secrets.telemetry_key,
            # One machine's few agents may come back all at once, and a stop has 10 s for everything.
            f"{prefix}DRAIN_SECONDS": os.environ.get(f"{prefix}DRAIN_SECONDS", "0.5"),
        }
    if name == "api-gateway":
        return {
            f"{prefix}HOST": options.api_host,
            f"{prefix}PORT": str(options.api_port + number),
            f"{prefix}ADMIN_TOKEN_SHA256": _sha256(secrets.admin_token),
            # Not to be made from the hash: a session cannot be forged from what is written down about the token.
            f"{prefix}SESSION_KEY": _sha256(f"session {secrets.admin_token}"),
            f"{prefix}OPAMP_URL": os.environ.get(f"{prefix}OPAMP_URL", options.opamp_urls()[0]),
        }
    role = name.replace("-", "_")
    own = {}
    if name == "supervisor-control":
        url = f"http://{_reachable(options.opamp_host)}:{options.opamp_port}"
        own[f"{prefix}TELEMETRY_URL"] = os.environ.get(f"{prefix}TELEMETRY_URL", url)
    return {
        **own,
        "FLOWGATE_DATABASE_URL": with_role(database_url, role, getattr(secrets, role)),
        # Each connection is a process of PostgreSQL with 18 MB; one machine's cores are busy with fewer.
        f"{prefix}DATABASE_POOL_SIZE": os.environ.get(f"{prefix}DATABASE_POOL_SIZE", "4"),
    }


def migration_environment(secrets: Secrets, database_url: str) -> dict[str, str]:
    """Environment of `python -m flowkit.migrate`: the administrator's address and a password for each role."""
    passwords = {
        f"FLOWGATE_DATABASE_PASSWORD_{name.upper().replace('-', '_')}": getattr(secrets, name.replace("-", "_"))
        for name in OWNERS
    }
    return {**os.environ, "FLOWGATE_DATABASE_URL": database_url, **passwords}


def with_role(url: str, role: str, password: str) -> str:
    """The same PostgreSQL address for another role."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{quote(role, safe='')}:{quote(password, safe='')}@{host}"))


def external(environment: Mapping[str, str] = os.environ) -> tuple[str, str, str]:
    """NATS, NATS for readers of events, and PostgreSQL that are to be used instead of embedded ones; may be empty."""
    names = ("FLOWGATE_NATS_URL", "FLOWGATE_EVENTS_NATS_URL", "FLOWGATE_DATABASE_URL")
    nats_url, events_url, database_url = (environment.get(name, "") for name in names)
    return nats_url, events_url, database_url


def _digests(token: str, setting: str) -> str:
    """The digest of this token, and those that the environment gives for the same setting."""
    return ",".join([_sha256(token), *filter(None, [os.environ.get(setting, "")])])


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _reachable(host: str) -> str:
    return {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)


def _require_free(host: str, port: int, option: str) -> None:
    if not 0 < port < 65536:
        raise CommandError(f"port {port} does not exist; choose one between 1 and 65535 with {option}")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a port in TIME_WAIT is free
        try:
            probe.bind((host, port))
        except PermissionError:
            raise CommandError(f"port {port} needs privileges; choose another with {option}") from None
        except OSError as error:
            what = "is in use" if error.errno == errno.EADDRINUSE else f"cannot be used ({error.strerror})"
            raise CommandError(f"port {port} on {host} {what}; choose another with {option}") from None
