"""Simulated agents behave as the real ones do: message by message, without a connection or a clock."""

import pytest

from flowgate_cli.simulation import RETRY_SECONDS, Profile, SimulatedAgent
from opamp.v1 import opamp_pb2
from opamp.v1.opamp_pb2 import RemoteConfigStatuses, ServerToAgentFlags

UID = bytes.fromhex("0198e4b07c1d7a3e8f000000000000a7")
GOOD = b"""
receivers: {otlp: {protocols: {grpc: {}}}}
exporters: {debug: {}}
service: {pipelines: {traces: {receivers: [otlp], exporters: [debug]}}}
"""
UNKNOWN = GOOD.replace(b"debug", b"debugg")
APPLIED = RemoteConfigStatuses.RemoteConfigStatuses_APPLIED
APPLYING = RemoteConfigStatuses.RemoteConfigStatuses_APPLYING
FAILED = RemoteConfigStatuses.RemoteConfigStatuses_FAILED
FIELDS = opamp_pb2.AgentToServer.DESCRIPTOR.fields_by_name


class Bench:
    """An agent and a clock; `pass_time` runs the clock and gives what the agent sends meanwhile."""

    def __init__(self, **profile: object) -> None:
        self.now = 1_800_000_000.0
        self.agent = SimulatedAgent(Profile(uid=UID, **profile), self.now)

    def take(self) -> list[opamp_pb2.AgentToServer]:
        messages = []
        while message := self.agent.next_message(self.now):
            messages.append(message)
        return messages

    def pass_time(self, seconds: float) -> list[opamp_pb2.AgentToServer]:
        end, messages = self.now + seconds, self.take()
        while (due := self.agent.next_due()) <= end:
            self.now = max(self.now, due)
            messages += self.take()
        self.now = end
        return messages + self.take()

    def offer(self, body: bytes | None, config_hash: bytes = b"h1") -> None:
        offer = opamp_pb2.AgentRemoteConfig(config_hash=config_hash)
        offer.config.SetInParent()
        if body is not None:
            offer.config.config_map[""].body = body
        self.agent.receive(opamp_pb2.ServerToAgent(remote_config=offer), self.now)

    def settle(self) -> None:
        self.pass_time(5)


def fields(message: opamp_pb2.AgentToServer) -> set[str]:
    """Names of the sub-messages that are set."""
    return {one.name for one, _ in message.ListFields()} - {"instance_uid", "sequence_num", "capabilities"}


def states(messages: list[opamp_pb2.AgentToServer]) -> list[int]:
    """Remote config statuses in these messages."""
    return [one.remote_config_status.status for one in messages if one.HasField("remote_config_status")]


def healths(messages: list[opamp_pb2.AgentToServer]) -> list[str]:
    """Health statuses, or errors, in these messages."""
    return [one.health.status or one.health.last_error for one in messages if one.HasField("health")]


@pytest.fixture
def bench() -> Bench:
    """A supervisor that runs well."""
    bench = Bench()
    bench.settle()
    return bench


def test_a_supervisor_begins_with_everything_but_its_components():
    """Sequence 0 has an empty health, an empty effective config, and of the components the hash only (B4)."""
    bench = Bench()
    first = bench.take()[0]
    assert first.sequence_num == 0
    assert {
        "agent_description",
        "health",
        "effective_config",
        "remote_config_status",
        "package_statuses",
        "available_components",
    } == fields(first)
    assert first.effective_config.config_map.config_map[""].body == b""
    assert not first.health.healthy
    assert first.available_components.hash
    assert not first.available_components.components


def test_a_supervisor_starts_its_collector():
    """StatusStarting with the effective config, then StatusOK with a start time and the component tree."""
    bench = Bench()
    bench.take()
    messages = bench.pass_time(2)
    assert healths(messages) == ["StatusStarting", "StatusOK"]
    running = messages[-1].health
    assert running.healthy
    assert running.start_time_unix_nano
    assert "receiver:hostmetrics" in running.component_health_map["pipeline:metrics"].component_health_map


def test_an_extension_begins_with_a_collector_that_starts():
    """It lives inside the collector: the first message has StatusStarting and the effective config (B9)."""
    bench = Bench(mode="extension")
    first = bench.take()[0]
    assert first.health.status == "StatusStarting"
    assert b"instance_uid: 0198e4b0" in first.effective_config.config_map.config_map[""].body
    assert first.effective_config.config_map.config_map[""].content_type == "text/yaml"
    assert healths(bench.pass_time(1)) == ["StatusOK"]


def test_every_message_has_uid_sequence_and_capabilities(bench: Bench):
    bench.offer(GOOD)
    messages = bench.pass_time(40)
    numbers = [one.sequence_num for one in messages]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    assert {(UID, 0x7DE7)} == {(one.instance_uid, one.capabilities) for one in messages}


def test_a_quiet_agent_sends_bare_heartbeats(bench: Bench):
    """Every 30 s: uid, sequence number, capabilities."""
    messages = bench.pass_time(90)
    assert [set(), set(), set()] == [fields(one) for one in messages]


def test_a_heartbeat_waits_for_silence(bench: Bench):
    """Its timer restarts at each message sent."""
    bench.agent.report_health(bench.now + 29)
    bench.now += 29
    assert len(bench.take()) == 1
    assert bench.pass_time(29) == []


def test_a_good_configuration_is_applied_by_the_timer(bench: Bench):
    """APPLYING with the old effective config, a new start of the collector, APPLIED after the apply timeout (B4)."""
    old_start = bench.agent._health.start_time_unix_nano
    bench.offer(GOOD)
    first, *rest = bench.pass_time(0.9)
    assert first.remote_config_status.status == APPLYING
    assert b"hostmetrics" in first.effective_config.config_map.config_map[""].body
    assert healths(rest) == ["StatusStarting", "StatusOK"]
    assert states(rest) == []
    new = next(one for one in rest if one.HasField("effective_config"))
    assert b"otlp" in new.effective_config.config_map.config_map[""].body
    (applied,) = bench.pass_time(0.2)
    assert (
        applied.remote_config_status.status,
        applied.remote_config_status.last_remote_config_hash,
    ) == (APPLIED, b"h1")
    assert bench.agent._health.start_time_unix_nano > old_start


def test_the_same_configuration_again_changes_nothing(bench: Bench):
    bench.offer(GOOD)
    bench.settle()
    bench.offer(GOOD)
    assert bench.pass_time(10) == []


def test_yaml_that_does_not_parse_fails_at_once(bench: Bench):
    """The running collector is not touched."""
    bench.offer(b"receivers: [\nb: 1\n")
    (message,) = bench.pass_time(5)
    assert {"remote_config_status"} == fields(message)
    assert message.remote_config_status.status == FAILED
    assert message.remote_config_status.error_message.startswith("yaml: line 3: ")


def test_an_unknown_component_is_refused_before_it_is_applied(bench: Bench):
    """With validate_config there is no APPLYING and the collector goes on."""
    bench.offer(UNKNOWN)
    (message,) = bench.pass_time(5)
    assert message.remote_config_status.status == FAILED
    assert 'unknown type: "debugg"' in message.remote_config_status.error_message


def test_an_unknown_component_crashes_the_collector_without_validation():
    """No way back: the bad configuration is tried again and again, until a good one comes (B4)."""
    bench = Bench(validates=False)
    bench.settle()
    bench.offer(UNKNOWN)
    messages = bench.pass_time(2)
    assert states(messages) == [APPLYING, FAILED]
    failed = next(one for one in messages if one.remote_config_status.status == FAILED)
    assert "exit code 1 while applying configuration" in failed.remote_config_status.error_message
    assert not failed.health.healthy
    again = bench.pass_time(3 * RETRY_SECONDS)
    assert len(again) >= 2
    assert all("exited unexpectedly" in text for text in healths(again))
    bench.offer(GOOD, b"h2")
    messages = bench.pass_time(5)
    assert states(messages) == [APPLYING, APPLIED]
    assert healths(messages)[-1] == "StatusOK"


def test_a_newer_configuration_takes_the_place_of_one_that_is_being_applied(bench: Bench):
    """Only the last one is ever reported as applied, under its own hash."""
    bench.offer(GOOD, b"h1")
    messages = bench.pass_time(0.5)
    bench.offer(b"a: [", b"h2")
    messages += bench.pass_time(0.1)
    bench.offer(GOOD + b"# other", b"h3")
    messages += bench.pass_time(5)
    reported = [
        (one.remote_config_status.last_remote_config_hash, one.remote_config_status.status)
        for one in messages
        if one.HasField("remote_config_status")
    ]
    assert reported == [(b"h1", APPLYING), (b"h2", FAILED), (b"h3", APPLYING), (b"h3", APPLIED)]


def test_an_empty_configuration_stops_the_collector(bench: Bench):
    """It is applied at once, the agent counts as healthy, the effective config stays (B4)."""
    bench.offer(None)
    messages = bench.pass_time(1)
    assert states(messages) == [APPLYING, APPLIED]
    assert messages[0].health.healthy
    assert not messages[0].health.start_time_unix_nano


def test_a_configuration_without_hash_is_applied_in_silence(bench: Bench):
    bench.offer(GOOD, b"")
    assert states(bench.pass_time(5)) == []


def test_an_extension_takes_neither_configuration_nor_restart():
    """B9: ignored silently."""
    bench = Bench(mode="extension")
    bench.settle()
    bench.offer(GOOD)
    bench.agent.receive(opamp_pb2.ServerToAgent(command=opamp_pb2.ServerToAgentCommand()), bench.now)
    assert bench.pass_time(10) == []


def test_a_restart_gives_a_new_start_time(bench: Bench):
    """Without an acknowledgement; other fields of the same message are ignored (B4)."""
    old = bench.agent._health.start_time_unix_nano
    command = opamp_pb2.ServerToAgent(
        command=opamp_pb2.ServerToAgentCommand(), flags=ServerToAgentFlags.ServerToAgentFlags_ReportFullState
    )
    bench.agent.receive(command, bench.now)
    messages = bench.pass_time(1)
    assert healths(messages) == ["StatusStopping", "StatusStarting", "StatusOK"]
    assert messages[-1].health.start_time_unix_nano > old
    assert not messages[0].HasField("agent_description")


def test_the_full_state_is_one_message_with_everything(bench: Bench):
    flags = ServerToAgentFlags.ServerToAgentFlags_ReportFullState
    bench.agent.receive(opamp_pb2.ServerToAgent(flags=flags), bench.now)
    (message,) = bench.pass_time(1)
    assert {
        "agent_description",
        "health",
        "effective_config",
        "remote_config_status",
        "package_statuses",
        "available_components",
    } == fields(message)
    assert "otlp" in message.available_components.components["receivers"].sub_component_map


def test_a_reconnect_says_only_what_has_changed(bench: Bench):
    """The sequence goes on; a server that lost its state has to ask (B4)."""
    before = bench.agent._sequence
    bench.agent.connected()
    (message,) = bench.take()
    assert (before, set()) == (message.sequence_num, fields(message))


def test_changes_while_disconnected_are_coalesced(bench: Bench):
    """Nobody takes messages while the connection is away; then the last state goes out once."""
    bench.offer(GOOD)
    bench.now += 20
    bench.agent.connected()
    message = bench.take()[0]
    assert {"health", "effective_config", "remote_config_status"} == fields(message)
    assert (message.health.status, message.remote_config_status.status) == ("StatusOK", APPLIED)


def test_a_new_uid_is_taken_and_the_description_keeps_the_old_one(bench: Bench):
    """B4: until the supervisor restarts; the collector is restarted with the new one in its configuration."""
    uid = bytes.fromhex("0198e4b07c1d7a3e8f000000000000b8")
    bench.agent.receive(
        opamp_pb2.ServerToAgent(agent_identification=opamp_pb2.AgentIdentification(new_instance_uid=uid)), bench.now
    )
    messages = bench.pass_time(1)
    assert {uid} == {one.instance_uid for one in messages}
    identity = {one.key: one.value.string_value for one in messages[0].agent_description.identifying_attributes}
    assert identity["service.instance.id"] == "0198e4b0-7c1d-7a3e-8f00-0000000000a7"
    config = next(one for one in messages if one.HasField("effective_config")).effective_config
    assert b"0198e4b0-7c1d-7a3e-8f00-0000000000b8" in config.config_map.config_map[""].body


def test_own_telemetry_is_merged_into_the_collectors_configuration(bench: Bench):
    """B5: the collector restarts; each offer replaces all three signals; the same again changes nothing."""

    def offer(**signals: str) -> None:
        targets = {f"own_{name}": _target(url) for name, url in signals.items()}
        offers = opamp_pb2.ConnectionSettingsOffers(**targets)
        bench.agent.receive(opamp_pb2.ServerToAgent(connection_settings=offers), bench.now)

    offer(metrics="http://127.0.0.1:4320/v1/metrics", logs="http://127.0.0.1:4320/v1/logs")
    body = _effective(bench.pass_time(1))
    assert b"readers:" in body
    assert b"/v1/logs" in body
    assert b"value: secret" in body  # in clear, as the real one does
    offer(metrics="http://127.0.0.1:4320/v1/metrics", logs="http://127.0.0.1:4320/v1/logs")
    assert bench.pass_time(1) == []
    offer(metrics="http://127.0.0.1:4320/v1/metrics")
    assert b"/v1/logs" not in _effective(bench.pass_time(1))


def _target(url: str) -> opamp_pb2.TelemetryConnectionSettings:
    headers = opamp_pb2.Headers(headers=[opamp_pb2.Header(key="Authorization", value="secret")])
    return opamp_pb2.TelemetryConnectionSettings(destination_endpoint=url, headers=headers)


def _effective(messages: list[opamp_pb2.AgentToServer]) -> bytes:
    last = [one for one in messages if one.HasField("effective_config")][-1]
    return last.effective_config.config_map.config_map[""].body


@pytest.mark.parametrize(("seconds", "expected"), [(5, 6), (0, 0)])
def test_the_heartbeat_interval_is_obeyed(bench: Bench, seconds: int, expected: int):
    """0 switches heartbeats off, also as the field's absence (B5)."""
    offers = opamp_pb2.ConnectionSettingsOffers(
        opamp=opamp_pb2.OpAMPConnectionSettings(heartbeat_interval_seconds=seconds)
    )
    bench.agent.receive(opamp_pb2.ServerToAgent(connection_settings=offers), bench.now)
    bench.pass_time(5)
    assert len(bench.pass_time(30)) == expected


def test_an_agent_that_is_sent_elsewhere_begins_anew_there(bench: Bench):
    """B5: a new connection with the offered headers only; the sequence starts at 0."""
    settings = opamp_pb2.OpAMPConnectionSettings(destination_endpoint="ws://other/v1/opamp")
    offers = opamp_pb2.ConnectionSettingsOffers(opamp=settings)
    bench.agent.receive(opamp_pb2.ServerToAgent(connection_settings=offers), bench.now)
    assert (bench.agent.redirect.endpoint, bench.agent.redirect.headers) == ("ws://other/v1/opamp", ())
    bench.agent.leave()
    assert bench.take()[-1].HasField("agent_disconnect")
    bench.agent.redirected()
    bench.agent.connected()
    message = bench.take()[0]
    assert message.sequence_num == 0
    assert "agent_description" in fields(message)


def test_a_supervisor_that_ends_says_so(bench: Bench):
    """Its last message has the reason and agent_disconnect; after it nothing happens any more (B4)."""
    bench.agent.goodbye(bench.now, says_so=True)
    message = bench.agent.next_message(bench.now)
    assert message is not None
    assert message.HasField("agent_disconnect")
    assert message.health.last_error == "Supervisor is shutdown"


def test_on_http_an_agent_ends_without_a_word(bench: Bench):
    bench.agent.goodbye(bench.now, says_so=False)
    message = bench.agent.next_message(bench.now)
    assert message is not None
    assert not message.HasField("agent_disconnect")
    assert message.health.status == "StatusStopping"


def test_an_error_response_changes_nothing(bench: Bench):
    """B4: logged only."""
    error = opamp_pb2.ServerToAgent(error_response=opamp_pb2.ServerErrorResponse(error_message="no"))
    bench.agent.receive(error, bench.now)
    assert bench.pass_time(1) == []
