"""Print the part of requirements.lock that some packages need, hashes included.

    python select_lock.py --lock requirements.lock [--without a,b] hatchling services/config-push

A name is a requirement of its own; a folder stands for what its pyproject.toml requires, the projects of other given
folders left out. pip finds the closure, bound to the versions of the lock; what is printed is for
`pip install --no-deps --require-hashes`.
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path

PINNED = re.compile(r"^([A-Za-z0-9._-]+)(?:\[[^]]*\])?==([^ ;\\]+)")
NAME = re.compile(r"^[A-Za-z0-9._-]+")


def main() -> None:
    """Print the selection."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lock", type=Path, required=True)
    parser.add_argument("--without", default="", help="names, separated by commas")
    parser.add_argument("wanted", nargs="+", help="names and folders")
    arguments = parser.parse_args()
    blocks = dict(_blocks(arguments.lock.read_text()))
    without = {_normal(name) for name in arguments.without.split(",") if name}
    needed = _closure(_requirements(arguments.wanted, without), blocks)
    missing = needed - blocks.keys()
    if missing:
        sys.exit(f"not in {arguments.lock}: {', '.join(sorted(missing))}; run `make lock`")
    sys.stdout.write("".join(blocks[name] for name in sorted(needed)))


def _blocks(lock: str) -> Iterator[tuple[str, str]]:
    """Name and lines of each entry."""
    for block in re.split(r"^(?=[A-Za-z0-9])", lock, flags=re.MULTILINE):
        if found := PINNED.match(block):
            yield _normal(found[1]), block


def _requirements(wanted: list[str], without: set[str]) -> list[str]:
    files = [Path(one) / "pyproject.toml" for one in wanted if _is_folder(one)]
    projects = [tomllib.loads(file.read_text())["project"] for file in files]
    known = {_normal(project["name"]) for project in projects} | without
    required = [one for one in wanted if not _is_folder(one)]
    required += [one for project in projects for one in project["dependencies"]]
    return [one for one in required if _name(one) not in known]


def _closure(required: list[str], blocks: dict[str, str]) -> set[str]:
    """Names of everything that pip would install here."""
    with tempfile.TemporaryDirectory() as folder:
        constraints, report = Path(folder) / "constraints.txt", Path(folder) / "report.json"
        lines = [block.partition("\\")[0].strip() for block in blocks.values()]
        constraints.write_text("\n".join(re.sub(r"^([^[=]+)\[[^]]*\]", r"\1", line) for line in lines) + "\n")
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--dry-run", "--ignore-installed"]
        command += ["--report", str(report), "--constraint", str(constraints), *required]
        subprocess.run(command, check=True, stdout=sys.stderr)
        return {_normal(one["metadata"]["name"]) for one in json.loads(report.read_text())["install"]}


def _is_folder(wanted: str) -> bool:
    return (Path(wanted) / "pyproject.toml").is_file()


def _name(requirement: str) -> str:
    found = NAME.match(requirement)
    return _normal(found[0]) if found else requirement


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


if __name__ == "__main__":
    main()
