"""The REST API as the commands use it: one call each, errors in the words of its problem documents."""

import json
import time
from collections.abc import Iterator, Sequence
from typing import Any
from uuid import UUID

import httpx2

from flowgate_cli.connection import Connection
from flowgate_cli.errors import CommandError

FAILED, NOT_FOUND, REFUSED, OTHERWISE = 1, 3, 4, 5  # exit codes; 2 is wrong usage
PAGE = 1000  # gateways a request
FINISHED = {"applied", "failed", "superseded", "completed", "expired"}
STREAM_SECONDS = 40.0  # without a word, though a comment comes every 15 s
STREAM_TRIES = 10  # in a row
FIRST_PAUSE, MAX_PAUSE = 0.1, 1.0  # seconds between two looks at a delivery or command

Json = dict[str, Any]


class Api:
    """A FlowGate, asked over HTTP."""

    def __init__(self, connection: Connection, transport: httpx2.BaseTransport | None = None) -> None:
        self._url = connection.api_url
        headers = {"Authorization": f"Bearer {connection.admin_token}"} if connection.admin_token else {}
        self._client = httpx2.Client(base_url=connection.api_url, headers=headers, timeout=30.0, transport=transport)

    def __enter__(self) -> "Api":
        return self

    def __exit__(self, *exc: object) -> None:
        self._client.close()

    def call(self, method: str, path: str, **options: Any) -> Json:
        """Call `/api/v1{path}` and return the body of the answer.

        Raises:
            CommandError: the API cannot be reached, or refuses; with its own words and an exit code for the kind.
        """
        try:
            answer = self._client.request(method, f"/api/v1{path}", **options)
        except httpx2.HTTPError as error:
            raise CommandError(f"no answer from {self._url} ({error}); is `flowgate up` running?") from None
        if answer.is_success:
            try:
                body = answer.json() if answer.content else {}
            except ValueError:
                body = None
            if isinstance(body, dict):
                return body
            raise CommandError(f"{self._url} does not answer like FlowGate")
        raise _refusal(answer)

    def gateways(self, filters: Json, limit: int) -> Json:
        """Up to `limit` gateways over as many pages as it takes: `{items, next_cursor, total}`."""
        items: list[Json] = []
        page: Json = {"next_cursor": None, "total": 0}
        cursor: str | None = ""
        while cursor is not None and len(items) < limit:
            more = {"cursor": cursor} if cursor else {}
            page = self.call("GET", "/gateways", params={**filters, "limit": min(PAGE, limit - len(items)), **more})
            items += page["items"]
            cursor = page["next_cursor"]
        return {"items": items, "next_cursor": page["next_cursor"], "total": page["total"]}

    def find(self, wanted: str) -> Json:
        """The gateway with this gateway_id, instance_id, name, or beginning of an id.

        Raises:
            CommandError: there is none, or more than one.
        """
        try:
            return self.call("GET", f"/gateways/{UUID(wanted)}")
        except ValueError:
            found = [one for one in self.gateways({"q": wanted}, PAGE)["items"] if _is_called(one, wanted)]
        exact = [one for one in found if one["name"] == wanted]
        found = exact or found
        if len(found) == 1:
            one: Json = found[0]
            return one
        if not found:
            raise CommandError(f"no agent is called {wanted!r}; see `flowgate agents list`", NOT_FOUND)
        ids = ", ".join(one["instance_id"] for one in found[:5])
        raise CommandError(f"{len(found)} agents are called {wanted!r}; use an id: {ids}", NOT_FOUND)

    def follow(self, path: str, seconds: float) -> Iterator[Json]:
        """A delivery or command each time that its state changes, until it is finished.

        Raises:
            CommandError: it is not finished after so many seconds.
        """
        deadline, pause, last = time.monotonic() + seconds, FIRST_PAUSE, None
        while True:
            body = self.call("GET", path)
            if body["state"] != last:
                last, pause = body["state"], FIRST_PAUSE
                yield body
            if last in FINISHED:
                return
            if time.monotonic() + pause > deadline:
                raise CommandError(f"still {last} after {seconds:g} s; it goes on by itself", OTHERWISE)
            time.sleep(pause)
            pause = min(pause * 1.5, MAX_PAUSE)

    def progress(self, path: str) -> Iterator[Json]:
        """What a stream of progress says, until it says that it is over.

        Raises:
            CommandError: as `stream`.
        """
        for body in self.stream(path):
            yield body
            if body["is_over"]:
                return

    def stream(self, path: str, params: Json | None = None) -> Iterator[Json]:
        """What a stream of events says, without end; comes back behind the last one when the stream breaks off.

        Raises:
            CommandError: the API cannot be reached any more, or refuses.
        """
        failures, last = 0, ""
        while True:
            headers = {"Last-Event-ID": last} if last else {}
            options: Json = {"params": params, "headers": headers, "timeout": STREAM_SECONDS}
            try:
                with self._client.stream("GET", f"/api/v1{path}", **options) as answer:
                    if not answer.is_success:
                        answer.read()
                        if answer.status_code != 503 or failures >= STREAM_TRIES:
                            raise _refusal(answer)
                        failures += 1
                    following = last
                    for line in answer.iter_lines():
                        if line.startswith("id:"):
                            following = line.removeprefix("id:").strip()
                        elif line.startswith("data:"):
                            failures = 0
                            body: Json = json.loads(line.removeprefix("data:"))
                            yield body
                        elif not line:
                            last = following
            except httpx2.HTTPError as error:
                failures += 1
                if failures > STREAM_TRIES:
                    raise CommandError(f"no answer from {self._url} ({error}); is `flowgate up` running?") from None
            time.sleep(MAX_PAUSE)


def _is_called(gateway: Json, wanted: str) -> bool:
    ids = (gateway["gateway_id"], gateway["instance_id"])
    return gateway["name"] == wanted or any(one.startswith(wanted.lower()) for one in ids)


def _refusal(answer: httpx2.Response) -> CommandError:
    try:
        problem = answer.json()
        detail = str(problem.get("detail") or problem.get("title"))
    except (ValueError, AttributeError):
        return CommandError(f"{answer.request.url} answered {answer.status_code}")
    if answer.status_code == 401:
        return CommandError("the API does not take this token: check FLOWGATE_TOKEN or --data-dir")
    if answer.status_code == 422:
        return CommandError(detail + _places(problem.get("errors") or [], detail), REFUSED)
    return CommandError(detail, {404: NOT_FOUND, 409: REFUSED}.get(answer.status_code, FAILED))


def _places(errors: Sequence[Json], detail: str) -> str:
    lines = []
    for error in errors:
        where = ", ".join(f"{name} {error[name]}" for name in ("line", "column") if error.get(name))
        text = str(error.get("message", ""))
        if text and text not in detail:
            lines.append(f"\n  {where + ': ' if where else ''}{text}")
    return "".join(lines)
