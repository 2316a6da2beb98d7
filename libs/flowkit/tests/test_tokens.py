"""Tokens are found in any text, and a telemetry token opens for one agent."""

import os

import pytest

from flowkit import tokens


@pytest.mark.parametrize("prefix", [tokens.ADMIN, tokens.ENROLLMENT, tokens.TELEMETRY])
def test_masks_issued_tokens_and_keeps_the_length(prefix: str) -> None:
    token = tokens.mint(prefix)
    text = f'headers:\n  - name: Authorization\n    value: "Bearer {token}"\n'
    masked = tokens.redact(text)
    assert token not in masked and prefix + "***" in masked and len(masked) == len(text)
    assert tokens.redact_bytes(text.encode()) == masked.encode()


def test_leaves_other_text_alone() -> None:
    text = "fg_ fge_short config: fgcol"
    assert tokens.redact(text) == text
    assert tokens.redact_bytes(text.encode()) == text.encode()


def test_telemetry_token_is_good_for_its_agent_only() -> None:
    key, uid = os.urandom(32), os.urandom(16)
    token = tokens.telemetry_token(key, uid)
    assert tokens.telemetry_token(key, uid) == token
    assert tokens.owner_of_telemetry_token(key, token) == (uid, tokens.BOOTSTRAP)
    enrolled = tokens.telemetry_token(key, uid, "9b2c")
    assert tokens.owner_of_telemetry_token(key, enrolled) == (uid, "9b2c") and enrolled != token
    assert tokens.owner_of_telemetry_token(os.urandom(32), token) is None
    forged = tokens.telemetry_token(key, os.urandom(16))[:36] + token[36:]
    assert tokens.owner_of_telemetry_token(key, forged) is None
    assert tokens.redact(token) != token


@pytest.mark.parametrize("token", ["", "fgt_", "fgt_%%%", "fgt_" + "A" * 40, "fge_" + "A" * 54])
def test_refuses_what_is_no_telemetry_token(token: str) -> None:
    assert tokens.owner_of_telemetry_token(b"k" * 32, token) is None
