"""A service process under `flowgate up`: its log, its readiness, its end, and its new start."""

import asyncio
import os
import signal
import sys
import textwrap
from pathlib import Path

import psutil
import pytest

from flowgate_cli.errors import CommandError
from flowgate_cli.up.child import Child
from flowgate_cli.up.logfile import KEPT, LogFile, headline
from flowgate_cli.up.specs import ServiceSpec
from flowkit.embedded.ports import free_ports
from flowkit.testing import eventually

READY = """
    import http.server, os, signal, sys
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200 if self.path == "/readyz" else 404)
            self.end_headers()
        def log_message(self, *_):
            pass
    print('{"level": "warning", "event": "thing.slow", "error": "so slow"}', flush=True)
    http.server.HTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""
STUBBORN = "    import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)" + READY
BROKEN = "    raise RuntimeError('it is broken')"


class Stage:
    """A child with a program of its own, and what is said about it."""

    def __init__(self, folder: Path, program: str) -> None:
        self.said: list[tuple[str, str]] = []
        self.starts = 0
        port = free_ports(1)[0]
        spec = ServiceSpec("test", "test", {**os.environ, "PORT": str(port)}, port)
        command = [sys.executable, "-c", textwrap.dedent(program)]
        self.log = folder / "test.log"
        self.child = Child(spec, folder, lambda level, text: self.said.append((level, text)), self._started, command)

    def _started(self) -> None:
        self.starts += 1


async def test_a_killed_process_is_started_again(tmp_path: Path):
    stage = Stage(tmp_path, READY)
    stage.child.start()
    await stage.child.wait_ready()
    first = stage.child.pid
    assert first is not None
    os.kill(first, signal.SIGKILL)
    await eventually(lambda: stage.child.pid != first)
    await stage.child.wait_ready()
    assert stage.starts == 2
    assert stage.said[0][1].startswith("test crashed (killed by SIGKILL); starting it again in 0.2 s")
    await stage.child.stop(5)
    assert not psutil.pid_exists(stage.child.pid or 0)


async def test_a_process_that_never_starts_is_given_up_with_its_last_words(tmp_path: Path):
    stage = Stage(tmp_path, BROKEN)
    stage.child.start()
    with pytest.raises(CommandError, match="test does not start: RuntimeError: it is broken"):
        await stage.child.wait_ready()
    await stage.child.stop(1)
    assert "Traceback" in stage.log.read_text()


async def test_a_process_that_ignores_sigterm_is_killed(tmp_path: Path):
    stage = Stage(tmp_path, STUBBORN)
    stage.child.start()
    await stage.child.wait_ready()
    await asyncio.wait_for(stage.child.stop(0.3), 5)
    assert stage.said[-1] == ("warning", "test did not stop within 0.3 s and was killed")
    assert not psutil.pid_exists(stage.child.pid or 0)


async def test_a_stop_during_the_pause_after_a_crash_starts_nothing(tmp_path: Path):
    stage = Stage(tmp_path, BROKEN)
    stage.child.start()
    await eventually(lambda: stage.said)
    await stage.child.stop(1)
    starts = stage.starts
    with pytest.raises(asyncio.CancelledError):
        await stage.child.failed()  # nobody is left who would start it
    assert stage.starts == starts


def test_a_full_log_is_shifted_and_the_oldest_dropped(tmp_path: Path):
    log = LogFile(tmp_path / "x.log", limit=20)
    for number in range(10):
        log.write(b"line %d......\n" % number)
    log.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x.log", *(f"x.log.{n + 1}" for n in range(KEPT))]
    assert (tmp_path / "x.log").read_text() == "line 9......\n"
    assert all(path.stat().st_size <= 20 for path in tmp_path.iterdir())


def test_a_start_begins_a_new_log(tmp_path: Path):
    for text in (b"first\n", b"second\n"):
        log = LogFile(tmp_path / "x.log")
        log.write(text)
        log.close()
    assert ((tmp_path / "x.log").read_text(), (tmp_path / "x.log.1").read_text()) == ("second\n", "first\n")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b'{"level": "info", "event": "x"}', None),
        (b'{"level": "error", "event": "x.failed", "error": "y"}', ("error", "x.failed y")),
        (b'{"level": "warning", "event": "x"}', ("warning", "x")),
        (b"plain", None),
        (b"{broken", None),
        (b"[1]", None),
    ],
)
def test_only_warnings_and_errors_reach_the_terminal(text: bytes, expected: tuple[str, str] | None):
    assert headline(text) == expected
