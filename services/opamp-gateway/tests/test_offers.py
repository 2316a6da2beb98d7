"""What an offer of connection settings may carry, whatever is wished and whatever the agent can."""

from hypothesis import given
from hypothesis import strategies as st

from flowgate.uplink.v1 import desired_pb2
from flowkit import tokens
from opamp.v1 import opamp_pb2
from opamp_gateway import replies

TOKEN = tokens.telemetry_token(b"key of a test", bytes(range(16)))
OWN = {"own_logs": 0x80, "own_metrics": 0x40, "own_traces": 0x20}
HEARTBEAT = 0x2000

urls = st.sampled_from(["", "http://gate:4320/v1/logs", "https://gate/v1/traces"])
wishes = st.builds(
    desired_pb2.DesiredConnection,
    hash=st.binary(min_size=1, max_size=32),
    own_logs_url=urls,
    own_metrics_url=urls,
    own_traces_url=urls,
    has_own_telemetry=st.booleans(),
    heartbeat_interval_seconds=st.sampled_from([0, 1, 30, 86400]),
)


def fields(message) -> set[str]:
    return {field.name for field, _ in message.ListFields()}


def offers_of(wish, capabilities: int, token: str = TOKEN) -> opamp_pb2.ConnectionSettingsOffers:
    said = opamp_pb2.ServerToAgent.FromString(replies.connection_settings(wish, capabilities, token))
    assert fields(said) <= {"connection_settings"}
    return said.connection_settings


@given(wishes, st.integers(0, 0xFFFF), st.sampled_from([TOKEN, ""]))
def test_no_offer_takes_an_agent_offline_or_its_tls_away(wish, capabilities: int, token: str) -> None:
    """Items 72, 104, 108, 112: never `opamp` without a heartbeat interval, nor with an endpoint, headers or TLS.

    Real supervisors make a new connection of what is in it, and verify no certificate when they are given none.
    """
    offers = offers_of(wish, capabilities, token)
    assert offers.HasField("opamp") is (bool(capabilities & HEARTBEAT) and wish.heartbeat_interval_seconds > 0)
    if offers.HasField("opamp"):
        assert fields(offers.opamp) == {"heartbeat_interval_seconds"}
        assert offers.opamp.heartbeat_interval_seconds == wish.heartbeat_interval_seconds


@given(wishes, st.integers(0, 0xFFFF), st.sampled_from([TOKEN, ""]))
def test_own_telemetry_is_offered_as_a_triple(wish, capabilities: int, token: str) -> None:
    """Items 64, 100, 107: all three or none; on only where the agent can; off is an empty endpoint, without a token."""
    offers = offers_of(wish, capabilities, token)
    is_offered = bool(capabilities & 0xE0) and wish.has_own_telemetry and bool(token)
    for name, bit in OWN.items():
        assert offers.HasField(name) is is_offered
        settings = getattr(offers, name)
        url = getattr(wish, f"{name}_url") if is_offered and capabilities & bit else ""
        assert settings.destination_endpoint == url
        headers = [("Authorization", f"Bearer {token}")] if url else []
        assert [(header.key, header.value) for header in settings.headers.headers] == headers
        assert fields(settings) <= {"destination_endpoint", "headers"}


@given(wishes, st.integers(0, 0xFFFF), st.sampled_from([TOKEN, ""]))
def test_an_offer_has_its_hash_and_something_in_it(wish, capabilities: int, token: str) -> None:
    """Items 101, 103: the hash as wished; with nothing to offer there is no offer at all."""
    offers = offers_of(wish, capabilities, token)
    assert fields(offers) == set() or (offers.hash == wish.hash and len(fields(offers)) > 1)
    assert not offers.other_connections
