"""Streams end with the session that opened them, other answers by themselves."""

import asyncio
import time

import pytest
from starlette.types import Message, Receive, Scope, Send

from api_gateway.session_streams import SessionStreams
from api_gateway.sessions import Session

SCOPE: Scope = {"type": "http"}


async def receive() -> Message:
    """Nothing comes from the client."""
    await asyncio.Event().wait()
    raise AssertionError


def session(seconds: float) -> Session:
    """One that ends then."""
    return Session(time.time() + seconds, "s", "csrf")  # type: ignore[arg-type]


class Answer:
    """An application that answers by a stream without end, or slowly by JSON."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.sent: list[Message] = []
        self.is_closed = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", self.kind.encode())]})
        try:
            if self.kind == "application/json":
                await asyncio.sleep(0.3)
                await send({"type": "http.response.body", "body": b"{}"})
                return
            while True:
                await send({"type": "http.response.body", "body": b": \n\n", "more_body": True})
                await asyncio.sleep(0.01)
        finally:
            self.is_closed = True

    async def send(self, message: Message) -> None:
        """What the client gets."""
        self.sent.append(message)


async def test_a_stream_ends_at_the_end_of_its_session() -> None:
    """Whole, as a stream that the server has ended; what makes it is closed."""
    answer = Answer("text/event-stream; charset=utf-8")
    began = time.monotonic()
    await SessionStreams().run(answer, session(0.2), SCOPE, receive, answer.send)
    assert 0.15 < time.monotonic() - began < 5
    assert answer.sent[-1] == {"type": "http.response.body", "body": b"", "more_body": False}
    assert answer.is_closed


async def test_streams_of_a_session_end_when_somebody_signs_out() -> None:
    """All of that session, none of another."""
    streams = SessionStreams()
    answers = [Answer("text/event-stream") for _ in range(3)]
    sessions = [session(60), session(60), Session(int(time.time()) + 60, "other", "csrf")]
    running = [
        asyncio.create_task(streams.run(answer, one, SCOPE, receive, answer.send))
        for answer, one in zip(answers, sessions, strict=True)
    ]
    await asyncio.sleep(0.05)
    await streams.end(sessions[0])
    async with asyncio.timeout(5):
        await asyncio.gather(*running[:2])
    assert not running[2].done()
    running[2].cancel()
    with pytest.raises(asyncio.CancelledError):
        await running[2]


async def test_an_answer_that_is_no_stream_is_not_cut() -> None:
    """Whoever asked in time gets it whole."""
    answer = Answer("application/json")
    await SessionStreams().run(answer, session(0.05), SCOPE, receive, answer.send)
    assert answer.sent[-1]["body"] == b"{}"


async def test_a_failure_by_time_within_is_no_end_of_the_session() -> None:
    """It goes on to whoever handles failures."""

    async def fails(scope: Scope, receive: Receive, send: Send) -> None:
        raise TimeoutError("of its own")

    with pytest.raises(TimeoutError, match="of its own"):
        await SessionStreams().run(fails, session(60), SCOPE, receive, Answer("").send)
