"""The problem document (RFC 9457) that every refusal and failure is."""

from pydantic import BaseModel, ConfigDict


class ProblemPlace(BaseModel):
    """One thing that is wrong with the input."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    loc: str | None = None
    """Where: body, query or path, and the names down to it, joined by dots."""
    message: str
    """What is wrong."""
    line: int | None = None
    """Line within the text, from 1."""
    column: int | None = None
    """Column within the line, from 1."""


class Problem(BaseModel):
    """What went wrong, for programs (`type`, `status`) and people (`detail`)."""

    model_config = ConfigDict(
        use_attribute_docstrings=True,
        extra="allow",
        json_schema_extra={
            "examples": [
                {
                    "type": "urn:flowgate:problem:conflict",
                    "title": "Conflict",
                    "status": 409,
                    "detail": "edge-7 does not accept remote configuration: it lacks the capability "
                    "AcceptsRemoteConfig. Run its collector under opampsupervisor to manage it.",
                    "instance": "/api/v1/supervisor/ui/agents/0198e4b0-7c1d-7a3e-9f00-0000000000a7/config",
                    "request_id": "3f1c0e3bb7f44d0f8f7cf4b51d6f5a10",
                    "capability": "AcceptsRemoteConfig",
                }
            ]
        },
    )

    type: str
    """`urn:flowgate:problem:` and the kind: unauthorized, not-found, conflict, invalid-input, unavailable …"""
    title: str
    """The kind in words."""
    status: int
    """The HTTP status."""
    detail: str
    """What is wrong here, and what to do about it."""
    instance: str
    """The path that was asked for."""
    request_id: str | None = None
    """Id of the request, as in the header X-Request-Id; it leads to the log."""
    errors: list[ProblemPlace] | None = None
    """With 422: each thing that is wrong."""
    capability: str | None = None
    """With 409: the capability that the agent lacks."""
    service: str | None = None
    """With 503: the service that does not answer."""
