"""The run loop and the logs of a service, as a process of its own."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request

import pytest

PROGRAM = """
import asyncio
from contextlib import asynccontextmanager
from flowkit.errors import UnavailableError
from flowkit.metrics import Metrics
from flowkit.service import Running, run
from flowkit.settings import ServiceSettings
from flowkit.telemetry import get_log
import sys

@asynccontextmanager
async def lifespan(settings):
    if sys.argv[1] == "refuse":
        raise UnavailableError("no server")
    if sys.argv[1] == "break":
        token = "fga_secret"
        raise RuntimeError("broken")
    asked = 0
    async def ready():
        nonlocal asked
        asked += 1
        return {"nats": sys.argv[1] == "serve" or (sys.argv[1] == "lose" and asked == 2)}
    async def work():
        await asyncio.sleep(0.1 if sys.argv[1].startswith("end") else 60)
        if sys.argv[1] == "end badly":
            raise KeyError("worn out")
    working = asyncio.ensure_future(work())
    yield Running(ready, Metrics("example"), [working])

run("example", ServiceSettings(), lifespan)
"""


def start(how: str, **environment: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", PROGRAM, how]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env={**os.environ, **environment})


def line(process: subprocess.Popen[str]) -> dict[str, object]:
    assert process.stderr is not None
    read: dict[str, object] = json.loads(process.stderr.readline())
    return read


def ask(port: object, path: str, **headers: str) -> tuple[int, str]:
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_a_service_tells_its_health_and_stops_on_sigterm() -> None:
    """One line when it is ready, one when it has stopped; exit code 0."""
    with start("serve") as process:
        ready = line(process)
        assert (ready["event"], ready["service"]) == ("service.ready", "example")
        assert ask(ready["health_port"], "/healthz") == (200, "ok\n")
        assert ask(ready["health_port"], "/readyz") == (200, "nats ok\n")
        assert ask(ready["health_port"], "/metrics")[0] == 404
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=10)
    assert process.returncode == 0
    assert json.loads(errors.splitlines()[-1])["event"] == "service.stopped"


def test_the_metrics_want_their_token() -> None:
    """Without a digest in the settings there are none; with one they are for who shows the token."""
    digests = ",".join(hashlib.sha256(token).hexdigest() for token in (b"fgm_old", b"fgm_new"))
    with start("serve", FLOWGATE_METRICS_TOKEN_SHA256=digests) as process:
        port = line(process)["health_port"]
        assert ask(port, "/metrics")[0] == 401
        assert ask(port, "/metrics", Authorization="Bearer fgm_other")[0] == 401
        assert ask(port, "/metrics", Authorization="Basic fgm_new")[0] == 401
        for token in ("fgm_old", "fgm_new"):
            status, page = ask(port, "/metrics", Authorization=f"Bearer {token}")
            assert status == 200
            assert 'flowgate_build_info{component="example"' in page
            assert "process_cpu_seconds_total" in page
        assert ask(port, "/healthz") == (200, "ok\n")
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=10)


def test_a_digest_that_is_none_is_told_at_the_start() -> None:
    """A token in place of its digest would open nothing."""
    with start("serve", FLOWGATE_METRICS_TOKEN_SHA256="fgm_token") as process:
        _, errors = process.communicate(timeout=10)
    assert process.returncode == 1
    assert "64 hex digits" in errors


def test_a_service_that_lacks_something_is_not_ready() -> None:
    """It lives, but gets no work."""
    with start("unready") as process:
        port = line(process)["health_port"]
        assert ask(port, "/healthz")[0] == 200
        assert ask(port, "/readyz") == (503, "nats not ready\n")
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=10)


def test_who_was_ready_stays_so_and_tells_what_is_missing() -> None:
    """Else an outage of what all replicas need would leave none to answer; the lines tell the truth all the same."""
    with start("lose") as process:
        port = line(process)["health_port"]
        assert ask(port, "/readyz") == (503, "nats not ready\n")
        assert ask(port, "/readyz") == (200, "nats ok\n")
        assert ask(port, "/readyz") == (200, "nats not ready\n")
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=10)


def test_a_service_that_cannot_start_says_why() -> None:
    """One clear line, exit code 1."""
    with start("refuse") as process:
        _, errors = process.communicate(timeout=10)
    assert process.returncode == 1
    assert json.loads(errors.splitlines()[0])["error"] == "no server"


@pytest.mark.parametrize("how", ["end", "end badly"])
def test_a_service_whose_work_has_ended_ends(how: str) -> None:
    """Nobody would start it anew, and what it should do would wait for ever behind its good health."""
    with start(how) as process:
        _, errors = process.communicate(timeout=10)
    assert process.returncode == 1
    last = json.loads(errors.splitlines()[-1])
    assert last["error"] == "RuntimeError('work that should go on for ever has ended')"
    assert ("worn out" in errors) == (how == "end badly")


def test_a_traceback_in_the_logs_holds_no_local_variables() -> None:
    """A token may be among them."""
    with start("break") as process:
        _, errors = process.communicate(timeout=10)
    assert process.returncode == 1
    assert "broken" in errors and "RuntimeError" in errors
    assert "fga_secret" not in errors.replace('token = "fga_secret"', "")
