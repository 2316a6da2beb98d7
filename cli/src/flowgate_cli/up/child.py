"""One service as a child process: its log, its readiness, and a new start after a crash."""

import asyncio
import contextlib
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

from flowgate_cli.errors import CommandError
from flowgate_cli.up.logfile import LogFile, headline
from flowgate_cli.up.specs import ServiceSpec
from flowkit.embedded.process import dies_with_parent, lower_priority

READY_SECONDS = 60.0
FIRST_BACKOFF = 0.2  # seconds; doubled at each crash in a row
MAX_BACKOFF = 15.0
STABLE_SECONDS = 30.0  # a process that lived that long crashed for the first time
MAX_STARTS_BEFORE_READY = 5
QUIET_SECONDS = 30.0  # between two hints of one service on the terminal
LINE_LIMIT = 4 * 1024 * 1024  # bytes


class Child:
    """Keeps one service process running until `stop`."""

    def __init__(
        self,
        spec: ServiceSpec,
        logs: Path,
        say: Callable[[str, str], None],
        on_start: Callable[[], None],
        command: list[str] | None = None,
    ) -> None:
        """`say(level, text)` shows a line on the terminal; `on_start` hears of each new process."""
        self.spec = spec
        self.pid: int | None = None
        self._command = command or [sys.executable, "-m", spec.package]
        self._log = LogFile(logs / f"{spec.instance}.log")
        self._say = say
        self._on_start = on_start
        self._process: asyncio.subprocess.Process | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._stopping = False
        self._was_ready = False
        self._hinted_at = -QUIET_SECONDS
        self._last_words = ""

    def start(self) -> None:
        """Start the process and keep it running."""
        self._keeper = asyncio.create_task(self._keep(), name=self.spec.instance)

    async def wait_ready(self) -> None:
        """Wait until /readyz answers 200.

        Raises:
            CommandError: it crashes again and again, or is not ready in time.
        """
        assert self._keeper is not None
        deadline = time.monotonic() + READY_SECONDS
        while time.monotonic() < deadline:
            if self._keeper.done():
                self._keeper.result()
            if await is_ready(self.spec.health_port):
                self._was_ready = True
                return
            await asyncio.sleep(0.05)
        raise CommandError(
            f"{self.spec.instance} is not ready after {READY_SECONDS:g} s{self._words()} (log: {self._log.path})"
        )

    async def failed(self) -> None:
        """Returns only by raising what made the keeper give up."""
        assert self._keeper is not None
        await asyncio.shield(self._keeper)

    async def stop(self, grace: float) -> None:
        """End the process: SIGTERM, and SIGKILL after `grace` seconds."""
        self._stopping = True
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(signal.SIGTERM)
            try:
                await asyncio.wait_for(self._process.wait(), grace)
            except TimeoutError:
                self._say("warning", f"{self.spec.instance} did not stop within {grace:g} s and was killed")
                with contextlib.suppress(ProcessLookupError):
                    self._process.kill()
                await self._process.wait()
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)
        self._log.close()

    async def _keep(self) -> None:
        backoff, starts = FIRST_BACKOFF, 0
        while not self._stopping:
            started_at = time.monotonic()
            starts += 1
            code = await self._run_once()
            if self._stopping:
                return
            if not self._was_ready and starts >= MAX_STARTS_BEFORE_READY:
                raise CommandError(f"{self.spec.instance} does not start{self._words()} (log: {self._log.path})")
            if time.monotonic() - started_at > STABLE_SECONDS:
                backoff = FIRST_BACKOFF
            self._say(
                "error",
                f"{self.spec.instance} crashed ({_ending(code)}){self._words()}; starting it again in "
                f"{backoff:g} s (log: {self._log.path})",
            )
            await asyncio.sleep(backoff)
            backoff = min(backoff * 2, MAX_BACKOFF)

    async def _run_once(self) -> int:
        self._last_words = ""
        process = await asyncio.create_subprocess_exec(
            *self._command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env=self.spec.environment,
            start_new_session=True,  # Ctrl-C is for flowgate, which stops its services in order
            preexec_fn=dies_with_parent(),
            limit=LINE_LIMIT,
        )
        self._process, self.pid = process, process.pid
        if not self.spec.is_ingress:
            lower_priority(process.pid)
        self._on_start()
        try:
            await self._pump(process)
            return await process.wait()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()

    async def _pump(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        while True:
            try:
                line = await process.stdout.readline()
            except ValueError:  # a line over the limit; the stream has dropped it
                continue
            if not line:
                return
            self._log.write(line)
            self._listen(line)

    def _listen(self, line: bytes) -> None:
        found = headline(line)
        if found is None:
            if not line.startswith((b"{", b" ", b"\n")):  # the last line of a traceback
                self._last_words = line.decode(errors="replace").strip()[:240]
            return
        level, text = found
        if level != "warning":
            self._last_words = text
        now = time.monotonic()
        if self._was_ready and not self._stopping and now - self._hinted_at >= QUIET_SECONDS:
            self._hinted_at = now
            self._say(level, f"{self.spec.instance}: {text} (log: {self._log.path})")

    def _words(self) -> str:
        return f": {self._last_words}" if self._last_words else ""


async def is_ready(port: int) -> bool:
    """Whether /readyz on this port of loopback answers 200."""
    writer = None
    try:
        async with asyncio.timeout(5.0):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            return (await reader.read(16)).split(b" ")[1:2] == [b"200"]
    except (OSError, TimeoutError):
        return False
    finally:
        if writer is not None:
            writer.close()


def _ending(code: int) -> str:
    if code < 0:
        return f"killed by {signal.Signals(-code).name}"
    return f"exit code {code}"
