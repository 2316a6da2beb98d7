"""What reports make of a gateway, without any I/O."""

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest

from agent_registry import domain
from agent_registry.domain import Dirty, Gateway
from flowgate.agent.v1 import events_pb2 as facts
from flowgate.uplink.v1 import uplink_pb2
from flowkit.outbox import Desired
from flowkit.testing import EXTENSION, SUPERVISOR, make_description, make_report
from opamp.v1 import anyvalue_pb2, opamp_pb2

UID = UUID(int=7)
START = datetime(2026, 1, 1, tzinfo=UTC)


def first_report(capabilities: int = SUPERVISOR, **changes: object) -> opamp_pb2.AgentToServer:
    return opamp_pb2.AgentToServer(
        sequence_num=0,
        capabilities=capabilities,
        agent_description=make_description(
            service__name="otelcol", service__version="0.149.0", host__name="plant-1", os__type="linux"
        ),
        health=opamp_pb2.ComponentHealth(healthy=True, status="StatusOK", start_time_unix_nano=10**18),
        **changes,  # type: ignore[arg-type]
    )


def make_gateway(message: opamp_pb2.AgentToServer | None = None) -> Gateway:
    """A gateway that is known and connected."""
    report = make_report(UID, message or first_report())
    gateway = domain.new_gateway(report, uuid4(), {})
    domain.apply(gateway, report)
    gateway.dirty = Dirty.NOTHING
    return gateway


def names(effects: list[object]) -> list[str]:
    return [type(effect).__name__ for effect in effects]


def test_the_first_report_registers_and_connects() -> None:
    """Registered comes first and already tells name and mode."""
    report = make_report(UID, first_report())
    gateway = domain.new_gateway(report, uuid4(), {})
    effects = domain.apply(gateway, report)
    assert names(list(effects)) == ["AgentRegistered", "AgentConnected", "AgentHealthChanged"]
    registered = effects[0]
    assert isinstance(registered, facts.AgentRegistered)
    assert (registered.name, registered.management_mode) == ("otelcol@plant-1", facts.MANAGEMENT_MODE_SUPERVISOR)
    assert (gateway.version, gateway.os_type, gateway.healthy) == ("0.149.0", "linux", True)


def test_an_agent_known_by_a_compressed_report_only_is_asked_for_everything() -> None:
    """Item 44: the wish stands until the description comes."""
    compressed = make_report(UID, opamp_pb2.AgentToServer(sequence_num=7, capabilities=SUPERVISOR))
    gateway = domain.new_gateway(compressed, uuid4(), {})
    wish = domain.apply(gateway, compressed)[1]
    assert isinstance(wish, Desired) and wish.state is not None and wish.state.HasField("full_state")
    told = domain.apply(gateway, make_report(UID, first_report()))
    assert Desired(str(UID), "state", None) in told
    assert not [one for one in domain.apply(gateway, make_report(UID, first_report())) if isinstance(one, Desired)]


@pytest.mark.parametrize(
    ("capabilities", "mode"),
    [
        (EXTENSION, "extension"),
        (0x4C05, "extension"),
        (0x38C7, "supervisor"),
        (SUPERVISOR, "supervisor"),
        (1, "extension"),
    ],
)
def test_the_mode_follows_from_what_only_a_supervisor_reports(capabilities: int, mode: str) -> None:
    """Recorded bits: an extension with the restart gate (0x4C05) is still an extension."""
    assert make_gateway(first_report(capabilities)).management_mode == mode


def test_a_change_of_capabilities_changes_the_mode_and_is_told() -> None:
    """Item 65: capability changes are respected at any later message."""
    gateway = make_gateway(first_report(EXTENSION))
    later = make_report(UID, opamp_pb2.AgentToServer(sequence_num=1, capabilities=SUPERVISOR))
    (fact,) = domain.apply(gateway, later)
    assert isinstance(fact, facts.AgentCapabilitiesChanged)
    assert fact.previous_management_mode == facts.MANAGEMENT_MODE_EXTENSION
    assert gateway.management_mode == "supervisor"


def test_capabilities_of_zero_are_unchanged() -> None:
    """Item 28: a bare poll says nothing of capabilities."""
    gateway = make_gateway()
    assert domain.apply(gateway, make_report(UID, opamp_pb2.AgentToServer(sequence_num=1))) == []
    assert gateway.capabilities == SUPERVISOR


def test_the_same_report_again_tells_nothing() -> None:
    """A retry or a full state that brings nothing new is no event."""
    gateway = make_gateway()
    assert domain.apply(gateway, make_report(UID, first_report())) == []
    assert gateway.dirty == Dirty.SEEN | Dirty.HEALTH


def test_absent_parts_are_kept_and_present_ones_replaced_whole() -> None:
    """Item 45: a smaller description replaces the larger one, a missing one keeps it."""
    gateway = make_gateway()
    domain.apply(gateway, make_report(UID, opamp_pb2.AgentToServer(health=opamp_pb2.ComponentHealth(healthy=False))))
    assert gateway.attributes is not None and gateway.attributes["os.type"] == "linux"
    smaller = opamp_pb2.AgentToServer(agent_description=make_description(service__name="otelcol"))
    (fact,) = domain.apply(gateway, make_report(UID, smaller))
    assert isinstance(fact, facts.AgentDescriptionChanged)
    assert gateway.attributes == {"service.name": "otelcol"}
    assert list(fact.removed) == ["host.name", "os.type", "service.version"]


def test_health_is_told_when_it_turns_or_fails_for_another_reason() -> None:
    """The same error again is no news."""
    gateway = make_gateway()

    def report(healthy: bool, error: str) -> list[str]:
        health = opamp_pb2.ComponentHealth(healthy=healthy, last_error=error)
        return names(list(domain.apply(gateway, make_report(UID, opamp_pb2.AgentToServer(health=health)))))

    assert report(False, "exit code=1") == ["AgentHealthChanged"]
    assert report(False, "exit code=1") == []
    assert report(False, "exit code=2") == ["AgentHealthChanged"]
    assert report(True, "") == ["AgentHealthChanged"]


def test_a_late_entry_of_a_superseded_connection_changes_nothing() -> None:
    """Item 60: neither its reports nor its end touch the newer connection's state."""
    gateway = make_gateway()
    newer = {"connection": UUID(int=2), "connected_at": START + timedelta(minutes=1)}
    assert names(list(domain.apply(gateway, make_report(UID, first_report(), **newer)))) == ["AgentConnected"]
    unhealthy = opamp_pb2.AgentToServer(health=opamp_pb2.ComponentHealth(healthy=False))
    assert domain.apply(gateway, make_report(UID, unhealthy)) == []
    gone = make_report(UID, kind=uplink_pb2.ENTRY_KIND_DISCONNECTED)
    assert domain.apply(gateway, gone) == []
    assert (gateway.healthy, gateway.is_connected) == (True, True)


def test_a_disconnect_is_told_once_and_a_later_message_connects_again() -> None:
    """Items 75 to 78."""
    gateway = make_gateway()
    gone = make_report(UID, kind=uplink_pb2.ENTRY_KIND_DISCONNECTED, reason=uplink_pb2.DISCONNECT_REASON_AGENT)
    (fact,) = domain.apply(gateway, gone)
    assert isinstance(fact, facts.AgentDisconnected) and fact.reason == "agent"
    assert domain.apply(gateway, gone) == []
    again = make_report(UID, opamp_pb2.AgentToServer(sequence_num=9))
    assert names(list(domain.apply(gateway, again))) == ["AgentConnected"]


def test_a_drain_is_the_end_only_when_the_agent_stays_away() -> None:
    """Its ingress sent it elsewhere: connected until it is known better, and announced anew when it comes."""
    gateway = make_gateway()
    gone = make_report(UID, kind=uplink_pb2.ENTRY_KIND_DISCONNECTED, reason=uplink_pb2.DISCONNECT_REASON_DRAIN)
    assert domain.apply(gateway, gone) == []
    assert (gateway.is_connected, gateway.is_away, gateway.disconnect_reason) == (True, True, "drain")
    later = {"connection": UUID(int=2), "connected_at": START + timedelta(seconds=1)}
    again = make_report(UID, opamp_pb2.AgentToServer(), **later)
    assert names(list(domain.apply(gateway, again))) == ["AgentConnected"]
    assert (gateway.is_connected, gateway.is_away, gateway.disconnect_reason) == (True, False, "")


def test_a_hash_alone_keeps_the_components_known_under_it() -> None:
    """Item 141."""
    gateway = make_gateway()
    components = opamp_pb2.AvailableComponents(hash=b"h")
    domain.apply(gateway, make_report(UID, opamp_pb2.AgentToServer(available_components=components)))
    assert gateway.components_hash == b"h"
    gateway.dirty = Dirty.NOTHING
    domain.apply(gateway, make_report(UID, opamp_pb2.AgentToServer(available_components=components)))
    assert gateway.dirty == Dirty.SEEN


def test_every_kind_of_attribute_value_is_kept_as_text() -> None:
    """Item 80: seven kinds, null, nested lists and maps."""
    value = anyvalue_pb2.AnyValue
    pairs = {
        "null": value(),
        "bool": value(bool_value=True),
        "int": value(int_value=-(2**63)),
        "double": value(double_value=1.5),
        "list": value(array_value=anyvalue_pb2.ArrayValue(values=[value(int_value=1), value(string_value="b")])),
        "map": value(
            kvlist_value=anyvalue_pb2.KeyValueList(values=[anyvalue_pb2.KeyValue(key="k", value=value(int_value=2))])
        ),
        "bytes": value(bytes_value=b"\xff\x00"),
    }
    description = opamp_pb2.AgentDescription(
        non_identifying_attributes=[anyvalue_pb2.KeyValue(key=key, value=one) for key, one in pairs.items()]
    )
    report = make_report(UID, opamp_pb2.AgentToServer(agent_description=description))
    assert domain.described(report) == {
        "null": "",
        "bool": "true",
        "int": "-9223372036854775808",
        "double": "1.5",
        "list": "[1, b]",
        "map": "{k: 2}",
        "bytes": "ff00",
    }


def test_an_identity_needs_host_and_service() -> None:
    """Without both, two agents could not be told apart."""
    assert domain.identity_key({"service.name": "otelcol"}) is None
    one = domain.identity_key({"service.name": "otelcol", "host.name": "a"})
    other = domain.identity_key({"service.name": "otelcol", "host.name": "a", "k8s.pod.name": "p"})
    assert one != other
