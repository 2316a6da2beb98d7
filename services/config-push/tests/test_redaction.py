"""Secrets in reported configurations, without any I/O."""

import pytest
import yaml

from config_push import redaction
from flowkit import tokens
from opamp.v1 import opamp_pb2

REPORTED = """\
exporters:
  otlp_http/größer:
    endpoint: https://user:hunter2@example.com:4318  # a comment with ümlauts
    headers:
      Authorization: Bearer abc.def
      x-api-key: 'k1'
      X-Scope-OrgID: tenant
      X-Honeycomb-Team: k2
  splunk_hec: {token: "k3", index: main}
  kafka:
    auth:
      plain_text: {username: me, password: 12345}
    tls:
      key_file: /etc/key.pem
      key_pem: |
        -----BEGIN PRIVATE KEY-----
        k4
        -----END PRIVATE KEY-----
      ca_file: /etc/ca.pem
extensions:
  bearertokenauth:
    token: ${env:TOKEN}
    filename: /var/token
  oauth2client:
    client_id: me
    client_secret: "[REDACTED]"
    scopes: [a, b]
service:
  telemetry:
    metrics:
      readers:
        - periodic:
            exporter:
              otlp:
                endpoint: http://127.0.0.1:4320/v1/metrics
                headers:
                  - name: Authorization
                    value: Bearer k5
                  - {name: X-Tenant, value: a}
"""
SECRETS = ("hunter2", "abc.def", "k1", "k2", "k3", "12345", "k4", "k5", "PRIVATE")


def test_values_of_secret_keys_are_masked_and_the_rest_stays() -> None:
    """Lines, order, comments, and what only names a secret."""
    told = redaction.text(REPORTED)
    assert [secret for secret in SECRETS if secret in told] == []
    for kept in (
        "# a comment with ümlauts",
        "https://user:[REDACTED]@example.com:4318",
        "X-Scope-OrgID: tenant",
        'x-api-key: "[REDACTED]"',
        'splunk_hec: {token: "[REDACTED]", index: main}',
        "username: me",
        "key_file: /etc/key.pem",
        'key_pem: "[REDACTED]"\n      ca_file: /etc/ca.pem',
        "token: ${env:TOKEN}",
        "filename: /var/token",
        "scopes: [a, b]",
        'value: "[REDACTED]"\n                  - {name: X-Tenant, value: a}',
    ):
        assert kept in told
    assert redaction.text(told) == told
    assert yaml.safe_load(told).keys() == yaml.safe_load(REPORTED).keys()


@pytest.mark.parametrize(
    "kept",
    [
        "a: 1\n",
        "processors: {batch: {timeout: 1s}}\n",
        "token:\n",
        "include_token: true\n",
        "authorization: ''\n",
        "password: ${env:P}\n",
        "monkey: banana\n",
        "# token: that is a comment\na: 1\n",
    ],
)
def test_what_is_no_secret_stays_to_the_letter(kept: str) -> None:
    """Empty values, switches, references."""
    assert redaction.body(kept.encode()) == kept.encode()


def test_an_alias_does_not_bring_a_secret_back() -> None:
    """The anchor's value is masked where it stands."""
    told = redaction.text("a: {password: &p hunter2}\nb: {password: *p, plain: *p}\n")
    assert "hunter2" not in told


def test_a_list_under_a_secret_key_is_masked() -> None:
    """Each of it."""
    assert redaction.text("tokens: [a1, b2]\n") == 'tokens: ["[REDACTED]", "[REDACTED]"]\n'


def test_what_is_no_yaml_is_looked_at_line_by_line() -> None:
    """A damaged text is no way out."""
    told = redaction.text('a: [\npassword: hunter2\n- api_key = "k1"\nx: https://u:hunter3@h/\n  y: Bearer abc\n')
    assert told == (
        'a: [\npassword: "[REDACTED]"\n- api_key = "[REDACTED]"\nx: https://u:[REDACTED]@h/\n  y: "[REDACTED]"\n'
    )


def test_issued_tokens_are_masked_wherever_they_stand() -> None:
    """Also under a key that tells nothing, and in what is no text."""
    for prefix in (tokens.ADMIN, tokens.ENROLLMENT, tokens.TELEMETRY):
        token = tokens.mint(prefix)
        assert token.encode() not in redaction.body(f"a: [{token}]\n".encode())
        assert token.encode() not in redaction.body(b"\xff\xfe" + token.encode())


def test_masks_are_found_where_they_stand_for_a_secret() -> None:
    """Each with line and column; one within a longer text or in a comment is the operator's own."""
    text = f'''\
# token: "[REDACTED]"
exporters:
  otlp/größer: {{token: "[REDACTED]", endpoint: "https://user:[REDACTED]@example.com"}}
  other:
    key_pem: |
      [REDACTED]
    headers: ["{tokens.redact(tokens.mint(tokens.ENROLLMENT))}"]
processors:
  transform: replace_pattern(body, "password=\\\\S+", "password=[REDACTED]")
'''
    assert redaction.masked(text) == [(3, 25), (3, 57), (6, 7), (7, 16)]
    assert redaction.masked(redaction.text(REPORTED)) != []
    assert redaction.masked("a: 1\n") == []


def test_every_file_of_a_configuration_is_looked_at() -> None:
    """Names and types stay."""
    config = opamp_pb2.EffectiveConfig()
    for name in ("", "b.yaml"):
        config.config_map.config_map[name].body = b"password: hunter2\n"
        config.config_map.config_map[name].content_type = "text/yaml"
    told = redaction.redacted(config)
    assert {one.body for one in told.config_map.config_map.values()} == {b'password: "[REDACTED]"\n'}
    assert {one.content_type for one in told.config_map.config_map.values()} == {"text/yaml"}
    assert config.config_map.config_map[""].body == b"password: hunter2\n"
