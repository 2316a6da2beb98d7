"""Every refusal is a problem document: credentials, paths, methods, bodies, owners' errors, failures."""

import asyncio
from typing import Any

import pytest
import structlog.testing
from fastapi import FastAPI
from httpx2 import AsyncClient, Response
from pydantic import ValidationError

from api_gateway.schemas.problem import Problem
from api_gateway.settings import ApiGatewaySettings
from api_gateway.testing import MemoryOwners, make_gateway
from flowkit.errors import FlowGateError

GATEWAYS = "/api/v1/gateways"
SUPERVISED = make_gateway(2, supervised=True).gateway.instance_id


def problem_of(response: Response, status: int, kind: str) -> dict[str, Any]:
    """The problem document of an answer that has this status and kind."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = response.json()
    Problem.model_validate(body)
    assert (body["type"], body["status"]) == (f"urn:flowgate:problem:{kind}", status)
    assert body["instance"] == response.request.url.path
    assert body["request_id"] == response.headers["x-request-id"]
    return body


@pytest.mark.parametrize(
    "header", [None, "", "Bearer", "Bearer ", "Bearer wrong", "Basic YTpi", "enrollment-token", "Bearer caf\u00e9"]
)
@pytest.mark.parametrize("path", [GATEWAYS, "/api/v1/openapi.json", "/api/v1/docs", "/nothing", "/api/v1/events"])
async def test_without_the_admin_token_nothing_is_told(anonymous: AsyncClient, path: str, header: str | None) -> None:
    """Not even whether a path exists; the challenge says which credential is wanted."""
    headers = {"Authorization": header.encode("latin-1")} if header is not None else {}
    response = await anonymous.get(path, headers=headers)
    problem_of(response, 401, "unauthorized")
    assert response.headers["www-authenticate"].startswith('Bearer realm="flowgate"')


async def test_the_admin_token_opens(anonymous: AsyncClient, token: str) -> None:
    """The scheme's letter case does not count."""
    response = await anonymous.get(GATEWAYS, headers={"Authorization": f"bearer {token}"})
    assert response.status_code == 200


def test_a_token_that_is_no_hash_is_refused_at_the_start() -> None:
    """A token in clear in the environment would be a mistake."""
    with pytest.raises(ValidationError, match="64 hex digits"):
        ApiGatewaySettings(admin_token_sha256="secret")
    two = ApiGatewaySettings(admin_token_sha256=f"{'a' * 64}, {'B' * 64}")
    assert two.admin_token_sha256 == ["a" * 64, "b" * 64]


async def test_an_unknown_path_is_404(client: AsyncClient) -> None:
    """It says where to look; a trailing slash is another path."""
    body = problem_of(await client.get("/api/v1/nothing"), 404, "not-found")
    assert "/api/v1/openapi.json" in body["detail"]
    problem_of(await client.get(GATEWAYS + "/"), 404, "not-found")


async def test_a_wrong_method_is_405(client: AsyncClient) -> None:
    """It names the methods that the path takes."""
    response = await client.put(GATEWAYS)
    problem_of(response, 405, "method-not-allowed")
    assert response.headers["allow"] == "GET"


@pytest.mark.parametrize(
    ("content", "headers", "loc", "line"),
    [
        (b'{"labels":\n {"a" 1}}', {"Content-Type": "application/json"}, "body", 2),
        (b'{"labels": {"a": 1}}', {"Content-Type": "application/json"}, "body.labels.a", None),
        (b'{"labels": {"a b": "1"}}', {"Content-Type": "application/json"}, None, None),
        (b'{"label": {}}', {"Content-Type": "application/json"}, "body.label", None),
        (b'{"name": ""}', {"Content-Type": "application/merge-patch+json"}, "body.name", None),
        (b'{"name": "a\\u0000b"}', {"Content-Type": "application/json"}, "body.name", None),
        (b'{"name": "\\ud800"}', {"Content-Type": "application/json"}, "body.name", None),
        (b"[]", {"Content-Type": "application/json"}, "body", None),
        (b"null", {"Content-Type": "application/json"}, "body", None),
        (b"", {}, "body", None),
        (b"name=x", {"Content-Type": "text/plain"}, "body", None),
    ],
)
async def test_bad_input_is_422_and_says_where(
    client: AsyncClient, content: bytes, headers: dict[str, str], loc: str | None, line: int | None
) -> None:
    """`loc` leads to the member; text that does not parse has line and column."""
    response = await client.patch(f"{GATEWAYS}/{SUPERVISED}", content=content, headers=headers)
    body = problem_of(response, 422, "invalid-input")
    place = body["errors"][0]
    assert place["message"]
    assert loc in (None, place["loc"])
    assert place["line"] == line
    assert "input" not in place


@pytest.mark.parametrize(
    "query",
    [
        "limit=0", "limit=1001", "limit=x", "status=gone", "healthy=maybe", "management_mode=both", "sort=size",
        "label=%20", "label=a%3Db%3Dc", "label=env%3Da&label=env%3Db", "q=%00", "cursor=%00", "cursor=x",
        "staus=online",
    ],
)  # fmt: skip
async def test_bad_filters_are_422(client: AsyncClient, query: str) -> None:
    """A filter that does not exist too: a typo must not list the whole fleet."""
    problem_of(await client.get(f"{GATEWAYS}?{query}"), 422, "invalid-input")


async def test_a_body_that_is_no_text_is_400(client: AsyncClient) -> None:
    """It is neither JSON nor a failure of ours."""
    response = await client.patch(
        f"{GATEWAYS}/{SUPERVISED}", content=b'{"name": "\xff"}', headers={"Content-Type": "application/json"}
    )
    problem_of(response, 400, "bad-request")


async def test_a_body_nested_without_end_is_no_failure(client: AsyncClient) -> None:
    """The JSON reader's own limit holds."""
    content = b'{"a":' * 800
    response = await client.patch(
        f"{GATEWAYS}/{SUPERVISED}", content=content, headers={"Content-Type": "application/json"}
    )
    assert response.status_code in (400, 422)


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_over_the_limit_is_413(client: AsyncClient, chunked: bool) -> None:
    """Announced or not."""

    async def chunks() -> Any:
        for _ in range(8):
            yield b" " * 1000

    response = await client.post(
        f"/api/v1/supervisor/ui/agents/{SUPERVISED}/config",
        content=chunks() if chunked else b" " * 8000,
        headers={"Content-Type": "application/json"},
    )
    problem_of(response, 413, "too-large")


@pytest.mark.parametrize(
    ("owner", "method", "path"),
    [
        ("agent-registry", "GET", GATEWAYS),
        ("agent-registry", "GET", f"{GATEWAYS}/{SUPERVISED}/health"),
        ("agent-registry", "GET", "/api/v1/fleet/summary"),
        ("config-push", "GET", f"{GATEWAYS}/{SUPERVISED}/config"),
        ("config-push", "GET", "/api/v1/deliveries/d"),
        ("supervisor-control", "GET", f"/api/v1/supervisor/agents/{SUPERVISED}/logs"),
        ("supervisor-control", "POST", f"/api/v1/supervisor/agents/{SUPERVISED}/restart"),
        ("supervisor-control", "GET", "/api/v1/commands/c"),
    ],
)
async def test_an_owner_that_does_not_answer_is_503_and_named(
    client: AsyncClient, owners: MemoryOwners, owner: str, method: str, path: str
) -> None:
    """The client may try again."""
    owners.down.add(owner)
    response = await client.request(method, path)
    assert problem_of(response, 503, "unavailable")["service"] == owner
    assert response.headers["retry-after"] == "1"


async def test_an_owner_that_does_not_know_the_agent_yet_is_503(client: AsyncClient, owners: MemoryOwners) -> None:
    """Each owner reads the reports at its own pace; what the registry knows is not "not found"."""
    owners.supervisors.clear()
    response = await client.get(f"/api/v1/supervisor/agents/{SUPERVISED}/status")
    assert "Try again" in problem_of(response, 503, "unavailable")["detail"]


@pytest.mark.parametrize("error", [RuntimeError("a secret"), FlowGateError("a secret")])
async def test_a_failure_is_500_without_its_inside(client: AsyncClient, owners: MemoryOwners, error: Exception) -> None:
    """The request id leads to the log, which has the rest."""

    async def broken(request: object) -> Any:
        raise error

    owners.list_gateways = broken  # type: ignore[method-assign]
    with structlog.testing.capture_logs() as logs:
        response = await client.get(GATEWAYS)
    problem_of(response, 500, "internal")
    assert "secret" not in response.text
    failed = next(entry for entry in logs if entry["event"] == "request.failed")
    assert failed.get("exc_info") or failed["error"] == "a secret"


async def test_a_request_id_is_kept_when_it_is_harmless(client: AsyncClient) -> None:
    """So that a caller finds its requests in the log; anything else could write into it."""
    kept = await client.get("/nothing", headers={"X-Request-Id": "caller-7.x"})
    assert kept.json()["request_id"] == "caller-7.x"
    other = await client.get("/nothing", headers={"X-Request-Id": "a b"})
    assert other.json()["request_id"] == other.headers["x-request-id"] != "a b"


async def test_answers_are_not_stored_on_the_way(client: AsyncClient) -> None:
    """They are private, and old after a second."""
    assert (await client.get(GATEWAYS)).headers["cache-control"] == "no-store"


async def test_many_requests_at_once_keep_their_ids(client: AsyncClient) -> None:
    """Nothing is shared between requests."""
    answers = await asyncio.gather(
        *(client.get("/nothing", headers={"X-Request-Id": str(number)}) for number in range(50))
    )
    assert [answer.json()["request_id"] for answer in answers] == [str(number) for number in range(50)]


def test_openapi_describes_every_refusal_as_a_problem(app: FastAPI) -> None:
    """Every operation has an id, a tag, a summary, problem documents, and no HTTPValidationError."""
    document = app.openapi()
    assert "HTTPValidationError" not in str(document)
    names = {"Problem", *(f"Agent{part}Response" for part in ("Health", "Version", "Config", "Status"))}
    assert names <= set(document["components"]["schemas"])
    operations = [operation for path in document["paths"].values() for operation in path.values()]
    assert len({operation["operationId"] for operation in operations}) == len(operations)
    for operation in operations:
        assert operation["tags"]
        assert operation["description"]
        assert "401" in operation["responses"]
        for status, response in operation["responses"].items():
            if int(status) >= 400:
                assert response["content"].keys() == {"application/problem+json"}, operation["operationId"]
