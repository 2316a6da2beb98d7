"""Answers and pushes: compares what an agent has with what is wished of it and sends what differs.

WebSocket push, HTTP poll and reconnect are the same comparison; only who starts it differs.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Coroutine

from opentelemetry.trace import SpanKind

from flowgate.uplink.v1 import uplink_pb2
from flowkit import tokens, tracing
from flowkit.telemetry import get_log
from opamp.v1 import opamp_pb2
from opamp_gateway import desired as facets
from opamp_gateway import replies, session, uplink, websocket
from opamp_gateway.connections import Agent, Connections, canonical
from opamp_gateway.desired import Bodies, Desired, Wish
from opamp_gateway.transports import Link
from opamp_gateway.uplink import Uplink

log = get_log()

_FULL_STATE = opamp_pb2.ServerToAgentFlags_ReportFullState
_COMPONENTS = opamp_pb2.ServerToAgentFlags_ReportAvailableComponents
_SPOKEN = session.ASK_FULL_STATE | session.ASK_COMPONENTS | session.RETRY
_REFUSED_SECONDS = 5.0  # until a refused agent's connection is closed: it comes back at once, again and again
SETTLE_SECONDS = 5.0  # for a collector to run with own telemetry, if its agent does not say so before
_PATIENCE = 0.15  # seconds that an answer waits for a body or a command; it comes with the next one otherwise


class Delivery:
    """Sends to agents. `limit` bounds a ServerToAgent (WebSocket and Plain HTTP Message Size Limits)."""

    def __init__(
        self,
        connections: Connections,
        desired: Desired,
        bodies: Bodies,
        to_bus: Uplink,
        limit: int,
        telemetry_key: bytes,
    ) -> None:
        self._connections = connections
        self._desired = desired
        self._wishes = desired.wishes
        self._bodies = bodies
        self._uplink = to_bus
        self._limit = limit
        self._telemetry_key = telemetry_key
        self._tasks: set[asyncio.Task[None]] = set()
        self.sent: Counter[tuple[str, str]] = Counter()
        """Offers and commands by facet and outcome: sent, or failed."""
        self.full_state_requests = 0

    def answer(self, link: Link, agent: Agent, verdict: int) -> None:
        """Answer a message that was dealt with: with the bare acknowledgement unless there is something to say."""
        if agent.has_greeted and not verdict & _SPOKEN and agent.uid not in self._wishes:
            link.ack(agent.uid)
        else:
            self._say(link, agent, verdict)

    def has_wishes(self, uid: bytes) -> bool:
        """Something is wished of the agent."""
        return uid in self._wishes

    def desired_changed(self, uid: bytes) -> None:
        """Something is wished of an agent: it gets that at once if it is here and can be pushed to."""
        agent = self._connections.get(uid)
        if agent is None:
            return
        wish = self._desired.wish(uid, facets.CONFIG)
        if wish is not None and self._bodies.get(wish.state.config.body_object) is None:
            self._bodies.fetch(wish.state.config.body_object)  # here by the time that an HTTP agent polls
        self._push(agent)

    def was_read(self, agent: Agent, number: int) -> None:
        """The agent has read what was sent before the probe of this number: the owners are told what it was offered."""
        while agent.unread and agent.unread[0][0] <= number:
            self._uplink.tell(agent, agent.unread.pop(0)[1])

    def _say(self, link: Link, agent: Agent, verdict: int, *, is_last_try: bool = False) -> None:
        if not link.is_open:
            return  # nothing said here would arrive, so nothing counts as said
        if link.is_websocket and agent.link is not link:  # superseded while its report was on its way
            link.ack(agent.uid)
            return
        refusal = self._standing(agent, facets.REFUSAL)
        if refusal is not None and not verdict & session.FAREWELL:
            self._turn_away(link, agent, refusal, _REFUSED_SECONDS)
            return
        flags = _FULL_STATE if verdict & session.ASK_FULL_STATE or self._is_state_due(agent) else 0
        if verdict & session.ASK_COMPONENTS:
            flags |= _COMPONENTS
        wish = settings = None
        shared = b""
        if not verdict & session.FAREWELL:
            wish = self._offer_due(agent, verdict)
            if wish is None and verdict & session.RETRY and agent.unread_settings:
                shared = agent.unread_settings
            elif wish is None:
                settings, shared = self._connection_settings(agent)
            else:
                body = self._bodies.get(wish.state.config.body_object)
                if body is None and not is_last_try:
                    self._start(self._say_with_body(link, agent, verdict, wish))
                    return
                wish, shared = self._fitting(agent, wish, body)
            if not link.is_websocket and not flags and wish is None and not shared:
                command = self._command_due(agent)
                if command is not None:
                    self._start(self._say_command(link, agent, command))
                    return
        self.full_state_requests += bool(flags & _FULL_STATE)
        link.send(replies.compose(agent.uid, is_greeting=not agent.has_greeted, flags=flags, shared=shared))
        self._greeted(agent)
        if wish is not None:
            self._offered(link, agent, wish)
        if settings is not None:
            self._offered_settings(link, agent, settings, shared)
        if link.is_websocket and not verdict & session.FAREWELL:
            self._push(agent)

    async def _say_with_body(self, link: Link, agent: Agent, verdict: int, wish: Wish) -> None:
        task = self._bodies.fetch(wish.state.config.body_object)
        await asyncio.wait({task}, timeout=_PATIENCE)
        self._say(link, agent, verdict, is_last_try=True)
        if link.is_websocket and not task.done():
            await asyncio.wait({task})
            self._push(agent)

    async def _say_command(self, link: Link, agent: Agent, wish: Wish) -> None:
        """A command goes alone; a poll that comes while it is fetched from the bucket gets the next answer."""
        agent.is_taking = True
        task = asyncio.ensure_future(self._desired.take(agent.uid, facets.COMMAND, wish.revision))
        await asyncio.wait({task}, timeout=_PATIENCE)
        is_late = not task.done()
        if is_late:
            self._say_nothing(link, agent)
        is_taken = await task
        agent.is_taking = False
        if is_taken and not is_late and link.is_open:
            link.send(replies.command(agent.uid, wish.state.command.type, is_greeting=not agent.has_greeted))
            self._greeted(agent)
            self._commanded(agent, wish, "")
        elif is_taken:
            self._commanded(agent, wish, "the agent did not wait for the answer to its poll")
        elif not is_late:
            self._say_nothing(link, agent)

    def _say_nothing(self, link: Link, agent: Agent) -> None:
        link.send(replies.compose(agent.uid, is_greeting=not agent.has_greeted))
        self._greeted(agent)

    def _push(self, agent: Agent) -> None:
        link = agent.link
        if link is None or not link.is_open or not agent.has_greeted or agent.held is not None:
            return
        refusal = self._standing(agent, facets.REFUSAL)
        if refusal is not None:
            self._turn_away(link, agent, refusal, 0.0)
            return
        if self._is_state_due(agent):
            self.full_state_requests += 1
            link.send(replies.compose(agent.uid, flags=_FULL_STATE))
        wish = self._offer_due(agent, 0)
        if wish is None:
            settings, shared = self._connection_settings(agent)
            if shared:
                link.send(replies.compose(agent.uid, shared=shared))
            if settings is not None:
                self._offered_settings(link, agent, settings, shared)
        else:
            body = self._bodies.get(wish.state.config.body_object)
            if body is None:
                self._start(self._push_later(agent, wish.state.config.body_object))
            else:
                wish, shared = self._fitting(agent, wish, body)
                if wish is not None:
                    link.send(replies.compose(agent.uid, shared=shared))
                    self._offered(link, agent, wish)
        command = self._command_due(agent)
        if command is not None:
            self._start(self._push_command(link, agent, command))

    async def _push_later(self, agent: Agent, name: str) -> None:
        if await self._bodies.fetch(name) is not None:
            self._push(agent)

    async def _push_command(self, link: Link, agent: Agent, wish: Wish) -> None:
        agent.is_taking = True
        is_taken = await self._desired.take(agent.uid, facets.COMMAND, wish.revision)
        agent.is_taking = False
        if not is_taken:
            return
        if agent.link is link and link.is_open:
            link.send(replies.command(agent.uid, wish.state.command.type))
            self._commanded(agent, wish, "")
        else:
            self._commanded(agent, wish, "the connection to the agent was lost")

    def _offer_due(self, agent: Agent, verdict: int) -> Wish | None:
        wish = self._standing(agent, facets.CONFIG)
        if wish is None or agent.is_starting:
            return None
        return wish if agent.is_offer_due(wish.state.config.config_hash, verdict) else None

    def _is_state_due(self, agent: Agent) -> bool:
        """An owner misses the agent's full state; it is asked for once on each connection."""
        wish = self._standing(agent, facets.STATE)
        if wish is None or agent.asked_revision == wish.revision:
            return False
        agent.asked_revision = wish.revision
        return True

    def _command_due(self, agent: Agent) -> Wish | None:
        wish = self._standing(agent, facets.COMMAND)
        if wish is None or agent.is_taking or agent.settling_since:
            return None
        return wish if agent.capabilities & session.ACCEPTS_RESTART_COMMAND else None

    def _standing(self, agent: Agent, facet: str) -> Wish | None:
        wish = self._desired.wish(agent.uid, facet)
        return None if wish is None or wish.is_expired(time.time_ns()) else wish

    def _connection_settings(self, agent: Agent) -> tuple[Wish | None, bytes]:
        """The wish for connection settings that are due, None when none are; and the part of a message that offers
        them, empty when they cannot be.

        The same hash is offered once to a process, whatever it answers, for an offer may restart its collector.
        """
        wish = self._standing(agent, facets.CONNECTION)
        if wish is None or agent.is_starting or not agent.capabilities:
            return None, b""
        desired = wish.state.connection
        if desired.hash == agent.offered_connection:
            return None, b""
        key = self._telemetry_key
        token = tokens.telemetry_token(key, agent.uid, agent.credential) if key and desired.has_own_telemetry else ""
        shared = replies.connection_settings(desired, agent.capabilities, token)
        agent.offered_connection = desired.hash
        loop = asyncio.get_running_loop()
        if token and shared:
            agent.settling_since = time.time_ns()
            loop.call_later(SETTLE_SECONDS, self._settled, agent, agent.settling_since)
        if agent.capabilities & session.REPORTS_HEARTBEAT:
            agent.heartbeat_seconds = desired.heartbeat_interval_seconds
            self._connections.interval_changed(agent, loop.time())
        return wish, shared

    def _offered_settings(self, link: Link, agent: Agent, wish: Wish, shared: bytes) -> None:
        error = ""
        if wish.state.connection.has_own_telemetry and not self._telemetry_key:
            error = "own telemetry is off: the opamp-gateway has no telemetry key"
        elif not shared:
            error = "the agent has none of the capabilities for it"
        log.info("connection.offered", agent=canonical(agent.uid), wish=wish.state.id, error=error or None)
        if not link.is_websocket:
            agent.unread_settings = shared
        self._tell(agent, facets.CONNECTION, wish, error, link)

    def _settled(self, agent: Agent, since: int) -> None:
        """It had time enough to restart its collector."""
        if agent.settling_since == since:
            agent.settling_since = 0
            self._push(agent)

    def _turn_away(self, link: Link, agent: Agent, wish: Wish, seconds: float) -> None:
        """Say why the agent is not wanted; its WebSocket is closed after so many seconds."""
        log.info("agent.refused", agent=canonical(agent.uid), reason=wish.state.refusal.reason)
        link.send(replies.bad_request(agent.uid, wish.state.refusal.reason))
        if link.is_websocket:
            asyncio.get_running_loop().call_later(seconds, self._close_refused, link, agent)

    def _close_refused(self, link: Link, agent: Agent) -> None:
        """Unless other agents use the connection, or the agent is wanted by now."""
        if agent.link is link and not link.others and self._standing(agent, facets.REFUSAL) is not None:
            link.kick(websocket.POLICY_VIOLATION, "agent is refused")

    def _fitting(self, agent: Agent, wish: Wish, body: bytes | None) -> tuple[Wish | None, bytes]:
        """The offer if its body is here and within the limit; one that is not is recorded and not sent."""
        if body is None:
            return None, b""
        if len(body) + 64 <= self._limit:  # 64: the agent's own part of the message
            return wish, body
        error = f"the message of {len(body)} bytes is over the limit of {self._limit}"
        log.error("config.too_large", agent=canonical(agent.uid), wish=wish.state.id, error=error)
        agent.offered_hash = wish.state.config.config_hash
        self._tell(agent, facets.CONFIG, wish, error)
        return None, b""

    def _greeted(self, agent: Agent) -> None:
        if not agent.has_greeted:
            agent.has_greeted = True
            agent.forget_previous()

    def _offered(self, link: Link, agent: Agent, wish: Wish) -> None:
        agent.offered_hash = wish.state.config.config_hash
        log.info("config.offered", agent=canonical(agent.uid), wish=wish.state.id)
        self._tell(agent, facets.CONFIG, wish, "", link)

    def _commanded(self, agent: Agent, wish: Wish, error: str) -> None:
        log.info("command.sent", agent=canonical(agent.uid), wish=wish.state.id, error=error or None)
        self._tell(agent, facets.COMMAND, wish, error)

    def _tell(self, agent: Agent, facet: str, wish: Wish, error: str, link: Link | None = None) -> None:
        """Tell the owners what was sent: over a `link` that is a WebSocket, as soon as the agent has read it."""
        self.sent[facet, "failed" if error else "sent"] += 1
        offered = wish.state.connection.hash if facet == facets.CONNECTION else wish.state.config.config_hash
        now, traceparent = time.time_ns(), wish.state.traceparent
        if traceparent:
            traceparent = tracing.record(f"send {facet}", traceparent, wish.seen_at, now, SpanKind.PRODUCER)
        said = uplink_pb2.Delivered(facet=facet, id=wish.state.id, hash=offered, error=error, traceparent=traceparent)
        if facet == facets.CONNECTION:
            said.heartbeat_interval_seconds = agent.heartbeat_seconds
        entry = uplink.delivered(said, now)
        if link is not None and link.is_websocket and not error:
            agent.unread.append((link.probe(), entry))
        else:
            self._uplink.tell(agent, entry)

    def _start(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
