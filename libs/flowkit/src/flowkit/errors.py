"""The tree of errors that cross a service's edge; each is translated once, to rpc headers or to problem+json."""

from typing import Any, ClassVar


class FlowGateError(Exception):
    """Something went wrong inside FlowGate.

    Attributes:
        detail: what is wrong and what to do about it, for people.
        extra: more members of the problem document, JSON values.
    """

    code: ClassVar[int] = 500
    title: ClassVar[str] = "Internal error"

    def __init__(self, detail: str, **extra: Any) -> None:
        super().__init__(detail)
        self.detail = detail
        self.extra = extra


class NotFoundError(FlowGateError):
    """There is nothing under that id."""

    code = 404
    title = "Not found"


class ConflictError(FlowGateError):
    """The state of the thing forbids the action."""

    code = 409
    title = "Conflict"


class ChangedError(FlowGateError):
    """It is no longer what the caller has seen; nothing was done."""

    code = 412
    title = "Precondition failed"


class InvalidError(FlowGateError):
    """The input is wrong; `extra["errors"]` lists where, each with message, line and column (from 1) where known."""

    code = 422
    title = "Invalid input"


class UnavailableError(FlowGateError):
    """A service or server that is needed does not answer now; the same request may succeed later."""

    code = 503
    title = "Temporarily unavailable"


class TooLargeError(FlowGateError):
    """A message is larger than NATS takes; it never will be taken."""


def error_of(code: int, detail: str, extra: dict[str, Any]) -> FlowGateError:
    """The error that an answer with this code stands for; unknown codes are internal errors."""
    for kind in (NotFoundError, ConflictError, ChangedError, InvalidError, UnavailableError):
        if kind.code == code:
            return kind(detail, **extra)
    return FlowGateError(detail, **extra)
