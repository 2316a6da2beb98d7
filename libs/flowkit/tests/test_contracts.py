"""Subjects, streams and methods as proto/ declares them."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from flowgate.agent.v1 import events_pb2 as agent_facts
from flowgate.config.v1 import events_pb2 as config_facts
from flowgate.rpc.v1 import agent_registry_pb2
from flowgate.uplink.v1 import uplink_pb2
from flowkit import contracts

PROTO = Path(__file__).resolve().parents[3] / "proto"


def test_generated_code_is_current(tmp_path: Path) -> None:
    """`make proto` would change nothing."""
    subprocess.run([sys.executable, str(PROTO / "generate.py"), str(tmp_path)], check=True)
    made = {path.relative_to(tmp_path): path.read_text() for path in tmp_path.rglob("*.py*")}
    committed = PROTO / "gen" / "python"
    kept = {path.relative_to(committed): path.read_text() for path in committed.rglob("*_pb2.py*")}
    assert {path: text for path, text in made.items() if path.name.endswith((".py", ".pyi"))} == {
        path: text for path, text in kept.items() if path.name.endswith((".py", ".pyi"))
    }


def test_contracts_keep_to_buf(tmp_path: Path) -> None:
    """Names, packages and comments as buf's standard rules have them."""
    buf = Path(sys.executable).parent / "buf"
    result = subprocess.run([str(buf), "lint"], cwd=PROTO, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout) == (0, "")


def test_a_subject_takes_its_ids_from_the_message() -> None:
    """{field} stands for the value of a field."""
    fact = agent_facts.AgentConnected(instance_uid="0a", gateway_id="g")
    assert contracts.subject_of(fact) == "flowgate.evt.agent.v1.connected.0a"
    assert contracts.subject_of(uplink_pb2.UplinkBatch(shard=7)) == "flowgate.uplink.v1.7"


def test_every_event_comes_back_from_its_subject() -> None:
    """The subject alone tells the type, so a subscriber needs no header."""
    assert len(contracts.event_types()) >= 13
    for name, kind in contracts.event_types().items():
        named = re.search(r"\{(\w+)\}", contracts.subject_template(kind.DESCRIPTOR))
        assert named is not None
        message = kind(**{named[1]: "u"})
        assert contracts.decode_event(contracts.subject_of(message), message.SerializeToString()) == message
        assert contracts.event_name(kind) == name
    assert contracts.event_types()["agent.health-changed"] is agent_facts.AgentHealthChanged


@pytest.mark.parametrize("subject", ["flowgate.evt.agent.v1.nothing.u", "flowgate.presence.v1", "", "a.b.c.d.e.f"])
def test_an_unknown_subject_is_refused(subject: str) -> None:
    """Not guessed."""
    with pytest.raises(LookupError):
        contracts.decode_event(subject, b"")


def test_each_event_is_stored_by_the_stream_of_its_file() -> None:
    """A stream takes every event of its domain."""
    assert contracts.stream_of(config_facts.DeliveryStateChanged) == "CONFIG_EVENTS"
    for kind in contracts.event_types().values():
        (subjects,) = contracts.streams()[contracts.stream_of(kind)].subjects
        assert contracts.filter_of(kind).startswith(subjects.removesuffix(">"))


def test_a_question_asks_one_method() -> None:
    """The owner is part of the subject."""
    method = contracts.rpc_methods()[agent_registry_pb2.ListGatewaysRequest]
    assert (method.service, method.subject) == ("agent-registry", "flowgate.rpc.agent-registry.v1.list-gateways")
    assert method.response is agent_registry_pb2.ListGatewaysResponse
    assert len({one.subject for one in contracts.rpc_methods().values()}) == len(contracts.rpc_methods())
