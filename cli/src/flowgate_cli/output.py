"""How answers look: tables for people, JSON and YAML for scripts."""

import json
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from enum import StrEnum
from io import StringIO
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

COLOURS = {
    "online": "green",
    "healthy": "green",
    "applied": "green",
    "completed": "green",
    "succeeded": "green",
    "live": "green",
    "stale": "yellow",
    "unknown": "dim",
    "offline": "dim",
    "pending": "cyan",
    "offered": "cyan",
    "applying": "cyan",
    "delivered": "cyan",
    "running": "cyan",
    "waiting": "dim",
    "skipped": "yellow",
    "used_up": "yellow",
    "cancelled": "yellow",
    "revoked": "dim",
    "unhealthy": "red",
    "failed": "red",
    "expired": "red",
}


class Format(StrEnum):
    """What `-o` takes."""

    TABLE = "table"
    JSON = "json"
    YAML = "yaml"


def show(data: Any, format: Format) -> None:
    """Write data to standard output as JSON or YAML."""
    sys.stdout.write(as_text(data, format))


def as_text(data: Any, format: Format) -> str:
    """Data as JSON or YAML, with the line end."""
    if format is Format.JSON:
        return json.dumps(data, indent=2, ensure_ascii=False) + "\n"
    from ruamel.yaml import YAML

    yaml: Any = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    yaml.sort_base_mapping_type_on_output = False
    yaml.allow_unicode = True
    out = StringIO()
    yaml.dump(data, out)
    return out.getvalue()


def console() -> Console:
    """Where tables go. Lines are never cut when nobody's terminal gives the width."""
    return Console(highlight=False) if sys.stdout.isatty() else Console(highlight=False, width=200)


def table(columns: Sequence[str], headers: bool = True) -> Table:
    """An unframed table."""
    made = Table(box=None, show_header=headers, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
    for column in columns:
        made.add_column(column, overflow="fold")
    return made


def word(value: str | None) -> Text:
    """A state in its colour."""
    return Text(value or "-", style=COLOURS.get(value or "", ""))


def text(value: object) -> Text:
    """What an agent said, without it being taken for markup or for terminal control."""
    plain = "-" if value in (None, "") else str(value)
    return Text("".join(one if one.isprintable() or one == "\n" else "?" for one in plain))


def ago(stamp: str | None, now: datetime | None = None) -> str:
    """How long ago a point in time of the API was, in its largest unit."""
    if not stamp:
        return "-"
    seconds = ((now or datetime.now(UTC)) - datetime.fromisoformat(stamp)).total_seconds()
    return f"{duration(seconds)} ago" if seconds >= 1 else "now"


def duration(seconds: float) -> str:
    """A time span in its largest unit."""
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m")):
        if seconds >= size:
            return f"{int(seconds // size)}{unit}"
    return f"{max(0, int(seconds))}s"


def labels(pairs: dict[str, str]) -> str:
    """Labels in one cell."""
    return ", ".join(f"{key}={value}" if value else key for key, value in sorted(pairs.items()))
