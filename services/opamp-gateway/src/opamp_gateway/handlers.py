"""What happens on each message of an agent and at the end of its connection.

Nothing here waits: a report is handed to the uplink together with what is needed to answer it, and it is answered
when the uplink says that it is durable. What needs more, an earlier session or the object store, goes on in a task
while the agent's next messages are held back.
"""

import asyncio
import math
import random
import time
import uuid
from collections.abc import Coroutine

from google.protobuf.message import DecodeError

from flowgate.uplink.v1 import desired_pb2, uplink_pb2
from flowkit import contracts, tokens
from flowkit.bus import Bus
from flowkit.errors import UnavailableError
from flowkit.telemetry import get_log
from opamp.v1 import opamp_pb2
from opamp_gateway import replies, session, uplink, websocket
from opamp_gateway.connections import Agent, Connections
from opamp_gateway.delivery import Delivery
from opamp_gateway.handover import Handover
from opamp_gateway.presence import Presence
from opamp_gateway.session import fields_of
from opamp_gateway.settings import OpampGatewaySettings
from opamp_gateway.transports import Link
from opamp_gateway.uplink import Uplink, Waiter

log = get_log()

_RENAME = opamp_pb2.AgentToServerFlags_RequestInstanceUid
_FULL_STATE = opamp_pb2.ServerToAgentFlags_ReportFullState
_CLOSER_LOOK = session.CONFIG_STATUS | session.COMPONENTS
_MAY_QUOTE_TOKENS = session.EFFECTIVE_CONFIG | session.CONFIG_STATUS  # collectors tell their headers in clear
_SAVE = session.FAREWELL  # verdict of a waiter without a link: the agent left, hand its session over
_MAX_HELD = 64  # messages of one agent that wait for something slow
_KNOWN_COMPONENTS = 10_000  # hashes of component lists, with the time from which they are asked for again
_ASK_COMPONENTS_EVERY = 60.0  # seconds
_STORE_SECONDS = 0.6  # for a large message to reach the object store; on a WebSocket nobody gives up after 1 s
_STORE_SECONDS_WEBSOCKET = 10.0

# Names of what every report needs: a look-up in a module costs as much as some of the work.
_parse = opamp_pb2.AgentToServer.FromString
_time_ns = time.time_ns
_STORE, _MAX_INLINE = session.STORE, uplink.MAX_INLINE


def _is_still_starting(message: opamp_pb2.AgentToServer, fields: int) -> bool:
    """A supervisor that has not heard of its collector yet: its health is there and says nothing."""
    return bool(fields & session.HEALTH) and not message.health.ByteSize()


def _runs_since(health: opamp_pb2.ComponentHealth, at: int) -> bool:
    """The collector was started after `at` (nanoseconds since 1970) and is well."""
    return health.healthy and health.start_time_unix_nano > at


class Counts:
    """Messages by what they were answered with. Those that are stored are counted by batches."""

    __slots__ = ("current", "failed", "malformed", "refused", "renamed", "restored", "stored")

    def __init__(self) -> None:
        self.stored = 0  # acknowledged when durable
        self.current = 0  # acknowledged at once: heartbeats, and what is known already
        self.refused = 0  # UNAVAILABLE
        self.malformed = 0  # bad request
        self.renamed = 0  # another uid
        self.failed = 0  # internal error
        self.restored = 0  # sessions that went on where another replica had left them


class Handlers:
    """The application above the transports; see `transports.Application`."""

    def __init__(
        self,
        settings: OpampGatewaySettings,
        bus: Bus,
        connections: Connections,
        to_bus: Uplink,
        delivery: Delivery,
        presence: Presence,
        handover: Handover,
    ) -> None:
        self._settings = settings
        self._bus = bus
        self._connections = connections
        self._uplink = to_bus
        self._report = to_bus.report
        self._delivery = delivery
        self._answer = delivery.answer
        self._presence = presence
        self._handover = handover
        self.is_draining = False
        self._loop = asyncio.get_running_loop()
        self._now = self._loop.time
        self._tasks: set[asyncio.Task[None]] = set()
        self._components: dict[bytes, float] = {}
        self.counts = Counts()

    # -- from the transports

    def message(self, link: Link, data: bytes) -> None:
        """A serialized AgentToServer: answered once, whatever becomes of it."""
        uid = b""
        try:
            message = _parse(data)
            uid = message.instance_uid
            agent = link.agent
            if agent is None or agent.uid != uid:
                if len(uid) != 16:
                    self.malformed(link, f"instance_uid has {len(uid)} bytes instead of 16")
                    return
                agent = self._connections.on(link, uid)
            if message.flags & _RENAME:
                self._agent_asks_for_uid(link, uid, agent)
            elif agent is None:
                if link.is_open:
                    self._agent_arrives(link, message, data)
            elif agent.held is None:
                self._agent_reported(link, agent, message, data)
            elif len(agent.held) < _MAX_HELD:
                agent.held.append((link, data))
            else:
                self._refuse(link, uid, "too many messages at once")
        except DecodeError:
            self.malformed(link, "not an AgentToServer message")
        except Exception:
            self.counts.failed += 1
            log.exception("report.failed", agent=uid.hex())
            link.send(replies.failure(uid))

    def malformed(self, link: Link, reason: str) -> None:
        """No AgentToServer: said so without a uid, since other agents may use the same connection (Bad Request)."""
        link.send(replies.bad_request(b"", reason))
        self.counts.malformed += 1
        link.bad_messages += 1
        if link.bad_messages >= self._settings.max_bad_messages:
            log.info("link.bad_messages", remote_address=link.remote_address, reason=reason)
            link.kick(websocket.POLICY_VIOLATION, "too many malformed messages")

    def alive(self, link: Link) -> None:
        """The agents on an idle WebSocket are present as long as it answers pings."""
        self._presence.heard.update(agent.uid for agent in self._connections.all_on(link))

    def has_read(self, link: Link, number: int) -> None:
        """What was offered before the probe has arrived."""
        for agent in self._connections.all_on(link):
            self._delivery.was_read(agent, number)

    def leaving(self, link: Link) -> None:
        """Say where the agents on a WebSocket will come that their sessions follow."""
        for agent in self._connections.all_on(link):
            self._handover.announce(agent)

    def closed(self, link: Link) -> None:
        """A WebSocket is gone, and with it all its agents (AgentDisconnect)."""
        reason = uplink_pb2.DISCONNECT_REASON_DRAIN if self.is_draining else uplink_pb2.DISCONNECT_REASON_CLOSED
        for agent in list(self._connections.all_on(link)):
            self._agent_gone(agent, reason)

    def polls_ended(self) -> None:
        """Hand over the sessions of agents on plain HTTP, each when what it said is durable."""
        for uid in list(self._connections.polling):
            agent = self._connections.get(uid)
            if agent is not None:
                self._connections.detach(agent)
                if not self._uplink.follow(agent, (None, agent, _SAVE, agent.sequence_num)):
                    self._handover.save(agent)

    def retry_after(self) -> float:
        """Above 0 while no more agents are taken; spread, so that they do not come back all at once."""
        if not self.is_draining and not self._uplink.shards.is_full:
            return 0.0
        return self._jittered()

    # -- agents

    def _agent_reported(self, link: Link, agent: Agent, message: opamp_pb2.AgentToServer, data: bytes) -> None:
        sequence_num = message.sequence_num
        fields = fields_of(data)
        if fields & session.DISCONNECT:
            self._agent_says_goodbye(link, agent, fields, data, sequence_num)
            return
        verdict = agent.receive(sequence_num, message.capabilities, fields, hash(data))
        if not sequence_num or agent.is_starting:
            agent.is_starting = not sequence_num and _is_still_starting(message, fields)
        if agent.settling_since and fields & session.HEALTH and _runs_since(message.health, agent.settling_since):
            agent.settling_since = 0
        self._presence.heard.add(agent.uid)
        if agent.is_missing:
            verdict |= agent.ask(self._now())
        if agent.link is None:
            self._connections.polled(agent, self._now())
            if not verdict & session.RETRY:
                agent.unread_settings = b""
        if fields & _CLOSER_LOOK:
            verdict |= self._look_closer(agent, message, fields)
        waiter = (link, agent, verdict, sequence_num)
        if verdict & _STORE:
            if fields & _MAY_QUOTE_TOKENS:
                data = tokens.redact_bytes(data)
            if len(data) > _MAX_INLINE:
                self._hold(agent, self._store_large(agent, fields, data, waiter))
            elif not self._report(agent, fields, _time_ns(), data, waiter):
                self.reports_refused([waiter])
        elif verdict & session.CLONE:
            new_uid = self._connections.split(agent.uid, time.time_ns() // 1_000_000)
            self.counts.renamed += 1
            link.send(replies.compose(agent.uid, flags=_FULL_STATE, new_uid=new_uid))
        elif not verdict & session.RETRY or not self._uplink.follow(agent, waiter):
            self.counts.current += 1
            self._answer(link, agent, verdict)

    def _agent_arrives(self, link: Link, message: opamp_pb2.AgentToServer, data: bytes) -> None:
        uid = message.instance_uid
        new_uid = self._connections.oust(link, uid, time.time_ns() // 1_000_000)
        if new_uid is not None:
            self.counts.renamed += 1
            log.info("agent.duplicate", agent=uid.hex(), remote_address=link.remote_address)
            link.send(replies.compose(uid, flags=_FULL_STATE, new_uid=new_uid))
            return
        former = self._connections.former(uid)
        if former is not None:
            self._connections.detach(former)
        agent = self._connections.attach(link, uid)
        if not link.is_websocket:
            self._connections.polled(agent, self._now())
        if agent.held is not None:
            agent.held.append((link, data))
        elif agent.needs_past(message.sequence_num, message.capabilities, fields_of(data)) or (
            agent.sequence_num < 0 and self._delivery.has_wishes(uid)
        ):
            self._hold(agent, self._recall(agent, message.sequence_num))
            agent.held = [(link, data)]
        else:
            self._agent_reported(link, agent, message, data)

    def _agent_asks_for_uid(self, link: Link, uid: bytes, agent: Agent | None) -> None:
        """RequestInstanceUid. opamp-go keeps its sequence and reports nothing by itself, so all is asked for."""
        new_uid = self._connections.rename(uid, time.time_ns() // 1_000_000)
        is_greeting = agent is None or not agent.has_greeted
        self.counts.renamed += 1
        link.send(replies.compose(uid, is_greeting=is_greeting, flags=_FULL_STATE, new_uid=new_uid))

    def _agent_says_goodbye(self, link: Link, agent: Agent, fields: int, data: bytes, sequence_num: int) -> None:
        """The last report before AgentDisconnect counts as well; an agent that only says goodbye never was there."""
        is_announced = agent.is_announced
        agent.receive(sequence_num, 0, fields, hash(data))
        if is_announced and fields & session.STATE:
            if fields & _MAY_QUOTE_TOKENS:
                data = tokens.redact_bytes(data)
            self._uplink.report(agent, fields, time.time_ns(), data, (None, agent, 0, sequence_num))
        entry = uplink.disconnected(uplink_pb2.DISCONNECT_REASON_AGENT, time.time_ns())
        self._uplink.tell(agent, entry, (link, agent, session.FAREWELL, sequence_num))
        self._connections.detach(agent)

    def _agent_gone(self, agent: Agent, reason: int) -> None:
        self._connections.detach(agent)
        if agent.is_announced:
            waiter = (None, agent, _SAVE, agent.sequence_num)
            self._uplink.tell(agent, uplink.disconnected(reason, time.time_ns()), waiter)

    def agents_silent(self) -> None:
        """Once a second: HTTP agents that did not poll for too long are gone."""
        for uid in self._connections.polling.expired(self._now()):
            agent = self._connections.get(uid)
            if agent is not None and agent.link is None:
                self._agent_gone(agent, uplink_pb2.DISCONNECT_REASON_TIMEOUT)

    def credential_revoked(self, token_id: str) -> None:
        """HTTP agents that came with it get 401 at their next poll, so they are gone already."""
        for uid in list(self._connections.polling):
            agent = self._connections.get(uid)
            if agent is not None and agent.link is None and agent.credential == token_id:
                self._agent_gone(agent, uplink_pb2.DISCONNECT_REASON_CLOSED)

    def _look_closer(self, agent: Agent, message: opamp_pb2.AgentToServer, fields: int) -> int:
        verdict = 0
        if fields & session.CONFIG_STATUS:
            config_hash = message.remote_config_status.last_remote_config_hash
            agent.config_reported(config_hash)
            for number, entry in agent.unread:
                if entry.delivered.hash == config_hash:  # it has read the offer, whether or not it has got to the ping
                    self._delivery.was_read(agent, number)
                    break
            verdict = session.CARRIES_CONFIG_STATUS
        if fields & session.COMPONENTS and agent.capabilities & session.REPORTS_COMPONENTS:
            components = message.available_components
            now = self._now()
            if components.components:
                self._components[components.hash] = math.inf
            elif components.hash and self._components.get(components.hash, 0.0) <= now:
                self._components[components.hash] = now + _ASK_COMPONENTS_EVERY
                verdict |= session.ASK_COMPONENTS
            if len(self._components) > _KNOWN_COMPONENTS:
                del self._components[next(iter(self._components))]
        return verdict

    # -- from the uplink

    def reports_stored(self, waiters: list[Waiter]) -> None:
        """A batch is durable: answer its reports."""
        answer, counts = self._answer, self.counts
        counts.stored += len(waiters)
        for link, agent, verdict, _ in waiters:
            if link is None:
                counts.stored -= 1  # the end of a connection, which nobody hears an answer to
            else:
                try:
                    answer(link, agent, verdict)
                except Exception:
                    counts.stored -= 1
                    counts.failed += 1
                    log.exception("answer.failed", agent=agent.uid.hex())
                    link.send(replies.failure(agent.uid))
            if verdict & session.FAREWELL and self._connections.get(agent.uid) is not agent:
                self._handover.save(agent)

    def reports_refused(self, waiters: list[Waiter]) -> None:
        """Reports that are not durable in time: their agents have to tell it again."""
        for link, agent, verdict, sequence_num in waiters:
            agent.report_lost(sequence_num, verdict)
            if link is not None:
                self._refuse(link, agent.uid, "the report could not be stored in time")

    def _refuse(self, link: Link, uid: bytes, reason: str) -> None:
        self.counts.refused += 1
        retry_after = self._jittered()
        link.refuse(replies.unavailable(uid, retry_after, reason), retry_after)

    def _jittered(self) -> float:
        return self._settings.retry_after_seconds * (1.0 + random.random())

    # -- slow things

    def _hold(self, agent: Agent, work: Coroutine[None, None, None]) -> None:
        agent.held = []
        task = self._loop.create_task(self._released(agent, work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _released(self, agent: Agent, work: Coroutine[None, None, None]) -> None:
        try:
            await work
        finally:
            held, agent.held = agent.held or [], None
        for link, data in held:
            if link.is_heard:
                self.message(link, data)

    async def _recall(self, agent: Agent, sequence_num: int) -> None:
        """Go on with the session that another replica, or this one before a restart, handed over."""
        state: desired_pb2.SessionState | None = await self._handover.load(agent.uid, sequence_num - 1)
        if state is not None and (agent.sequence_num < 0 or state.sequence_num + 1 == sequence_num):
            self.counts.restored += 1
            agent.restore(
                state.sequence_num,
                state.capabilities,
                state.known_fields,
                state.remote_config_hash,
                state.offered_config_hash,
                state.offered_connection_hash,
                state.heartbeat_interval_seconds,
            )

    async def _store_large(self, agent: Agent, fields: int, data: bytes, waiter: Waiter) -> None:
        """A message that is too large for NATS goes to the object store, and the uplink gets its name."""
        name = f"uplink-{uuid.uuid4()}"
        try:
            async with asyncio.timeout(_STORE_SECONDS_WEBSOCKET if agent.link else _STORE_SECONDS):
                await self._bus.put_body(contracts.UPLINK_BODIES, name, data)
        except (UnavailableError, TimeoutError) as error:
            log.warning("report.not_stored", bytes=len(data), error=repr(error))
            self.reports_refused([waiter])
            return
        if not self._uplink.report_body(agent, fields, time.time_ns(), name, waiter):
            self.reports_refused([waiter])

    async def drain(self) -> None:
        """Everything is closed: store what is on its way and hand the sessions over."""
        self.polls_ended()
        await self._uplink.shards.drain(2.0)
        await self._handover.flush()
