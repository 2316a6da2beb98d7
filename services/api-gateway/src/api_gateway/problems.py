"""Errors at the edge: every one leaves as `application/problem+json` (RFC 9457), translated here and nowhere else."""

from typing import Any

import orjson
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from flowkit.errors import FlowGateError, InvalidError, UnavailableError
from flowkit.telemetry import get_log

MEDIA_TYPE = "application/problem+json"

# Status → (last part of the type URI, title, what it means here). The URI names the problem; it is not an address.
KINDS = {
    400: ("bad-request", "Bad request", "The request cannot be read."),
    401: ("unauthorized", "Unauthorized", "No or a wrong credential."),
    403: ("forbidden", "Forbidden", "The request does not show that a page of this site sent it."),
    404: ("not-found", "Not found", "There is nothing under that id or path."),
    405: ("method-not-allowed", "Method not allowed", "The path does not take this method; see `Allow`."),
    409: ("conflict", "Conflict", "The state of the thing forbids the action; `detail` says what to do."),
    412: ("changed", "Changed meanwhile", "It is no longer what `If-Match` says; nothing was done."),
    413: ("too-large", "Too large", "The body is larger than FlowGate takes."),
    422: ("invalid-input", "Invalid input", "The input is wrong; `errors` says where."),
    500: ("internal", "Internal error", "FlowGate failed; the request id leads to its log."),
    503: ("unavailable", "Temporarily unavailable", "A service that is needed does not answer now; try again."),
}
TYPE_PREFIX = "urn:flowgate:problem:"

log = get_log()


def problem(
    request: Request, status: int, detail: str, headers: dict[str, str] | None = None, **extra: Any
) -> Response:
    """A problem document about this request; `extra` are more members and never hide the standard ones."""
    slug, title, _ = KINDS.get(status) or (f"http-{status}", f"HTTP {status}", "")
    standard = {
        "type": TYPE_PREFIX + slug,
        "title": title,
        "status": status,
        "detail": detail,
        "instance": request.url.path,
        "request_id": request.scope.get("state", {}).get("request_id"),
    }
    return Response(orjson.dumps(standard | extra | standard, default=str), status, headers, MEDIA_TYPE)


def of_flowgate(request: Request, error: Exception) -> Response:
    """An owner's error, or our own of the same tree."""
    assert isinstance(error, FlowGateError)
    if error.code not in KINDS or error.code == 500:
        log.error("request.failed", path=request.url.path, error=error.detail)
        return internal(request)
    extra = dict(error.extra)
    if isinstance(error, InvalidError):
        extra["errors"] = places(error)
    headers = {"Retry-After": "1"} if isinstance(error, UnavailableError) else None
    return problem(request, error.code, error.detail, headers, **extra)


def of_http(request: Request, error: Exception) -> Response:
    """What the framework refuses: an unknown path, a wrong method, a body that it cannot read."""
    assert isinstance(error, HTTPException)
    headers = dict(error.headers or {})
    detail = {
        404: f"There is no {request.url.path} here; GET /api/v1/openapi.json lists what there is.",
        405: f"{request.url.path} does not take {request.method}; it takes {headers.get('Allow', 'other methods')}.",
    }.get(error.status_code, str(error.detail))
    return problem(request, error.status_code, detail, headers)


def of_validation(request: Request, error: Exception) -> Response:
    """Input that does not fit its schema. What was sent is not repeated: it may hold secrets."""
    assert isinstance(error, RequestValidationError)
    errors = [_validation_place(item, error.body) for item in error.errors()]
    first = errors[0]
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    return problem(request, 422, f"{first['loc']}: {first['message']}{more}", errors=errors)


def internal(request: Request) -> Response:
    """A failure of FlowGate itself: what went wrong is in its log, not in the answer."""
    return problem(request, 500, "FlowGate could not answer because of an error of its own. Its log says more.")


def places(error: InvalidError) -> list[dict[str, Any]]:
    """Each thing that is wrong, as a ProblemPlace."""
    return [_place(item) for item in error.extra.get("errors") or [{"message": error.detail}]]


def _place(item: Any) -> dict[str, Any]:
    given = item if isinstance(item, dict) else {"message": str(item)}
    known = {"loc": given.get("loc"), "message": given.get("message"), "line": given.get("line")}
    return {**known, "column": given.get("column")}


def _validation_place(item: dict[str, Any], body: Any) -> dict[str, Any]:
    loc, message, line, column = item["loc"], item["msg"], None, None
    if item["type"] == "json_invalid":
        offset = loc[-1] if isinstance(loc[-1], int) else 0
        before = body[:offset] if isinstance(body, str) else ""
        line, column = before.count("\n") + 1, offset - before.rfind("\n")
        loc, message = loc[:1], f"The body is not JSON: {item.get('ctx', {}).get('error', 'unreadable')}"
    elif loc == ("body",) and isinstance(body, bytes | None):
        message = "Send a JSON object with Content-Type: application/json."
    return {
        "loc": ".".join(str(part) for part in loc),
        "message": message.removeprefix("Value error, "),
        "line": line,
        "column": column,
    }
