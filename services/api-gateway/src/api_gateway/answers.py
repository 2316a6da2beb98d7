"""Answers as JSON. They are built as plain dictionaries and written by orjson: validating the rows of a list with
Pydantic costs more than the query for them. The Pydantic schemas describe them, and the tests hold them to it."""

from typing import Any

import orjson
from starlette.responses import Response

from api_gateway.problems import KINDS, MEDIA_TYPE

Json = dict[str, Any]


def answer(body: Json, status: int = 200, location: str | None = None) -> Response:
    """An answer with this body, and where the thing that was begun can be followed."""
    headers = {"Location": location} if location else None
    return Response(orjson.dumps(body), status, headers, "application/json")


def refusals(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """OpenAPI's description of the problems that an operation can answer with."""
    schema = {"$ref": "#/components/schemas/Problem"}
    return {
        status: {"description": KINDS[status][2], "content": {MEDIA_TYPE: {"schema": schema}}} for status in statuses
    }
