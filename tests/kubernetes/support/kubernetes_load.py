"""A fleet that reports, people who ask and change it by the API, a listener, and the books over all."""

import asyncio
import itertools
import json
import threading
import time
from collections import Counter
from collections.abc import Coroutine, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import asdict, dataclass
from typing import Any, TypeVar
from urllib.parse import urlsplit

import httpx2
import nats
from counting import CountingAgent
from nats.aio.client import Client

from flowgate.agent.v1 import events_pb2 as agent_facts
from flowgate.config.v1 import events_pb2 as config_facts
from flowkit import contracts, tasks

Value = TypeVar("Value")

AGENTS = 300
PAUSE = (5.0, 9.0)  # seconds between two reports of an agent; with copies on three servers, two cores have their fill
ASK_SECONDS = 0.15  # between two requests of one client
CHANGE_SECONDS = 0.75  # between two changes: a configuration, labels
REFUSED = 60  # requests every 10 ms that a gateway only refuses: a tenth of a core or more
SHOWN_SECONDS = 0.5  # between two looks at who is shown offline
LISTEN_SECONDS = 30.0  # without a line; a comment comes every 15 s
SETTLED_SECONDS = 3.0  # from the first answer on a connection until the agent has to be shown online


STREAMS = ("AGENT_EVENTS", "CONFIG_EVENTS", "SUPERVISOR_EVENTS")
ENDED = (
    config_facts.DELIVERY_STATE_APPLIED,
    config_facts.DELIVERY_STATE_FAILED,
    config_facts.DELIVERY_STATE_SUPERSEDED,
)


@dataclass(frozen=True)
class Missing:
    """What has not got where it belongs.

    Attributes:
        reports: answered and in no fact, by agent and number.
        orders: configurations that were taken and have no outcome, by delivery.
        events: facts that the listener has not heard, by id.
    """

    reports: set[tuple[str, str]]
    orders: set[str]
    events: set[str]

    def __and__(self, other: "Missing") -> "Missing":
        return Missing(self.reports & other.reports, self.orders & other.orders, self.events & other.events)

    def __bool__(self) -> bool:
        return bool(self.reports or self.orders or self.events)


def doubled(counts: Counter[Any]) -> list[object]:
    """What is there more than once, each time but the first."""
    return [key for key, many in counts.items() for _ in range(many - 1)]


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
        self._opamp_url = opamp_url
        self._agent_headers = {"Authorization": f"Bearer {tokens['enrollment-token']}"}
        self.agents = [CountingAgent(n, [opamp_url], self._agent_headers, PAUSE) for n in range(agents)]
        self.failures: list[str] = []
        self.shown_offline: set[tuple[int, str]] = set()
        self.wrongly_offline: set[tuple[int, str]] = set()
        self.offline_times: list[float] = []
        self.ordered: set[str] = set()
        self.heard: Counter[str] = Counter()
        self._listens = asyncio.Event()
        self.books = Books(bus_urls)
        self.api_url = api_url
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

    async def doubled(self) -> list[object]:
        """Facts on the bus, and what the listener heard, that are there more than once; on the thread that counts."""
        return self.books.doubled + doubled(self.heard)

    def all_report(self, seconds: float = 90.0) -> None:
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

    @contextmanager
    def refused_requests(self) -> Iterator[None]:
        """Meanwhile, requests that a gateway refuses: work for it, and for nobody behind it."""
        asking = asyncio.run_coroutine_threadsafe(self._refused(), self._loop)
        try:
            yield
        finally:
            asking.cancel()

    async def _refused(self) -> None:
        parts = urlsplit(self._opamp_url)
        head = f"GET {parts.path} HTTP/1.1\r\nhost: {parts.netloc}\r\n"
        request = f"{head}authorization: {self._agent_headers['Authorization']}\r\n\r\n".encode()
        while True:
            with suppress(OSError):
                reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
                with closing(writer):
                    while not reader.at_eof():
                        writer.write(request * REFUSED)
                        await reader.read(2**20)
                        await asyncio.sleep(0.01)
            await asyncio.sleep(0.1)

    def ask(self, method: str, path: str, **options: Any) -> Any:
        """One request of the API; its JSON.

        Raises:
            AssertionError: the answer is no success.
        """
        with httpx2.Client(headers=self._headers, timeout=10) as client:
            answer = client.request(method, f"{self.api_url}/api/v1{path}", **options)
        assert answer.status_code < 300, answer.text
        return answer.json()

    async def _start(self) -> None:
        self._listener = asyncio.create_task(self._listen())
        async with asyncio.timeout(LISTEN_SECONDS):
            await self._listens.wait()
        work = [agent.run(self._stop) for agent in self.agents]
        work += [self._asks(is_kept) for is_kept in (True, False)] + [self._looks()]
        self._tasks = [asyncio.create_task(one) for one in work]

    async def _end(self) -> None:
        self._stop.set()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await tasks.cancel(self._listener)

    def change(self) -> None:
        """Begin to change agents, when all are known."""
        self._loop.call_soon_threadsafe(lambda: self._tasks.append(self._loop.create_task(self._changes())))

    async def _asks(self, is_kept: bool) -> None:
        """Ask again and again, on one kept connection or on a new one each time."""
        client = httpx2.AsyncClient(headers=self._headers, timeout=10)
        path = "/ui/agents?limit=20" if is_kept else "/fleet/summary"
        while not self._stop.is_set():
            await self._request(client, "GET", path)
            if not is_kept:
                await client.aclose()
                client = httpx2.AsyncClient(headers=self._headers, timeout=10)
            await asyncio.sleep(ASK_SECONDS)
        await client.aclose()

    async def _changes(self) -> None:
        """Give configurations and labels to one agent after the other, on a kept connection."""
        async with httpx2.AsyncClient(headers=self._headers, timeout=10) as client:
            for number in itertools.count():
                uid = self.agents[number % len(self.agents)].uid
                if self._stop.is_set():
                    break
                if number % 2:
                    await self._request(client, "PATCH", f"/gateways/{uid}", json={"labels": {"turn": str(number)}})
                else:
                    order = {"config": f"receivers: {{nop: {{}}}} # {number}\n"}
                    taken = await self._request(client, "POST", f"/supervisor/ui/agents/{uid}/config", json=order)
                    self.ordered |= {taken["delivery_id"]} if taken else set()
                await asyncio.sleep(CHANGE_SECONDS)

    async def _request(
        self, client: httpx2.AsyncClient, method: str, path: str, **options: Any
    ) -> dict[str, Any] | None:
        """One request; anything but the whole answer is a failure."""
        self._requests += 1
        try:
            answer = await client.request(method, f"{self.api_url}/api/v1{path}", **options)
        except httpx2.HTTPError as error:
            self._failed(path, repr(error))
            return None
        said: dict[str, Any] = answer.json() if answer.status_code < 300 else {}
        if answer.status_code >= 300 or said.get("partial"):
            self._failed(path, f"{answer.status_code} {answer.text[:200]}")
        return said or None

    async def _listen(self) -> None:
        """Hear every event, and go on by Last-Event-ID where a stream ends."""
        place: dict[str, str] = {}
        async with httpx2.AsyncClient(headers=self._headers, timeout=LISTEN_SECONDS) as client:
            while True:
                try:
                    async with client.stream("GET", f"{self.api_url}/api/v1/events", headers=place) as answer:
                        if answer.status_code != 200:
                            self._failed("/events", f"{answer.status_code}")
                        async for line in answer.aiter_lines():
                            self._listens.set()
                            name, _, value = line.partition(": ")
                            if name == "id":
                                place = {"Last-Event-ID": value}
                            elif name == "data" and "event_id" in (event := json.loads(value)):
                                self.heard[event["event_id"]] += 1
                except httpx2.HTTPError as error:
                    self._failed("/events", repr(error))
                await asyncio.sleep(ASK_SECONDS)

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
                    answer = await client.get(f"{self.api_url}/api/v1/gateways?status=offline&limit=500")
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
    """What the fleet's history says about each report and order, read on from where it was."""

    def __init__(self, urls: list[str]) -> None:
        self._urls = urls
        self._after: Counter[str] = Counter()
        self._ids: Counter[str] = Counter()
        self._told: Counter[tuple[str, str]] = Counter()
        self._ended: set[str] = set()

    async def missing(self, load: Load) -> Missing:
        """What was answered, ordered or told and has not got where it belongs yet."""
        answered = {(str(agent.uid), str(number)) for agent in load.agents for number in agent.answered}
        ordered = set(load.ordered)
        connection = await nats.connect(self._urls, connect_timeout=5)
        try:
            for stream in STREAMS:
                await self._read(connection, stream)
        finally:
            await connection.close()
        return Missing(answered - self._told.keys(), ordered - self._ended, self._ids.keys() - set(load.heard))

    @property
    def doubled(self) -> list[object]:
        """Facts that are there twice: by their id, or by what they say."""
        return doubled(self._ids) + doubled(self._told)

    async def _read(self, connection: Client, stream: str) -> None:
        jetstream = connection.jetstream(timeout=10)
        last = (await jetstream.stream_info(stream)).state.last_seq
        if last <= self._after[stream]:
            return
        config = nats.js.api.ConsumerConfig(
            deliver_policy=nats.js.api.DeliverPolicy.BY_START_SEQUENCE, opt_start_seq=self._after[stream] + 1
        )
        subscription = await jetstream.subscribe(
            contracts.streams()[stream].subjects[0],
            ordered_consumer=True,
            config=config,
            pending_msgs_limit=-1,
            pending_bytes_limit=-1,
        )
        while self._after[stream] < last:
            message = await subscription.next_msg(timeout=20)
            assert message.headers is not None
            self._ids[message.headers["ce-id"]] += 1
            fact = contracts.decode_event(message.subject, message.data)
            if isinstance(fact, agent_facts.AgentHealthChanged) and fact.last_error.isdigit():
                self._told[fact.instance_uid, fact.last_error] += 1
            elif isinstance(fact, config_facts.DeliveryStateChanged):
                self._told[fact.delivery_id, config_facts.DeliveryState.Name(fact.state)] += 1
                if fact.state in ENDED:
                    self._ended.add(fact.delivery_id)
            self._after[stream] = message.metadata.sequence.stream
        await subscription.unsubscribe()
