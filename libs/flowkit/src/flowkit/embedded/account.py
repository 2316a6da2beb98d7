"""The operating-system account that PostgreSQL runs under: one's own, or one made for it when one is root."""

import os
import pwd
import stat
import struct
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from flowkit.embedded.process import EmbeddedServerError

ACCOUNT_NAME = "pgserver"
ACL_ATTRIBUTE = "system.posix_acl_access"
# POSIX ACL as the kernel keeps it: version 2, then entries of tag, permissions, id (little-endian).
ACL_VERSION = 2
ACL_USER_OBJ, ACL_USER, ACL_GROUP_OBJ, ACL_MASK, ACL_OTHER = 0x01, 0x02, 0x04, 0x10, 0x20
ACL_NO_ID = 0xFFFFFFFF
EXECUTE = 1


@dataclass(frozen=True, slots=True)
class ServerAccount:
    """Where all is None, the server runs as the user who starts it."""

    uid: int | None = None
    gid: int | None = None
    extra_groups: Sequence[int] | None = None

    @classmethod
    def for_this_process(cls) -> "ServerAccount":
        """PostgreSQL refuses to run as root: root gets an account `pgserver`, made when it is missing.

        Raises:
            EmbeddedServerError: the account cannot be made.
        """
        if os.geteuid() != 0:
            return cls()
        try:
            entry = pwd.getpwnam(ACCOUNT_NAME)
        except KeyError:
            command = [
                "useradd",
                "--system",
                "--no-create-home",
                "--shell",
                "/usr/sbin/nologin",
                ACCOUNT_NAME,
            ]
            try:
                subprocess.run(command, check=True, capture_output=True, text=True)
                entry = pwd.getpwnam(ACCOUNT_NAME)
            except (OSError, subprocess.CalledProcessError, KeyError) as error:
                raise EmbeddedServerError(
                    f"PostgreSQL does not run as root and the user {ACCOUNT_NAME} cannot be made ({error}); "
                    "run flowgate as another user, or set FLOWGATE_DATABASE_URL"
                ) from error
        return cls(entry.pw_uid, entry.pw_gid, ())

    def own(self, path: Path) -> None:
        """Give a file or folder to the account."""
        if self.uid is not None and self.gid is not None:
            os.chown(path, self.uid, self.gid)

    def require_owned(self, folder: Path) -> None:
        """Refuse a folder that somebody else has put there.

        Raises:
            EmbeddedServerError: it is not a folder of the account alone.
        """
        found = folder.lstat()
        owner = os.geteuid() if self.uid is None else self.uid
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != owner:
            raise EmbeddedServerError(f"{folder} belongs to somebody else; remove it")
        folder.chmod(0o700)

    def open_program(self, install: Path) -> None:
        """Let the account read and run the server's program files, wherever the environment lies."""
        if self.uid is None:
            return
        self.open_path(install)
        if (install / "bin" / "postgres").stat().st_mode & stat.S_IXOTH:
            return
        for top in (install, install.parent.with_name(install.parent.name + ".libs")):
            for path in [top, *top.rglob("*")]:
                if not path.is_symlink():
                    mode = path.stat().st_mode
                    run = stat.S_IXOTH if path.is_dir() or mode & stat.S_IXUSR else 0
                    path.chmod(mode | stat.S_IROTH | run)

    def open_path(self, folder: Path) -> None:
        """Let the account pass through `folder` and all above it, such as /root; it cannot list them."""
        if self.uid is None:
            return
        for path in [*reversed(folder.resolve().parents), folder.resolve()]:
            found = path.stat()
            if found.st_mode & stat.S_IXOTH or found.st_uid == self.uid:
                continue
            try:
                _let_pass(path, self.uid, found.st_mode)
            except OSError:  # no ACLs on this file system
                path.chmod(found.st_mode | stat.S_IXOTH)


def _let_pass(path: Path, uid: int, mode: int) -> None:
    """Add `user:<uid>:--x` to the folder's ACL; nobody else gets more than before."""
    entries: dict[tuple[int, int], int] = {
        (ACL_USER_OBJ, ACL_NO_ID): mode >> 6 & 7,
        (ACL_GROUP_OBJ, ACL_NO_ID): mode >> 3 & 7,
        (ACL_OTHER, ACL_NO_ID): mode & 7,
    }
    try:
        raw = os.getxattr(path, ACL_ATTRIBUTE)
    except OSError:
        raw = b""
    if raw:
        entries = {(tag, who): permissions for tag, permissions, who in struct.iter_unpack("<HHI", raw[4:])}
    entries[ACL_USER, uid] = EXECUTE
    mask = entries.get((ACL_MASK, ACL_NO_ID), entries[ACL_GROUP_OBJ, ACL_NO_ID])
    entries[ACL_MASK, ACL_NO_ID] = mask | EXECUTE
    packed = b"".join(struct.pack("<HHI", tag, bits, who) for (tag, who), bits in sorted(entries.items()))
    os.setxattr(path, ACL_ATTRIBUTE, struct.pack("<I", ACL_VERSION) + packed)
