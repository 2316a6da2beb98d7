"""What collectors say, understood. The texts are recorded: `validate` and starts of a collector v0.149.0, error
messages of opampsupervisor v0.149.0."""

import pytest

from api_gateway.collector_words import explain, is_harmless, quote

_DECODING = (
    "failed to get config: cannot unmarshal the configuration: decoding failed due to the following error(s):\n\n"
)
_VALIDATED = (
    "configuration validation failed: configuration validation failed: config validation failed: exit status 1,"
    " output: Error: "
)
CONFIG = {
    "unknown type": (
        _VALIDATED + _DECODING + '\'exporters\' unknown type: "otpl" for id: "otpl/2" (valid values: [otlp_http'
        " otlphttp otlp nop debug])\n2026/11/23 21:24:08 failed to get config",
        'The collector was built without an exporter of type "otpl".',
        "exporter:otpl/2",
        "exporters.otpl/2",
        'Did you mean "otlp"?',
    ),
    "unknown key": (
        _DECODING + "'receivers' error reading configuration for \"otlp\": decoding failed due to the following"
        " error(s):\n\n'protocols.grpc' decoding failed due to the following error(s):\n\n'configgrpc.ServerConfig'"
        " has invalid keys: endpointt",
        "The collector knows no key endpointt in receivers.otlp.protocols.grpc.",
        "receiver:otlp",
        "receivers.otlp.protocols.grpc.endpointt",
        "Correct the key",
    ),
    "unknown section": (
        _DECODING + "'otelcol.configSettings' has invalid keys: recievers",
        "The collector knows no key recievers at the top of its configuration.",
        None,
        "recievers",
        'Did you mean "receivers"?',
    ),
    "wrong value": (
        _DECODING + "'processors' error reading configuration for \"batch\": decoding failed due to the following"
        " error(s):\n\n'timeout' time: invalid duration\n'send_batch_size' expected type 'uint32', got unconvertible"
        " type 'string'",
        "The value of processors.batch.timeout cannot be used: time: invalid duration.",
        "processor:batch",
        "processors.batch.timeout",
        "Give it a value",
    ),
    "undefined reference": (
        'service::pipelines::traces: references exporter "otlp_http/x" which is not configured',
        'service.pipelines.traces names the exporter "otlp_http/x", which the configuration does not have.',
        "exporter:otlp_http/x",
        "service.pipelines.traces.exporters",
        "Add it under exporters",
    ),
    "undefined extension": (
        'Error: service::extensions: references extension "health_check" which is not configured',
        'service.extensions names the extension "health_check", which the configuration does not have.',
        "extension:health_check",
        "service.extensions",
        "Add it under extensions",
    ),
    "missing endpoint": (
        "Error: invalid configuration: exporters::otlp_http: at least one endpoint must be specified",
        "exporter:otlp_http is not set up right: at least one endpoint must be specified.",
        "exporter:otlp_http",
        "exporters.otlp_http.endpoint",
        "environment variable",
    ),
    "nested setting": (
        "Error: invalid configuration: exporters::otlp_http::retry_on_failure: 'max_elapsed_time' must not be less"
        " than 'initial_interval'",
        "exporter:otlp_http is not set up right: 'max_elapsed_time' must not be less than 'initial_interval'.",
        "exporter:otlp_http",
        "exporters.otlp_http.retry_on_failure.max_elapsed_time",
        "Correct exporters.otlp_http.retry_on_failure.max_elapsed_time",
    ),
    "limits": (
        "processors::memory_limiter: 'check_interval' must be greater than zero",
        "processor:memory_limiter is not set up right: 'check_interval' must be greater than zero.",
        "processor:memory_limiter",
        "processors.memory_limiter.check_interval",
        "Correct",
    ),
    "no pipeline": (
        "Error: service::pipelines: service must have at least one pipeline",
        "service.pipelines: service must have at least one pipeline.",
        None,
        "service.pipelines",
        "Complete",
    ),
    "empty pipeline": (
        "service::pipelines::traces: must have at least one receiver",
        "service.pipelines.traces: must have at least one receiver.",
        None,
        "service.pipelines.traces",
        "Complete",
    ),
    "unknown signal": (
        _DECODING + '\'service.pipelines\' in "trace" id: unknown pipeline signal: "trace"',
        'There is no signal "trace" for a pipeline.',
        None,
        "service.pipelines.trace",
        'Did you mean "traces"?',
    ),
    "no yaml": (
        "yaml: line 1: did not find expected ',' or ']'",
        "The configuration is no YAML: line 1: did not find expected ',' or ']'.",
        None,
        "line 1",
        "Correct the text",
    ),
}
RUNNING = {
    "port in use": (
        'Error: cannot start pipelines: failed to start "otlp" receiver: listen tcp 127.0.0.1:45117: bind: address'
        " already in use",
        "receiver:otlp: 127.0.0.1:45117 is in use by another process.",
        "receiver:otlp",
        "sport = :45117",
    ),
    "no such address": (
        'failed to start "otlp" receiver: listen tcp 10.99.99.99:4317: bind: cannot assign requested address',
        "receiver:otlp: The host has no address 10.99.99.99 to listen on.",
        "receiver:otlp",
        "0.0.0.0",
    ),
    "no such file": (
        'failed to start "otlp" receiver: failed to load TLS config: failed to load TLS cert and key: open /nope.pem:'
        " no such file or directory",
        "receiver:otlp: The file /nope.pem does not exist on the host.",
        "receiver:otlp",
        "correct the path",
    ),
    "killed": (
        "Agent process PID=20499 exited unexpectedly, exit code=-1. Will restart in a bit...",
        "The collector was killed by a signal.",
        None,
        "OOM",
    ),
    "not in time": (
        "Config apply timeout exceeded",
        "The collector started with the configuration and was not healthy in time.",
        None,
        "config_apply_timeout",
    ),
}


@pytest.mark.parametrize("name", CONFIG)
def test_a_wrong_configuration_is_understood(name: str) -> None:
    """Component, key and what to do, from the collector's own words."""
    text, statement, component, key, todo = CONFIG[name]
    cause = explain(text)
    assert cause is not None and cause.is_config
    assert (cause.statement, cause.component, cause.config_key) == (statement, component, key)
    assert todo in cause.what_to_do


@pytest.mark.parametrize("name", RUNNING)
def test_a_failing_start_is_understood(name: str) -> None:
    """From the error that ends the collector, or its supervisor's words."""
    text, statement, component, todo = RUNNING[name]
    cause = explain(text)
    assert cause is not None and not cause.is_config
    assert (cause.statement, cause.component) == (statement, component)
    assert todo in cause.what_to_do


@pytest.mark.parametrize(
    ("body", "attributes", "component", "says"),
    [
        (
            "Failed to start component",
            {"error": "listen tcp 127.0.0.1:45117: bind: address already in use", "type": "Receiver", "id": "otlp"},
            "receiver:otlp",
            "in use by another process",
        ),
        (
            "Exporting failed. Dropping data.",
            {
                "otelcol.component.id": "otlp_http",
                "otelcol.component.kind": "exporter",
                "error": 'no more retries left: failed to make an HTTP request: Post "http://127.0.0.1:1/v1/logs": dial'
                " tcp 127.0.0.1:1: connect: connection refused",
            },
            "exporter:otlp_http",
            "Nothing takes connections at 127.0.0.1:1.",
        ),
        (
            "Exporting failed. Will retry the request after interval.",
            {
                "otelcol.component.id": "otlp/a",
                "otelcol.component.kind": "Exporter",
                "error": "rpc error: code = "
                "Unavailable desc = name resolver error: dial tcp: lookup no.such on 1.1.1.1:53: no such host",
            },
            "exporter:otlp/a",
            "The name no.such is not known to DNS.",
        ),
        (
            "Something odd",
            {"otelcol.component.id": "x", "otelcol.component.kind": "processor", "error": "odd indeed"},
            "processor:x",
            "odd indeed",
        ),
    ],
)
def test_a_log_record_names_its_component(body: str, attributes: dict[str, str], component: str, says: str) -> None:
    """In its attributes."""
    cause = explain(body, attributes)
    assert cause is not None
    assert (cause.component, cause.config_key) == (component, component.replace(":", "s.", 1))
    assert says in cause.statement


@pytest.mark.parametrize("text", ["", "boo", "Supervisor is shutdown", "Agent exited unexpectedly with exit code 1"])
def test_what_is_not_understood_is_not_made_up(text: str) -> None:
    """The caller passes the words on."""
    assert explain(text) is None


def test_a_quotation_is_one_line_and_not_too_long() -> None:
    """Whole stacks come as errors."""
    assert quote("a\n\n b") == "a b"
    assert len(quote("x" * 5000)) == 601


def test_an_error_that_means_nothing_is_told_from_the_same_words_for_another_reason() -> None:
    body = "Could not report OpAMP remote config status"
    assert is_harmless(body, {"error": "LastRemoteConfigHash is nil"})
    assert not is_harmless(body, {"error": "connection refused"})
    assert is_harmless("Cannot read a message from WebSocket: websocket: close 1006 (abnormal closure)", {})
    assert is_harmless("Error reading agent stderr", {"error": "read |0: file already closed"})
    assert not is_harmless("Error reading agent stderr", {"error": "input/output error"})
    assert not is_harmless("Agent exited", {"error": "LastRemoteConfigHash is nil"})
