"""A fleet that reports, people who ask the API, and the books over both."""

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Coroutine
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

import httpx2
import nats
from counting import CountingAgent

from flowgate.agent.v1 import events_pb2 as agent_facts
from flowkit import contracts

Value = TypeVar("Value")

AGENTS = 300
PAUSE = (3.0, 5.0)  # seconds between two reports of an agent; with copies on three servers, two cores have their fill
ASK_SECONDS = 0.1  # between two requests of one client
SHOWN_SECONDS = 0.5  # between two looks at who is shown offline
SETTLED_SECONDS = 3.0  # from the first answer on a connection until the agent has to be shown online


@dataclass(frozen=True)
class Figures:
    """What has happened up to now, or in a time."""

    seconds: float
    answered: int
    refused: int
    connections: int
    full_states: int
    shown_offline: int
    wrongly_offline: int
    api_requests: int
    api_failed: int

    def __sub__(self, other: "Figures") -> "Figures":
        mine, others = asdict(self), asdict(other)
        return Figures(**{name: mine[name] - others[name] for name in mine})


class Load:
    """Agents and askers on a thread of their own, until it is left."""

    def __init__(self, agents: int, opamp_url: str, api_url: str, tokens: dict[str, str], bus_urls: list[str]) -> None:
        headers = {"Authorization": f"Bearer {tokens['enrollment-token']}"}
        self.agents = [CountingAgent(number, [opamp_url], headers, PAUSE) for number in range(agents)]
        self.failures: list[str] = []
        self.shown_offline: set[tuple[int, str]] = set()
        self.wrongly_offline: set[tuple[int, str]] = set()
        self.offline_times: list[float] = []
        self.books = Books(bus_urls)
        self._api = f"{api_url}/api/v1"
        self._headers = {"Authorization": f"Bearer {tokens['admin-token']}"}
        self._requests = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._stop = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    def __enter__(self) -> "Load":
        self._thread.start()
        self.run(self._start())
        return self

    def __exit__(self, *exc: object) -> None:
        self.run(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def run(self, work: Coroutine[Any, Any, Value], seconds: float = 180.0) -> Value:
        """Run something on the thread of the load and wait for it."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(seconds)

    def figures(self) -> Figures:
        """Everything up to now."""
        return Figures(
            time.monotonic(),
            sum(len(agent.answered) for agent in self.agents),
            sum(agent.refused for agent in self.agents),
            sum(agent.connections for agent in self.agents),
            sum(agent.full_states for agent in self.agents),
            len(self.shown_offline),
            len(self.wrongly_offline),
            self._requests,
            len(self.failures),
        )

    def all_report(self, seconds: float = 60.0) -> None:
        """Wait until each agent has had two more answers."""
        before = [len(agent.answered) for agent in self.agents]
        deadline = time.monotonic() + seconds
        while waiting := [
            str(agent.uid) for agent, many in zip(self.agents, before, strict=True) if len(agent.answered) < many + 2
        ]:
            assert time.monotonic() < deadline, f"{len(waiting)} agents have no answers, {waiting[0]} among them"
            time.sleep(0.1)

    def set_pause(self, pause: tuple[float, float]) -> None:
        """Report more or less often."""
        for agent in self.agents:
            agent.pause = pause

    def ask(self, method: str, path: str, **options: Any) -> Any:
        """One request of the API; its JSON.

        Raises:
            AssertionError: the answer is no success.
        """
        with httpx2.Client(headers=self._headers, timeout=10) as client:
            answer = client.request(method, f"{self._api}{path}", **options)
        assert answer.status_code < 300, answer.text
        return answer.json()

    async def _start(self) -> None:
        work = [agent.run(self._stop) for agent in self.agents]
        work += [self._asks(is_kept) for is_kept in (True, False)] + [self._looks()]
        self._tasks = [asyncio.create_task(one) for one in work]

    async def _end(self) -> None:
        self._stop.set()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _asks(self, is_kept: bool) -> None:
        """Ask again and again, on one kept connection or on a new one each time."""
        client = httpx2.AsyncClient(headers=self._headers, timeout=10)
        path = "/gateways?limit=20" if is_kept else "/fleet/summary"
        while not self._stop.is_set():
            self._requests += 1
            try:
                answer = await client.get(f"{self._api}{path}")
                if answer.status_code != 200:
                    self._failed(path, f"{answer.status_code} {answer.text[:200]}")
            except httpx2.HTTPError as error:
                self._failed(path, repr(error))
            if not is_kept:
                await client.aclose()
                client = httpx2.AsyncClient(headers=self._headers, timeout=10)
            await asyncio.sleep(ASK_SECONDS)
        await client.aclose()

    def _failed(self, path: str, why: str) -> None:
        self.failures.append(f"{time.strftime('%T')} {path}: {why}")

    async def _looks(self) -> None:
        """Remember who is shown offline, once for each time that it begins; wrongly when its present connection is
        older than a moment."""
        ours = {str(agent.uid): agent for agent in self.agents}
        before: set[str] = set()
        before_wrong: set[str] = set()
        since: dict[str, float] = {}
        async with httpx2.AsyncClient(headers=self._headers, timeout=10) as client:
            while not self._stop.is_set():
                settled = time.monotonic() - SETTLED_SECONDS
                steady = {uid for uid, agent in ours.items() if agent.answered_at and agent.answered_at < settled}
                try:
                    answer = await client.get(f"{self._api}/gateways?status=offline&limit=500")
                    if answer.status_code == 200:
                        now = {item["instance_id"] for item in answer.json()["items"]} & ours.keys()
                        wrong = now & steady
                        self.shown_offline |= {(int(time.time()), uid) for uid in now - before}
                        self.wrongly_offline |= {(int(time.time()), uid) for uid in wrong - before_wrong}
                        self.offline_times += [time.monotonic() - since.pop(uid) for uid in before - now]
                        since |= dict.fromkeys(now - before, time.monotonic())
                        before, before_wrong = now, wrong
                except httpx2.HTTPError:
                    pass  # those who ask count failures
                await asyncio.sleep(SHOWN_SECONDS)


class Books:
    """What the fleet's history says about each report, read on from where it was."""

    def __init__(self, urls: list[str]) -> None:
        self._urls = urls
        self._after = 0
        self._ids: Counter[str] = Counter()
        self._told: Counter[tuple[str, str]] = Counter()

    async def missing(self, agents: list[CountingAgent]) -> set[tuple[str, str]]:
        """Reports that are answered and in no fact yet."""
        answered = {(str(agent.uid), str(number)) for agent in agents for number in agent.answered}
        await self._read()
        return answered - self._told.keys()

    @property
    def doubled(self) -> int:
        """Facts that are there twice: by their id, or by what they say."""
        return sum(many - 1 for counts in (self._ids, self._told) for many in counts.values() if many > 1)

    async def _read(self) -> None:
        connection = await nats.connect(self._urls, connect_timeout=5)
        try:
            jetstream = connection.jetstream(timeout=10)
            last = (await jetstream.stream_info("AGENT_EVENTS")).state.last_seq
            subject = contracts.streams()["AGENT_EVENTS"].subjects[0]
            if last <= self._after:
                return
            config = nats.js.api.ConsumerConfig(
                deliver_policy=nats.js.api.DeliverPolicy.BY_START_SEQUENCE, opt_start_seq=self._after + 1
            )
            subscription = await jetstream.subscribe(
                subject, ordered_consumer=True, config=config, pending_msgs_limit=-1, pending_bytes_limit=-1
            )
            while self._after < last:
                message = await subscription.next_msg(timeout=20)
                assert message.headers is not None
                self._ids[message.headers["ce-id"]] += 1
                fact = contracts.decode_event(message.subject, message.data)
                if isinstance(fact, agent_facts.AgentHealthChanged) and fact.last_error.isdigit():
                    self._told[fact.instance_uid, fact.last_error] += 1
                self._after = message.metadata.sequence.stream
            await subscription.unsubscribe()
        finally:
            await connection.close()
