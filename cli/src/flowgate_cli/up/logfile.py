"""Logs of the processes: bounded files, and what of them deserves the terminal."""

import json
import os
from pathlib import Path
from typing import BinaryIO

LIMIT_BYTES = 8 * 1024 * 1024
KEPT = 3  # older files beside the current one
LOUD = ("warning", "error", "critical")


class LogFile:
    """Appends lines; a full file becomes `<name>.1`, that one `<name>.2`, and so on."""

    def __init__(self, path: Path, limit: int = LIMIT_BYTES) -> None:
        self.path = path
        self._limit = limit
        self._size = 0
        self._file: BinaryIO | None = None
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if path.exists() and path.stat().st_size:
            self._shift()

    def write(self, line: bytes) -> None:
        """Append one line, with its line end."""
        if self._size + len(line) > self._limit:
            self.close()
            self._shift()
        if self._file is None:
            descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            self._file = os.fdopen(descriptor, "ab", buffering=0)
        self._file.write(line)
        self._size += len(line)

    def close(self) -> None:
        """Close the file; a later line opens it again."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _shift(self) -> None:
        for number in range(KEPT - 1, -1, -1):
            older = self.path.with_name(f"{self.path.name}.{number}") if number else self.path
            if older.exists():
                older.replace(self.path.with_name(f"{self.path.name}.{number + 1}"))
        self._size = 0


def headline(line: bytes) -> tuple[str, str] | None:
    """Level and short text of a log line that a person should hear of; None for the others."""
    if not line.startswith(b"{"):
        return None
    try:
        record = json.loads(line)
    except ValueError:
        return None
    if not isinstance(record, dict) or record.get("level") not in LOUD:
        return None
    error = record.get("error") or record.get("reason") or ""
    text = f"{record.get('event', '')} {error}".strip()
    return str(record["level"]), text if len(text) <= 240 else text[:237] + "..."
