"""The REST API as the commands use it."""

import json
from collections.abc import Callable

import httpx2
import pytest

from flowgate_cli.api import FAILED, NOT_FOUND, OTHERWISE, REFUSED, Api
from flowgate_cli.connection import Connection
from flowgate_cli.errors import CommandError
from flowgate_cli.logs import latest

GATEWAY = {
    "gateway_id": "5c0d5d43-0d0e-4f53-9d0e-2f5ad1d6a2b1",
    "instance_id": "0198e4b0-7c1d-7a3e-9f00-0000000000a7",
    "name": "collector@edge-7",
}


def api(answer: Callable[[httpx2.Request], httpx2.Response]) -> Api:
    connection = Connection(api_url="http://flowgate", admin_token="fga_x")
    return Api(connection, httpx2.MockTransport(answer))


def problem(status: int, **fields: object) -> Callable[[httpx2.Request], httpx2.Response]:
    return lambda _: httpx2.Response(status, json={"title": "No", "detail": "because", **fields})


def test_the_token_goes_along():
    seen: list[str] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        seen.append(request.headers["Authorization"])
        return httpx2.Response(200, json={})

    with api(answer) as client:
        client.call("GET", "/fleet/summary")
    assert seen == ["Bearer fga_x"]


@pytest.mark.parametrize(("status", "code"), [(404, NOT_FOUND), (409, REFUSED), (422, REFUSED), (503, FAILED)])
def test_a_problem_is_told_in_its_own_words(status: int, code: int):
    with api(problem(status)) as client, pytest.raises(CommandError, match="because") as caught:
        client.call("GET", "/x")
    assert caught.value.exit_code == code


def test_invalid_input_says_where_once():
    errors = [{"message": "because", "line": 2, "column": 3}, {"message": "and this", "line": 4, "column": None}]
    with api(problem(422, errors=errors)) as client, pytest.raises(CommandError) as caught:
        client.call("GET", "/x")
    assert str(caught.value) == "because\n  line 4: and this"


def test_a_wrong_token_says_what_to_check():
    with api(problem(401)) as client, pytest.raises(CommandError, match="FLOWGATE_TOKEN"):
        client.call("GET", "/x")


def test_nobody_there_says_so():
    def answer(request: httpx2.Request) -> httpx2.Response:
        raise httpx2.ConnectError("refused", request=request)

    with api(answer) as client, pytest.raises(CommandError, match="is `flowgate up` running"):
        client.call("GET", "/x")


@pytest.mark.parametrize("body", [b"<html>", b"[1]"])
def test_an_answer_that_is_not_flowgates_is_refused(body: bytes):
    with (
        api(lambda _: httpx2.Response(200, content=body)) as client,
        pytest.raises(CommandError, match="not answer like"),
    ):
        client.call("GET", "/x")


def test_pages_are_put_together_up_to_the_limit():
    """As many requests as it takes, each by the cursor of the one before."""
    asked: list[dict[str, str]] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        params = dict(request.url.params)
        asked.append(params)
        number = int(params.get("cursor", "0"))
        items = [{"name": f"{number}-{n}"} for n in range(int(params["limit"]))]
        return httpx2.Response(200, json={"items": items, "next_cursor": str(number + 1), "total": 9000})

    with api(answer) as client:
        page = client.gateways({"sort": "name"}, 1500)
    assert [one["limit"] for one in asked] == ["1000", "500"]
    assert (len(page["items"]), page["total"], page["next_cursor"]) == (1500, 9000, "2")


@pytest.mark.parametrize(
    "wanted", ["collector@edge-7", "0198e4b0", "5c0d5d43-0d0e", "0198E4B0-7C1D-7A3E-9F00-0000000000A7"]
)
def test_an_agent_is_found_by_name_id_or_its_beginning(wanted: str):
    def answer(request: httpx2.Request) -> httpx2.Response:
        if request.url.path == f"/api/v1/gateways/{GATEWAY['instance_id']}":
            return httpx2.Response(200, json=GATEWAY)
        others = [{**GATEWAY, "name": "other 0198e4b0", "instance_id": "7", "gateway_id": "8"}]
        return httpx2.Response(200, json={"items": [GATEWAY, *others], "next_cursor": None, "total": 2})

    with api(answer) as client:
        assert client.find(wanted) == GATEWAY


def test_an_ambiguous_name_lists_the_ids():
    page = {"items": [GATEWAY, {**GATEWAY, "instance_id": "0198e4b0-other"}], "next_cursor": None, "total": 2}
    with (
        api(lambda _: httpx2.Response(200, json=page)) as client,
        pytest.raises(CommandError, match=r"2 agents are called .* 0198e4b0-other"),
    ):
        client.find("0198e4b0")


def test_following_gives_each_state_once_until_the_end():
    states = iter(["pending", "pending", "offered", "applied"])
    with api(lambda _: httpx2.Response(200, json={"state": next(states)})) as client:
        assert [one["state"] for one in client.follow("/deliveries/x", 10)] == ["pending", "offered", "applied"]


def test_following_ends_in_time():
    with (
        api(lambda _: httpx2.Response(200, json={"state": "pending"})) as client,
        pytest.raises(CommandError, match="still pending") as caught,
    ):
        list(client.follow("/deliveries/x", 0.05))
    assert caught.value.exit_code == OTHERWISE


def test_the_answer_of_a_deletion_has_no_body():
    with api(lambda _: httpx2.Response(204)) as client:
        assert client.call("DELETE", "/gateways/x") == {}


def test_requests_are_json():
    seen: list[object] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        seen.append(json.loads(request.content))
        return httpx2.Response(202, json={})

    with api(answer) as client:
        client.call("POST", "/x", json={"config": "a: 1\n"})
    assert seen == [{"config": "a: 1\n"}]


def test_a_stream_goes_on_behind_the_last_event_seen(monkeypatch: pytest.MonkeyPatch):
    """When it breaks off, also in the middle of an event."""
    monkeypatch.setattr("flowgate_cli.api.MAX_PAUSE", 0.01)
    asked: list[str | None] = []
    answers = ["id: 1\n: connected\n\n", 'id: 2\ndata: {"n": 1}\n\nid: 3\n', 'id: 3\ndata: {"n": 2}\n\n']

    def answer(request: httpx2.Request) -> httpx2.Response:
        asked.append(request.headers.get("Last-Event-ID"))
        return httpx2.Response(200, text=answers[len(asked) - 1])

    with api(answer) as client:
        events = client.stream("/x", {"source": "collector"})
        assert [next(events), next(events)] == [{"n": 1}, {"n": 2}]
    assert asked == [None, "1", "2"]


def test_logs_are_fetched_over_as_many_pages_as_it_takes():
    """A page may be empty and lead on."""
    pages = [{"items": [], "next_cursor": "a"}, {"items": [{"n": 1}], "next_cursor": "b"}, {"items": [{"n": 2}]}]
    asked: list[dict[str, str]] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        asked.append(dict(request.url.params))
        return httpx2.Response(200, json={"next_cursor": None, **pages[len(asked) - 1]})

    with api(answer) as client:
        assert latest(client, "/x", {"q": "rare"}, 5) == [{"n": 1}, {"n": 2}]
    assert asked[1:] == [{"q": "rare", "limit": "5", "cursor": "a"}, {"q": "rare", "limit": "4", "cursor": "b"}]
