"""The session as a pure state machine: which reports are stored, when the full state is asked for, what is offered."""

import pytest
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st

from flowgate.uplink.v1 import uplink_pb2
from opamp.v1 import opamp_pb2
from opamp_gateway import replies, session
from opamp_gateway.session import (
    ANNOUNCES,
    ASK_FULL_STATE,
    CARRIES_CONFIG_STATUS,
    CLONE,
    RETRY,
    STORE,
    Session,
    fields_of,
)
from opamp_gateway.shards import varint

UID = bytes(range(16))
ENVELOPE = session.UID | session.SEQUENCE_NUM | session.CAPABILITIES
BARE = ENVELOPE
HEALTH = ENVELOPE | session.HEALTH
DESCRIBED = ENVELOPE | session.DESCRIPTION
REPORTS_HEALTH = 0x801
SUPERVISOR = 0x38C7
FULL = DESCRIBED | session.HEALTH | session.EFFECTIVE_CONFIG | session.CONFIG_STATUS


class Clock:
    """An agent's side of a session: counts reports up, and the seconds between them."""

    def __init__(self, capabilities: int = REPORTS_HEALTH) -> None:
        self.session = Session(UID)
        self.capabilities = capabilities
        self.now = 1000.0
        self._bytes = 0

    def report(
        self, sequence_num: int, fields: int = HEALTH, fingerprint: int | None = None, later: float = 0.1
    ) -> int:
        self.now += later
        self._bytes += 1
        verdict = self.session.receive(
            sequence_num, self.capabilities, fields, self._bytes if fingerprint is None else fingerprint
        )
        if self.session.is_missing:
            verdict |= self.session.ask(self.now)
        return verdict & ~ANNOUNCES


def started(capabilities: int = REPORTS_HEALTH, sequence_num: int = 0) -> Clock:
    """An agent whose full state is known."""
    agent = Clock(capabilities)
    assert agent.report(sequence_num, FULL) == STORE
    return agent


# -- E. sequence_num, status compression, ReportFullState


def test_a_gap_asks_for_the_full_state_until_that_comes() -> None:
    """Item 43: 1, 2, 5: the flag on 5; a full report clears it."""
    agent = started(sequence_num=0)
    assert [agent.report(1), agent.report(2)] == [STORE, STORE]
    assert agent.report(5) == STORE | ASK_FULL_STATE
    assert agent.report(6, FULL) == STORE
    assert agent.report(7) == STORE


def test_a_gap_in_bare_heartbeats_asks_too() -> None:
    """Item 43: a heartbeat omits everything."""
    agent = started()
    assert agent.report(7, BARE) == ASK_FULL_STATE


def test_an_unknown_agent_with_a_compressed_report_is_asked() -> None:
    """Item 44: whatever its sequence_num."""
    assert Clock().report(57, BARE) == STORE | ASK_FULL_STATE
    assert Clock().report(0, HEALTH) == STORE | ASK_FULL_STATE


@pytest.mark.parametrize("sequence_num", [0, 4, 2**63 + 5])
def test_a_complete_report_rebases_the_sequence(sequence_num: int) -> None:
    """Item 46: no flag for a complete report, whatever its number; Item 51: numbers of 64 bits are fine."""
    agent = started(sequence_num=8)
    assert agent.report(sequence_num, FULL) == STORE
    assert agent.report(sequence_num + 1) == STORE


def test_a_fresh_process_may_have_little_to_report() -> None:
    """Item 46: seq 0 with a description is a start; a collector that is not up yet has no effective config."""
    agent = started(SUPERVISOR, sequence_num=8)
    assert agent.report(0, DESCRIBED) == STORE


def test_a_description_without_the_rest_is_not_complete() -> None:
    agent = started(SUPERVISOR, sequence_num=8)
    assert agent.report(12, DESCRIBED) == STORE | ASK_FULL_STATE


def test_an_agent_that_has_nothing_more_is_not_asked_for_ever() -> None:
    """Item 47: once asked, a report with a description is taken for the full state."""
    agent = Clock(SUPERVISOR)
    assert agent.report(5, HEALTH) == STORE | ASK_FULL_STATE
    assert agent.report(6, DESCRIBED) == STORE
    assert agent.report(7) == STORE


def test_the_question_is_repeated_while_the_state_is_missing() -> None:
    agent = Clock()
    assert agent.report(5) & ASK_FULL_STATE
    assert agent.report(6, later=11) & ASK_FULL_STATE


def test_an_agent_that_never_counts_is_asked_a_bounded_number_of_times() -> None:
    """Item 47: full and compressed reports in turn, all with the same number, do not ping-pong at wire speed."""
    agent = Clock()
    verdicts = [agent.report(3, FULL if n % 2 else HEALTH, later=0.01) for n in range(200)]
    assert 1 <= sum(bool(verdict & ASK_FULL_STATE) for verdict in verdicts) <= 3


def test_the_same_bytes_again_are_answered_and_not_processed() -> None:
    """Items 38, 48: a retry is no gap and no news."""
    agent = started()
    assert agent.report(1, fingerprint=77) == STORE
    assert [agent.report(1, fingerprint=77), agent.report(1, fingerprint=77)] == [RETRY, RETRY]
    assert agent.report(2) == STORE


def test_a_poll_in_which_only_the_uid_is_set_says_nothing_about_the_sequence() -> None:
    """Item 28: capabilities 0 and seq 0 change nothing."""
    agent = started(sequence_num=4)
    agent.capabilities = 0
    assert agent.report(0, session.UID) == 0
    assert agent.session.capabilities == REPORTS_HEALTH
    assert agent.report(5) == STORE


def test_a_report_that_was_not_stored_leaves_a_gap() -> None:
    """Item 49: N failed, the agent goes on with N+1: that answer asks for the full state."""
    agent = started()
    agent.report(1)
    agent.session.report_lost(1, STORE)
    assert agent.session.durable_sequence_num == 0
    assert agent.report(2) & ASK_FULL_STATE


def test_a_report_that_is_sent_again_after_it_was_refused_leaves_no_gap() -> None:
    """Item 49: HTTP clients send the same bytes again; then nothing is lost, and the copy is processed."""
    agent = started()
    agent.report(1, fingerprint=5)
    agent.session.report_lost(1, STORE)
    assert agent.report(1, fingerprint=5) == STORE
    assert agent.report(2) == STORE


def test_the_first_of_several_lost_reports_counts() -> None:
    agent = started()
    agent.report(1)
    agent.report(2)
    agent.session.report_lost(1, STORE)
    agent.session.report_lost(2, STORE)
    assert agent.session.durable_sequence_num == 0
    assert agent.report(3) & ASK_FULL_STATE


def test_a_lost_first_report_is_announced_again() -> None:
    agent = Clock()
    agent.report(0, FULL)
    agent.session.report_lost(0, STORE | ANNOUNCES)
    assert agent.report(1, BARE) == STORE | ASK_FULL_STATE


# -- D, H. exchange and heartbeats


def test_only_the_first_heartbeat_of_a_connection_is_told() -> None:
    """Item 73: later ones carry no state and only feed presence."""
    agent = started()
    assert [agent.report(1, BARE), agent.report(2, BARE)] == [0, 0]
    agent.session.reconnected()
    assert [agent.report(3, BARE), agent.report(4, BARE)] == [STORE, 0]


def test_a_changed_capability_is_told() -> None:
    """Item 65: also by an otherwise bare message."""
    agent = started()
    agent.capabilities |= 2
    assert agent.report(1, BARE) == STORE
    assert agent.session.capabilities == REPORTS_HEALTH | 2


def test_unknown_capabilities_are_kept() -> None:
    """Item 67."""
    agent = started(0x8000000000000001)
    assert agent.session.capabilities == 0x8000000000000001


def test_two_pollers_with_one_uid_are_told_apart() -> None:
    """Item 57: over HTTP two agents with one uid show as two sequences that take turns."""
    agent = started(sequence_num=10)
    assert agent.report(40) & ASK_FULL_STATE
    assert agent.report(11) & CLONE
    assert agent.report(41) & STORE
    assert agent.report(12) & CLONE


def test_a_restart_is_no_clone() -> None:
    """Item 57: a new process counts from 0 and may pass the number where the old one stopped."""
    agent = started(sequence_num=3)
    assert agent.report(0, FULL) == STORE
    assert [agent.report(n) for n in range(1, 6)] == [STORE] * 5


# -- sessions that are handed over


def test_a_restored_session_goes_on() -> None:
    """Item 41: a reconnect to another replica with seq+1 and nothing else needs no full state."""
    agent = Clock()
    agent.session.restore(9, REPORTS_HEALTH, FULL, b"has", b"offered")
    assert agent.report(10, BARE) == STORE
    assert not agent.session.is_missing


def test_a_restored_session_shows_what_was_lost() -> None:
    agent = Clock()
    agent.session.restore(9, REPORTS_HEALTH, FULL, b"", b"")
    assert agent.report(12, BARE) & ASK_FULL_STATE


def test_a_session_without_known_state_asks_although_the_sequence_goes_on() -> None:
    agent = Clock()
    agent.session.restore(9, REPORTS_HEALTH, 0, b"", b"")
    assert agent.report(10, BARE) & ASK_FULL_STATE


@pytest.mark.parametrize(
    ("sequence_num", "fields", "expected"),
    [(0, FULL, False), (0, DESCRIBED, False), (7, FULL, False), (7, DESCRIBED, True), (7, BARE, True), (0, BARE, True)],
)
def test_the_past_is_looked_up_only_when_something_is_omitted(sequence_num: int, fields: int, expected: bool) -> None:
    assert Session(UID).needs_past(sequence_num, SUPERVISOR, fields) is expected


# -- K. what is offered


def manageable(reported: bytes = b"") -> Session:
    agent = Session(UID)
    agent.receive(0, SUPERVISOR, FULL, 1)
    agent.config_reported(reported)
    return agent


def test_a_config_is_offered_only_to_those_who_accept_one() -> None:
    """Items 64, 65, 84: gated by the capabilities of the moment."""
    agent = Session(UID)
    agent.receive(0, 0x4805, FULL, 1)
    assert not agent.is_offer_due(b"new", CARRIES_CONFIG_STATUS)
    agent.receive(1, 0x4805 | 2, BARE, 2)
    assert agent.is_offer_due(b"new", 0)
    agent.receive(2, 0x4805, BARE, 3)
    assert not agent.is_offer_due(b"new", 0)


def test_the_config_that_the_agent_has_is_not_offered() -> None:
    """Item 87; Item 88: not even after FAILED, since only the hash counts."""
    assert not manageable(b"new").is_offer_due(b"new", CARRIES_CONFIG_STATUS)


def test_an_offer_is_made_once() -> None:
    """Items 40, 92: an agent that never reports a status is not offered the same again."""
    agent = manageable()
    assert agent.is_offer_due(b"new", 0)
    agent.offered_hash = b"new"
    assert not any(agent.is_offer_due(b"new", 0) for _ in range(10))


def test_a_new_process_that_lost_its_configuration_is_offered_it_again() -> None:
    """Items 86, 91: an attempt of the process before it says nothing of this one."""
    agent = started(SUPERVISOR)
    agent.session.offered_hash = b"new"
    agent.session.config_reported(b"new")
    assert agent.report(0, FULL) == STORE
    agent.session.config_reported(b"")
    assert agent.session.is_offer_due(b"new", CARRIES_CONFIG_STATUS)


def test_a_stale_hash_in_a_report_is_answered_with_the_offer() -> None:
    """Item 86: also a second time, when the agent still says so."""
    agent = manageable(b"old")
    agent.offered_hash = b"new"
    agent.config_reported(b"old")
    assert agent.is_offer_due(b"new", CARRIES_CONFIG_STATUS)


def test_an_agent_that_rolls_back_is_not_offered_the_same_again() -> None:
    """Item 91: FAILED(B), then APPLIED(A)."""
    agent = manageable(b"A")
    agent.offered_hash = b"B"
    agent.config_reported(b"B")
    agent.config_reported(b"A")
    assert not agent.is_offer_due(b"B", CARRIES_CONFIG_STATUS)
    assert agent.is_offer_due(b"C", 0)


def test_an_answer_that_got_lost_is_given_again() -> None:
    """Item 38: the retry of a poll gets the offer that the first answer held."""
    agent = manageable(b"old")
    agent.offered_hash = b"new"
    assert agent.is_offer_due(b"new", RETRY)


# -- the bit mask


FIELDS = {
    "agent_description": opamp_pb2.AgentDescription,
    "health": opamp_pb2.ComponentHealth,
    "effective_config": opamp_pb2.EffectiveConfig,
    "remote_config_status": opamp_pb2.RemoteConfigStatus,
    "package_statuses": opamp_pb2.PackageStatuses,
    "agent_disconnect": opamp_pb2.AgentDisconnect,
    "connection_settings_request": opamp_pb2.ConnectionSettingsRequest,
    "custom_capabilities": opamp_pb2.CustomCapabilities,
    "custom_message": opamp_pb2.CustomMessage,
    "available_components": opamp_pb2.AvailableComponents,
    "connection_settings_status": opamp_pb2.ConnectionSettingsStatus,
}


@given(
    st.sets(st.sampled_from(sorted(FIELDS))),
    st.integers(0, 2**64 - 1),
    st.integers(0, 2**64 - 1),
    st.binary(max_size=20_000),
)
def test_the_mask_tells_which_fields_are_set(names: set[str], sequence_num: int, flags: int, blob: bytes) -> None:
    message = opamp_pb2.AgentToServer(instance_uid=UID, sequence_num=sequence_num, flags=flags)
    message.custom_message.data = blob
    for name in names:
        getattr(message, name).SetInParent()
    expected = sum(1 << field.number for field, _ in message.ListFields())
    assert expected == fields_of(message.SerializeToString())


@pytest.mark.parametrize(
    "extra",
    [
        b"\x82\xfa\x01\x03abc",  # field 4000, bytes
        b"\x80\xfa\x01\xff\xff\x03",  # field 4000, varint
        b"\x81\xfa\x0112345678",  # field 4000, fixed64
        b"\x85\xfa\x011234",  # field 4000, fixed32
        b"\x83\xfa\x01\x2a\x00\x84\xfa\x01",  # field 4000, a group with what looks like health inside
        b"\x28\x01",  # field 5 as a number: not health
    ],
)
def test_unknown_fields_are_ignored(extra: bytes) -> None:
    """Item 5: forward compatibility."""
    data = opamp_pb2.AgentToServer(instance_uid=UID, sequence_num=1).SerializeToString() + extra
    opamp_pb2.AgentToServer.FromString(data)
    assert fields_of(data) == session.UID | session.SEQUENCE_NUM


@given(st.binary(max_size=120))
def test_the_mask_of_any_valid_message_is_found(data: bytes) -> None:
    try:
        message = opamp_pb2.AgentToServer.FromString(data)
    except DecodeError:
        return
    known = sum(1 << field.number for field, _ in message.ListFields())
    assert fields_of(data) & known == known


# -- the replies


def test_an_ack_has_nothing_but_the_uid() -> None:
    """Item 34."""
    assert replies.compose(UID) == replies.ACK_PREFIX + UID
    assert opamp_pb2.ServerToAgent(instance_uid=UID) == opamp_pb2.ServerToAgent.FromString(replies.compose(UID))


def test_the_server_advertises_what_works() -> None:
    """Items 6, 62, 63, 68: AcceptsStatus, OffersRemoteConfig, AcceptsEffectiveConfig, OffersConnectionSettings."""
    reply = opamp_pb2.ServerToAgent.FromString(replies.compose(UID, is_greeting=True, flags=3))
    assert (reply.capabilities, reply.flags) == (0x27, 3)


def test_a_command_is_alone() -> None:
    """Item 134: with type 0 its presence tells it."""
    reply = opamp_pb2.ServerToAgent.FromString(replies.command(UID, 0, is_greeting=True))
    assert {"instance_uid", "capabilities", "command"} == {field.name for field, _ in reply.ListFields()}
    assert reply.command.type == opamp_pb2.CommandType_Restart


@pytest.mark.parametrize("size", [0, 100, 200, 20_000, 3_000_000])
def test_an_offer_is_the_agents_part_and_a_shared_part(size: int) -> None:
    config = opamp_pb2.AgentRemoteConfig(config_hash=b"h")
    config.config.config_map[""].body = bytes(size)
    shared = replies.remote_config(config.SerializeToString())
    reply = opamp_pb2.ServerToAgent.FromString(replies.compose(UID, flags=1, shared=shared))
    assert reply.remote_config == config
    assert (reply.instance_uid, reply.flags) == (UID, 1)


def test_an_error_excludes_everything_else() -> None:
    """Items 37, 145: fields 3 to 11 are unset; retry_info is in nanoseconds and only with UNAVAILABLE."""
    for data in (replies.bad_request(UID, "x" * 5000), replies.unavailable(UID, 30.0, "busy"), replies.failure(UID)):
        reply = opamp_pb2.ServerToAgent.FromString(data)
        assert {"instance_uid", "error_response"} == {field.name for field, _ in reply.ListFields()}
        is_unavailable = reply.error_response.type == opamp_pb2.ServerErrorResponseType_Unavailable
        assert is_unavailable is reply.error_response.HasField("retry_info")
    reply = opamp_pb2.ServerToAgent.FromString(replies.unavailable(UID, 30.0, "busy"))
    assert reply.error_response.retry_info.retry_after_nanoseconds == 30_000_000_000


@given(st.integers(0, 2**64 - 1))
def test_varints_are_those_of_protobuf(number: int) -> None:
    expected = uplink_pb2.UplinkEntry(fields=number).SerializeToString() if number < 2**32 else b"\x30"
    if number and number < 2**32:
        assert expected == b"\x30" + varint(number)
    elif number:
        assert opamp_pb2.AgentToServer.FromString(b"\x10" + varint(number)).sequence_num == number
