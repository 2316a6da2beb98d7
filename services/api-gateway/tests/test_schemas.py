"""What the contracts look like in JSON."""

from datetime import UTC, datetime

import orjson
import pytest
from pydantic import BaseModel, ValidationError

from api_gateway.owners import canonical_id, plain_id
from api_gateway.schemas import agent, config, description, event, fleet, gateway, labels, problem, supervisor, values
from api_gateway.testing import make_gateway
from flowgate.agent.v1 import events_pb2 as agent_events
from flowgate.config.v1 import events_pb2 as config_events
from flowgate.rpc.v1 import agent_registry_pb2 as registry
from flowgate.rpc.v1 import config_push_pb2 as configs
from flowgate.rpc.v1 import supervisor_control_pb2 as supervisors
from flowkit import contracts
from flowkit.errors import NotFoundError
from opamp.v1 import opamp_pb2 as opamp
from opamp.v1.anyvalue_pb2 import AnyValue, ArrayValue, KeyValue, KeyValueList


def all_models(below: type[BaseModel] = values.ApiModel) -> list[type[BaseModel]]:
    """Every model of the API, but the problem and the event, which take more members."""
    found = [problem.Problem, event.FleetEvent] if below is values.ApiModel else [below]
    return found + [one for model in below.__subclasses__() for one in all_models(model)]


NOW = datetime(2026, 11, 2, 8, 20, 0, tzinfo=UTC)
ZULU = "2026-11-02T08:15:30.125Z"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (AnyValue(), None),
        (AnyValue(string_value="a\u00e9\U0001f600"), "a\u00e9\U0001f600"),
        (AnyValue(bool_value=False), False),
        (AnyValue(int_value=-7), -7),
        (AnyValue(int_value=2**53 - 1), 2**53 - 1),
        (AnyValue(int_value=2**53), "9007199254740992"),
        (AnyValue(int_value=-(2**63)), "-9223372036854775808"),
        (AnyValue(double_value=0.5), 0.5),
        (AnyValue(double_value=float("nan")), "NaN"),
        (AnyValue(double_value=float("-inf")), "-Infinity"),
        (AnyValue(bytes_value=b"\x00\xff"), {"bytesValue": "AP8="}),
        (AnyValue(array_value=ArrayValue(values=[AnyValue(int_value=1), AnyValue()])), [1, None]),
        (
            AnyValue(kvlist_value=KeyValueList(values=[KeyValue(key="k", value=AnyValue(bool_value=True))])),
            {"k": True},
        ),
    ],
)
def test_every_kind_of_attribute_value_has_a_json_form(value: AnyValue, expected: object) -> None:
    """All seven kinds and null; nothing loses digits, nothing is outside JSON."""
    assert expected == values.any_value(value)
    orjson.dumps(values.any_value(value))


def test_a_value_nested_as_deep_as_protobuf_reads_can_be_written() -> None:
    """protobuf refuses messages nested deeper than 100; what it reads, orjson writes."""
    value = AnyValue(string_value="deep")
    for _ in range(45):
        value = AnyValue(array_value=ArrayValue(values=[value]))
    assert orjson.dumps(values.any_value(AnyValue.FromString(value.SerializeToString()))).startswith(b"[[[")


def test_capabilities_are_names_and_unknown_bits_hex_numbers() -> None:
    """All 64 bits survive: names for people, decimal text for programs."""
    detail = make_gateway(1, capabilities=0x1 | 0x400 | 1 << 63)
    body = gateway.gateway_json(detail.gateway)
    assert body["capabilities"] == ("ReportsStatus", "AcceptsRestartCommand", "0x8000000000000000")
    assert str(0x1 | 0x400 | 1 << 63) == body["capabilities_mask"]


def test_times_are_rfc_3339_in_utc_and_unset_ones_null() -> None:
    """To the millisecond; what a broken clock reports is never an error."""
    body = gateway.gateway_json(make_gateway(1).gateway)
    assert (body["last_seen_at"], body["disconnected_at"]) == (ZULU, None)
    assert values.nano_time(2**64 - 1) == "2554-07-21T23:34:33.709Z"
    broken = registry.Gateway()
    broken.last_seen_at.seconds = 2**62
    assert values.stamp(broken, "last_seen_at") is None


def test_a_gateway_fits_its_schema() -> None:
    """The dictionary that is sent is what OpenAPI describes, for an empty gateway too."""
    gateway.GatewayResponse.model_validate(gateway.gateway_json(make_gateway(1).gateway))
    empty = gateway.gateway_json(registry.Gateway())
    gateway.GatewayResponse.model_validate(empty)
    assert (empty["management_mode"], empty["status"]) == ("extension", "offline")


def test_an_offline_agent_is_never_healthy() -> None:
    """Its health is unknown; what it reported last is told apart."""
    detail = make_gateway(1, status=registry.GATEWAY_STATUS_OFFLINE)
    detail.health = opamp.ComponentHealth(
        healthy=True, component_health_map={"pipeline:logs": opamp.ComponentHealth(healthy=True)}
    ).SerializeToString()
    summary = gateway.health_json(detail.gateway)
    assert (summary["state"], summary["healthy"]) == ("unknown", None)
    assert summary["last_known"]["healthy"] is True
    body = agent.agent_health_json(detail, NOW)
    assert (body["components"], body["uptime_seconds"], body["status"]) == ({}, None, "offline")
    assert body["last_known"]["components"]["pipeline:logs"]["healthy"] is True
    agent.AgentHealthResponse.model_validate(body)


def test_an_agent_that_never_reported_its_health_is_unknown() -> None:
    """Unset is neither healthy nor unhealthy."""
    bare = registry.Gateway(status=registry.GATEWAY_STATUS_ONLINE)
    assert tuple(gateway.health_json(bare)[key] for key in ("state", "healthy", "last_known")) == (
        "unknown",
        None,
        None,
    )


def test_health_is_a_tree_with_uptime() -> None:
    """Components nest; the uptime counts from the collector's own start time and is never negative."""
    detail = make_gateway(1)
    leaf = opamp.ComponentHealth(last_error="refused", status="StatusRecoverableError")
    pipeline = opamp.ComponentHealth(
        healthy=False, start_time_unix_nano=1_793_607_330_125_000_000, component_health_map={"exporter:otlp": leaf}
    )
    detail.health = opamp.ComponentHealth(component_health_map={"pipeline:traces": pipeline}).SerializeToString()
    body = agent.agent_health_json(detail, NOW)
    agent.AgentHealthResponse.model_validate(body)
    assert body["components"]["pipeline:traces"]["components"]["exporter:otlp"]["last_error"] == "refused"
    assert body["components"]["pipeline:traces"]["started_at"] == ZULU
    assert body["uptime_seconds"] == 270
    assert agent.agent_health_json(detail, datetime(2026, 1, 1, tzinfo=UTC))["uptime_seconds"] == 0


def test_version_holds_the_components_and_what_cannot_be_read_is_left_out() -> None:
    """AvailableComponents nest by kind and name; damaged bytes are no failure."""
    detail = make_gateway(1)
    otlp = opamp.ComponentDetails(metadata=[KeyValue(key="type", value=AnyValue(string_value="otlp"))])
    receivers = opamp.ComponentDetails(sub_component_map={"otlp": otlp})
    available = opamp.AvailableComponents(components={"receivers": receivers}, hash=b"\xab")
    detail.available_components = available.SerializeToString()
    detail.agent_description = b"\xff\xff"
    body = description.version_json(detail)
    description.AgentVersionResponse.model_validate(body)
    assert body["components"]["receivers"]["components"]["otlp"]["metadata"] == {"type": "otlp"}
    assert (body["components_hash"], body["os_description"], body["version"]) == ("ab", None, "0.149.0")


def test_description_keeps_the_agents_words() -> None:
    """Identifying and other attributes apart, values as they are."""
    detail = make_gateway(1)
    detail.agent_description = opamp.AgentDescription(
        identifying_attributes=[KeyValue(key="service.name", value=AnyValue(string_value="otelcol"))],
        non_identifying_attributes=[KeyValue(key="n", value=AnyValue(int_value=3))],
    ).SerializeToString()
    body = description.description_json(detail)
    description.AgentDescriptionResponse.model_validate(body)
    assert (
        body["identifying_attributes"],
        body["non_identifying_attributes"],
    ) == ({"service.name": "otelcol"}, {"n": 3})


def test_effective_config_is_text_or_base64() -> None:
    """UTF-8 stays text, comments included; anything else is base64 and says so."""
    known = configs.GetAgentConfigResponse(
        effective=[
            configs.ConfigFile(name="", body=b"a: 1 # \xc3\xa9\n", content_type="text/yaml"),
            configs.ConfigFile(name="raw", body=b"\xff"),
        ],
        effective_hash="aa",
    )
    body = config.config_json(make_gateway(1).gateway, known)
    config.AgentConfigResponse.model_validate(body)
    assert body["effective"]["files"][""] == {
        "body": "a: 1 # \u00e9\n",
        "encoding": "utf-8",
        "content_type": "text/yaml",
    }
    assert body["effective"]["files"]["raw"] == {"body": "/w==", "encoding": "base64", "content_type": None}
    assert (body["assigned"], body["state"], body["delivery"]) == (None, None, None)


@pytest.mark.parametrize("state", ["pending", "offered", "applying", "applied", "failed", "superseded"])
def test_config_states_have_the_words_of_the_contract(state: str) -> None:
    """Every state of a delivery, and the agent's own words with it."""
    number = config_events.DeliveryState.Value(f"DELIVERY_STATE_{state.upper()}")
    delivery = configs.Delivery(delivery_id="d", state=number, error="its words" if state == "failed" else "")
    known = configs.GetAgentConfigResponse(assigned_hash="aa", assigned_config="a: 1", delivery=delivery)
    body = config.config_json(make_gateway(1).gateway, known)
    config.AgentConfigResponse.model_validate(body)
    assert (state, "its words" if state == "failed" else None) == (body["state"], body["error"])


def test_an_agent_unknown_to_config_push_has_no_configuration() -> None:
    """The registry may be ahead of config-push; that is not an error."""
    body = config.config_json(make_gateway(1).gateway, None)
    config.AgentConfigResponse.model_validate(body)
    assert tuple(body[key] for key in ("effective", "assigned", "state", "reported")) == (None, None, None, None)


def test_supervisor_bodies_fit_their_schemas() -> None:
    """State, log records and actions; what is missing is null."""
    detail = make_gateway(2, supervised=True)
    state = supervisors.Supervisor(
        collector_state="running", collector_starts=2**60, command=supervisors.Command(command_id="c", state=3)
    )
    body = supervisor.supervisor_status_json(detail, state, None, [], NOW)
    supervisor.SupervisorStatusResponse.model_validate(body)
    assert (str(2**60), "completed") == (body["collector_starts"], body["command"]["state"])
    supervisor.UiAgent.model_validate(supervisor.ui_agent_json(detail.gateway, None, None))
    whole = supervisor.ui_detail_json(detail, None, None, None, ["config-push", "supervisor-control"], NOW)
    supervisor.UiAgentResponse.model_validate(whole)
    assert (whole["config"], whole["supervisor"], whole["logs"]) == (None, None, [])


def test_an_action_that_cannot_be_ordered_says_why() -> None:
    """The capability, and what to set so that the agent has it."""
    watched = supervisor.actions_json(make_gateway(1).gateway)
    assert "Run the collector under opampsupervisor" in watched["push_config"]["reason"]
    lacking = make_gateway(2, supervised=True).gateway
    lacking.capabilities = 1
    actions = supervisor.actions_json(lacking)
    assert actions["push_config"]["capability"] == "AcceptsRemoteConfig"
    assert "accepts_remote_config: true" in actions["push_config"]["reason"]
    assert supervisor.actions_json(make_gateway(2, supervised=True).gateway)["restart"]["available"] is True


def test_a_summary_names_every_state_and_unknown_versions() -> None:
    """Zeroes are told, so that a chart does not lose its slices."""
    counts = registry.GetFleetSummaryResponse(
        total=2, by_mode={"extension": 2}, by_version={"": 1, "0.149.0": 1}, by_config_state={"applied": 1}
    )
    body = fleet.summary_json(counts, None, [])
    fleet.FleetSummaryResponse.model_validate(body)
    assert body["by_mode"] == {"extension": 2, "supervisor": 0}
    assert body["by_version"] == {"unknown": 1, "0.149.0": 1}
    assert (body["by_config_state"]["applied"], body["by_config_state"]["failed"]) == (1, 0)


@pytest.mark.parametrize("name", sorted(contracts.event_types()))
def test_every_event_type_becomes_json(name: str) -> None:
    """A new fact in proto/ is streamed without a change here."""
    kind = contracts.event_types()[name]
    has_agent = "instance_uid" in kind.DESCRIPTOR.fields_by_name
    body = event.event_json(kind(instance_uid="u") if has_agent else kind(), None)
    event.FleetEvent.model_validate(body)
    orjson.dumps(body)
    assert name == body["event"]


def test_events_speak_the_apis_words() -> None:
    """instance_uid is instance_id, enums lower case, capabilities names, maps and lists as such."""
    changed = agent_events.AgentCapabilitiesChanged(
        instance_uid="u", capabilities=3, management_mode="MANAGEMENT_MODE_SUPERVISOR"
    )
    body = event.event_json(changed, "e1")
    assert (
        body["instance_id"],
        body["capabilities"],
        body["management_mode"],
        body["previous_management_mode"],
        body["event_id"],
    ) == ("u", ("ReportsStatus", "AcceptsRemoteConfig"), "supervisor", None, "e1")
    described = agent_events.AgentDescriptionChanged(changed={"host.name": "h"}, removed=["x"])
    assert tuple(event.event_json(described, None)[key] for key in ("changed", "removed")) == (
        {"host.name": "h"},
        ["x"],
    )


@pytest.mark.parametrize("key", ["env", "a.b/c-d_e.f", "A", "0", "x" * 63, "example.com/" + "x" * 63])
def test_label_keys_as_kubernetes_has_them(key: str) -> None:
    """Prefix and name within their lengths and letters."""
    assert key == labels.label_key(key)


@pytest.mark.parametrize("key", ["", "-a", "a-", "x" * 64, "a b", "/a", "a/", "A.b/c", "a/b/c", "\u00e9", "a\n"])
def test_other_label_keys_are_refused(key: str) -> None:
    """The message says what is wrong."""
    with pytest.raises(ValueError, match="label key"):
        labels.label_key(key)


@pytest.mark.parametrize("value", ["-", "x" * 64, "a b", "a\n", "a="])
def test_label_values_that_kubernetes_would_refuse_are_refused(value: str) -> None:
    """Empty is fine, the rest like names."""
    assert labels.label_value("") == ""
    with pytest.raises(ValueError, match="label value"):
        labels.label_value(value)


def test_a_patch_tells_unchanged_from_removed() -> None:
    """JSON merge patch: left out stays, null goes."""
    untouched = gateway.GatewayPatch.model_validate({"labels": {"a": "1", "b": None}}).order("g")
    assert (
        untouched.HasField("name"),
        dict(untouched.set_labels),
        list(untouched.remove_labels),
    ) == (False, {"a": "1"}, ["b"])
    default = gateway.GatewayPatch.model_validate({"name": None}).order("g")
    assert (default.HasField("name"), default.name) == (True, "")


def test_filters_become_the_registrys_question() -> None:
    """Each filter has its field; a label without value wants any value."""
    filters = gateway.FleetFilters.model_validate(
        {"status": ["stale", "online", "stale"], "healthy": False, "label": ["env=prod", "team"], "sort": "-name"}
    )
    question = filters.question("supervisor")
    assert (
        registry.ListGatewaysRequest(
            management_mode="MANAGEMENT_MODE_SUPERVISOR",
            statuses=["GATEWAY_STATUS_ONLINE", "GATEWAY_STATUS_STALE"],
            healths=["HEALTH_STATE_UNHEALTHY", "HEALTH_STATE_UNKNOWN"],
            labels={"env": "prod", "team": ""},
            sort="-name",
            limit=100,
        )
        == question
    )
    with pytest.raises(ValidationError, match="two values"):
        gateway.FleetFilters(label=["env=a", "env=b"])


@pytest.mark.parametrize(
    "model", [model for model in all_models() if "examples" in model.model_config.get("json_schema_extra", {})]
)
def test_the_examples_of_openapi_are_true(model: type[BaseModel]) -> None:
    """An example that does not fit its schema would teach the wrong thing."""
    for example in model.model_config["json_schema_extra"]["examples"]:  # type: ignore[index,call-overload]
        model.model_validate(example)


def test_ids_are_normalised() -> None:
    """Upper case, braces, urn and missing dashes are forgiven; what is no UUID names nothing."""
    canonical = "0198e4b0-7c1d-7a3e-9f00-0000000000a7"
    for text in (canonical, canonical.upper(), canonical.replace("-", ""), f"{{{canonical}}}", f"urn:uuid:{canonical}"):
        assert canonical == canonical_id(text)
    for text in ("", "x", canonical + "0", "0" * 31):
        with pytest.raises(NotFoundError):
            canonical_id(text)
    with pytest.raises(NotFoundError):
        plain_id("a/b", "command")
