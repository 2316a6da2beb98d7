"""gzip on plain HTTP (RFC 9110): request bodies inflated within a limit, responses as the client accepts them."""

import zlib
from dataclasses import dataclass, field

_GZIP = 16  # added to zlib's window bits: gzip's header and trailer instead of zlib's
_SMALL = 512  # bytes; below this a small window saves the allocation of a large one


class TooLargeError(Exception):
    """The body is over the limit when inflated."""


class NotInflatableError(Exception):
    """The body is not what its Content-Encoding says."""


def is_supported(coding: str) -> bool:
    """Whether a request may have this Content-Encoding."""
    return coding.strip().lower() in ("", "identity", "gzip", "x-gzip")


@dataclass(slots=True)
class Body:
    """A request's body as it comes in: never more than `limit` bytes of it are held, inflated or not."""

    limit: int
    coding: str = ""
    _parts: list[bytes] = field(default_factory=list)
    _size: int = 0
    _inflater: "zlib._Decompress | None" = None

    def __post_init__(self) -> None:
        if self.coding.strip().lower() in ("gzip", "x-gzip"):
            self._inflater = zlib.decompressobj(_GZIP + zlib.MAX_WBITS)

    @property
    def size(self) -> int:
        """Bytes of it that are held."""
        return self._size

    def add(self, data: bytes) -> None:
        """Take some of the body. Raises TooLargeError, NotInflatableError."""
        if self._inflater is not None:
            try:
                data = self._inflater.decompress(data, self.limit - self._size + 1)
            except zlib.error as error:
                raise NotInflatableError(str(error)) from None
            if self._inflater.unused_data:
                raise NotInflatableError("bytes after the end")
        self._size += len(data)
        if self._size > self.limit:
            raise TooLargeError
        self._parts.append(data)

    def whole(self) -> bytes:
        """The body, once all of it is there. Raises NotInflatableError when it ends too early."""
        if self._inflater is not None and not self._inflater.eof:
            raise NotInflatableError("ends too early")
        return b"".join(self._parts)


def accepts_gzip(header: str | None) -> bool:
    """Whether Accept-Encoding allows gzip (RFC 9110 section 12.5.3): q above 0 for gzip, else for `*`."""
    if not header:
        return False
    quality: dict[str, float] = {}
    for part in header.split(","):
        coding, _, parameters = part.partition(";")
        name, _, value = parameters.strip().partition("=")
        try:
            quality[coding.strip().lower()] = float(value) if name.strip().lower() == "q" else 1.0
        except ValueError:
            quality[coding.strip().lower()] = 0.0
    return quality.get("gzip", quality.get("x-gzip", quality.get("*", 0.0))) > 0.0


def compress(data: bytes) -> bytes:
    """`data` in gzip."""
    if len(data) < _SMALL:
        deflater = zlib.compressobj(1, zlib.DEFLATED, _GZIP + 9, 1)
    else:
        deflater = zlib.compressobj(6, zlib.DEFLATED, _GZIP + zlib.MAX_WBITS)
    return deflater.compress(data) + deflater.flush()
