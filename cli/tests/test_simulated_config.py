"""What a simulated collector makes of its configuration."""

import pytest

from flowgate_cli.simulated_config import Telemetry, compose, parse_error

PIPELINE = b"""
receivers: {nop: {}}
exporters: {debug: {}}
service: {pipelines: {logs: {receivers: [nop], exporters: [debug]}}}
"""


def check(*bodies: bytes) -> str:
    return compose(bodies, Telemetry(), True).error


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"a: 1\n", ""),
        (b"", ""),
        (b"a: [1\nb: 2\n", "yaml: line 2: "),
        (b"\tx: 1\n", "yaml: line 1: "),
        (b"just text\n", "yaml: unmarshal errors"),
        (b"a: 1\na: 2\n", "yaml: line 2: "),
        (b"\xff\xfe\x00", "yaml: "),
    ],
)
def test_yaml_errors_name_the_line(body: bytes, expected: str):
    assert parse_error(body).startswith(expected)
    assert bool(expected) == bool(parse_error(body))


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (PIPELINE, ""),
        (PIPELINE.replace(b"{nop: {}}", b"{nop/2: {}, nop: {}}"), ""),
        (PIPELINE.replace(b"[debug]", b"[otlp]"), 'references exporter "otlp" which is not configured'),
        (PIPELINE.replace(b"nop", b"nope"), "'receivers' unknown type: \"nope\""),
        (PIPELINE.replace(b"logs:", b"words:"), 'unknown signal "words"'),
        (PIPELINE.replace(b"exporters: [debug]", b"exporters: []"), "must have at least one exporter"),
        (PIPELINE + b"recievers: {}\n", "'' has invalid keys: recievers"),
        (b"receivers: {nop: {}}\n", "service must have at least one pipeline"),
        (b"receivers: [nop]\n", "'receivers' expected a map, got list"),
    ],
)
def test_a_bad_configuration_is_told_as_the_collector_tells_it(body: bytes, expected: str):
    error = check(body)
    assert expected in error
    assert bool(expected) == bool(error)


def test_maps_merge_lists_are_replaced_and_extensions_are_joined():
    """B4, several files: what the real supervisor does."""
    other = b"""
service: {extensions: [zpages], pipelines: {logs: {receivers: [nop/2]}}}
extensions: {zpages: {}}
receivers: {nop/2: {}}
"""
    composed = compose((PIPELINE, other), Telemetry(), True)
    assert composed.error == ""
    assert composed.components["extensions"] == ("extension:opamp", "extension:zpages")
    assert composed.components["pipeline:logs"] == ("receiver:nop/2", "exporter:debug")
