"""`make test-kubernetes`: build what the tests need, then run them in namespaces of their own.

Outside, programs and images are built, each once per content. Inside are network, mount and process namespaces that
end with everything in them when the tests end, however they do. What a cluster leaves besides is removed here.
"""

import contextlib
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
CACHE = Path(os.environ.get("FLOWGATE_CACHE") or Path.home() / ".cache" / "flowgate")
APT = {
    "etcd": "etcd-server",
    "containerd": "containerd",
    "runc": "runc",
    "iptables": "iptables",
    "conntrack": "conntrack",
    "openssl": "openssl",
    "ip": "iproute2",
    "/usr/lib/cni/ptp": "containernetworking-plugins",
}
CGROUPS = Path("/sys/fs/cgroup")
# All pods together against each single process outside of them: on a real node, those are in one group that weighs half
# as much as the pods.
POD_SHARES = 8192
GONE_SECONDS = 30.0


def main(arguments: list[str]) -> int:
    """Run pytest with these arguments; its exit code."""
    if sys.platform != "linux" or os.geteuid() != 0:
        sys.exit("the Kubernetes tests need root on Linux: they run a cluster in namespaces of their own")
    _install()
    programs, helm, peers = (
        _built(HERE / "cluster" / "build.sh"),
        _built(ROOT / "tests" / "helm" / "helm.sh"),
        _built(ROOT / "tests" / "interop" / "peers" / "build.sh"),
    )
    images = _images(Path(peers), Path(programs))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with tempfile.TemporaryDirectory(prefix="fgk8s-", ignore_cleanup_errors=True) as folder, _cgroup() as group:
        environment = {
            **os.environ,
            "FLOWGATE_KUBERNETES": json.dumps(
                {"folder": folder, "programs": programs, "helm": helm, "images": str(images), "cgroup": group}
            ),
            "PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin",
        }
        command = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", HERE / "inside.sh"]
        command += [sys.executable, "-m", "pytest", HERE, "-m", "kubernetes", "-p", "no:cacheprovider", *arguments]
        process = subprocess.Popen(command, cwd=ROOT, env=environment)
        try:
            return process.wait()
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            process.wait()


def _install() -> None:
    search = f"{os.environ['PATH']}:/usr/sbin:/sbin"
    missing = [package for program, package in APT.items() if shutil.which(program, path=search) is None]
    if not missing:
        return
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    for command in (["update", "-qq"], ["install", "-qq", "-y", "--no-install-recommends", *missing]):
        subprocess.run(["apt-get", *command], check=True, env=environment, stdout=subprocess.DEVNULL)


def _built(script: Path) -> str:
    done = subprocess.run([script], check=True, stdout=subprocess.PIPE, env={**os.environ, "PYTHON": sys.executable})
    return done.stdout.decode().strip()


def _images(peers: Path, programs: Path) -> Path:
    """A tar with the images of the tests, from the Docker engine of tests/docker."""
    sys.path[:0] = [str(ROOT / "tests" / "docker" / "support")]
    from docker_engine import engine
    from docker_images import Builder

    with engine(CACHE / "docker") as docker:
        builder = Builder(docker, peers)
        images = builder.build_all()
        with tempfile.TemporaryDirectory() as context:
            shutil.copy(programs / "pause", context)
            (Path(context) / "Dockerfile").write_text('FROM scratch\nCOPY pause /pause\nENTRYPOINT ["/pause"]\n')
            docker.run("build", "--tag", "flowgate-test/pause", context)
        names = [images.services, images.nats, images.postgres, images.gateway, "flowgate-test/pause"]
        ids = docker.run("image", "inspect", "--format", "{{.Id}} {{.Size}}", *names).stdout
        for name, line in zip(names, ids.splitlines(), strict=True):
            sys.stderr.write(f"{name}: {int(line.split()[1]) / 2**20:.0f} MiB\n")
        archive = CACHE / f"kubernetes-images-{hashlib.sha256(ids.encode()).hexdigest()[:16]}.tar"
        if not archive.exists():
            for old in CACHE.glob("kubernetes-images-*.tar"):
                old.unlink()
            docker.run("save", "--output", f"{archive}.part", *names)
            Path(f"{archive}.part").rename(archive)
    return archive


@contextmanager
def _cgroup() -> Iterator[str]:
    """A group of our own in every hierarchy, for the kubelet's pods; removed with all below it."""
    name = f"flowgate-test-{os.getpid()}"
    hierarchies = [CGROUPS, *(path for path in CGROUPS.iterdir() if path.is_dir() and not path.is_symlink())]
    made = [path / name for path in hierarchies if (path / "cgroup.procs").exists()]
    try:
        for group in made:
            group.mkdir(exist_ok=True)
            shares = group / "cpu.shares"
            if shares.exists():
                shares.write_text(str(POD_SHARES))
            cpus = group / "cpuset.cpus"
            if cpus.exists() and not cpus.read_text().strip():
                for file in ("cpuset.cpus", "cpuset.mems"):
                    (group / file).write_text((group.parent / file).read_text())
        yield f"/{name}"
    finally:
        deadline = time.monotonic() + GONE_SECONDS  # processes that were killed are in their groups until they are gone
        while (left := [group for group in made if group.exists()]) and time.monotonic() < deadline:
            for folder in (folder for group in left for folder, _, _ in os.walk(group, topdown=False)):
                with contextlib.suppress(OSError):
                    Path(folder).rmdir()
            time.sleep(0.1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
