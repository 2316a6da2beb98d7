"""Child processes that do not outlive their parent."""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

PR_SET_PDEATHSIG = 1
LOWER_NICE = 5
LOG_LIMIT_BYTES = 8 * 1024 * 1024


class EmbeddedServerError(Exception):
    """An embedded server does not start; the text says why and where its log is."""


def dies_with_parent(sig: signal.Signals = signal.SIGKILL) -> Callable[[], None] | None:
    """`preexec_fn` that lets the kernel send `sig` to the child when its parent is gone, even after kill -9.

    Linux only, and only from the main thread: the kernel watches the *thread* that forked, and a pool's
    thread ends before its process. None where it cannot be had; an orderly stop works everywhere.
    """
    if sys.platform != "linux" or threading.current_thread() is not threading.main_thread():
        return None
    libc = ctypes.CDLL(None, use_errno=True)
    parent = os.getpid()

    def arm() -> None:
        libc.prctl(PR_SET_PDEATHSIG, int(sig))
        if os.getppid() != parent:  # the parent was gone before the kernel knew
            os._exit(1)

    return arm


def lower_priority(pid: int) -> None:
    """Let what agents wait for, the ingress and the bus, go first where cores are scarce; the rest catches up.

    Linux with autogroups (sched(7)) heeds nice values only within a session, and each child has one of its own: what
    counts between sessions is the nice value of the autogroup.
    """
    with contextlib.suppress(OSError):  # gone already
        os.setpriority(os.PRIO_PROCESS, pid, LOWER_NICE)
    with contextlib.suppress(OSError):  # no autogroups here
        Path(f"/proc/{pid}/autogroup").write_text(str(LOWER_NICE))


def open_log(path: Path) -> int:
    """File descriptor to append to `path`; a file over the limit becomes `<name>.1` first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileNotFoundError):
        if path.stat().st_size > LOG_LIMIT_BYTES:
            path.replace(path.with_name(path.name + ".1"))
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)


def log_tail(path: Path, lines: int = 3) -> str:
    """The last lines of a log in one line, for an error message."""
    try:
        text = path.read_text(errors="replace")
    except OSError:
        return ""
    return " | ".join(line.strip() for line in text.strip().splitlines()[-lines:])


def end(process: subprocess.Popen[bytes], *signals: tuple[signal.Signals, float]) -> None:
    """Send each signal in turn and wait its seconds, until the process is gone; at last SIGKILL."""
    for sig, seconds in signals:
        if process.poll() is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(sig)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(seconds)
            return
    process.kill()
    process.wait()


def write_private(path: Path, text: str) -> None:
    """Replace the file by one that only its owner can read; a reader sees the old text or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with contextlib.suppress(FileNotFoundError):
        temporary.unlink()
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
