"""Generate proto/gen/python from proto/: `make proto`, or `python proto/generate.py DIR` into another folder."""

import shutil
import sys
from pathlib import Path

import grpc_tools
from grpc_tools import protoc

PROTO = Path(__file__).resolve().parent


def generate(out: Path) -> None:
    """Write modules and type stubs of every .proto file below proto/ into `out`, which is emptied first.

    Raises:
        SystemExit: protoc refused a file; it has said why on standard error.
    """
    for package in ("flowgate", "opamp"):
        shutil.rmtree(out / package, ignore_errors=True)
    out.mkdir(parents=True, exist_ok=True)
    sources = sorted(str(p.relative_to(PROTO)) for top in ("flowgate", "opamp") for p in (PROTO / top).rglob("*.proto"))
    well_known = Path(grpc_tools.__file__).parent / "_proto"
    arguments = ["protoc", f"-I{PROTO}", f"-I{well_known}", f"--python_out={out}", f"--pyi_out={out}", *sources]
    if protoc.main(arguments) != 0:
        raise SystemExit("protoc failed, see above")
    for module in [*out.rglob("*_pb2.py")]:
        (module.parent / "py.typed").touch()


if __name__ == "__main__":
    generate(Path(sys.argv[1]) if len(sys.argv) > 1 else PROTO / "gen" / "python")
