"""Secrets in the configurations that agents report: masked before anything is stored.

An effective configuration has every value written out, those of headers and passwords too. What tells a secret is its
key; the text stays as it is otherwise, with its lines and its order.
"""

import re
from collections.abc import Iterator

import yaml

from flowkit import tokens
from opamp.v1 import opamp_pb2

REDACTED = "[REDACTED]"
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

# Ends of keys in lower case without -, _ and dots. Names of files and of environment variables are no secrets.
_SECRET_ENDS = (
    "authorization",
    "apikey",
    "token",
    "tokens",
    "password",
    "passwd",
    "passphrase",
    "secret",
    "secrets",
    "secretkey",
    "accesskey",
    "privatekey",
    "accountkey",
    "sharedkey",
    "signingkey",
    "encryptionkey",
    "licensekey",
    "ingestkey",
    "writekey",
    "keypem",
    "cookie",
    "credential",
    "credentials",
    "connectionstring",
    "xhoneycombteam",
)
_SEPARATORS = re.compile(r"[-_.\s]")
# A look at the text before it is parsed: most parts of most configurations have none of these.
_SUSPECT = re.compile(
    rb"authori[sz]ation|key|token|passw|passphrase|secret|cookie|credential|connection_?string|honeycomb|bearer|basic"
    rb"|://[^/\s\"']*@",
    re.IGNORECASE,
)
_CREDENTIALS = re.compile(r"(?i)^(bearer|basic|token|apikey|splunk)\s+\S")
_USERINFO = re.compile(r"(?<=://)([^/\s:@\"']+):([^/\s@\"']+)(?=@)")
_REFERENCE = re.compile(r"\$\{[^{}]*\}|\$\$?[A-Z_]+")  # ${env:NAME} and the like
# What stands for a secret in a text that was masked: all of a value, a password in an address, an issued token.
_MASKED = re.compile(r"\[REDACTED\]|(?<=://)[^/\s:@\"']+:\[REDACTED\](?=@)|fg[aetm]_\*{20,}")
# For a text that is no YAML, or a damaged one: key, separator, rest of the line.
_LINE = re.compile(r"(?m)^(\s*(?:-\s*)?[\"']?([\w.-]+)[\"']?\s*[:=]\s*)(\S.*)$")


def redacted(config: opamp_pb2.EffectiveConfig) -> opamp_pb2.EffectiveConfig:
    """The configuration without its secrets."""
    result = opamp_pb2.EffectiveConfig()
    result.CopyFrom(config)
    for one in result.config_map.config_map.values():
        one.body = body(one.body)
    return result


def body(raw: bytes) -> bytes:
    """One file of a configuration without its secrets; what is no text is kept as it is, but for issued tokens."""
    raw = tokens.redact_bytes(raw)
    if not _SUSPECT.search(raw):
        return raw
    try:
        return text(raw.decode()).encode()
    except UnicodeDecodeError:
        return raw


def text(config: str) -> str:
    """A YAML text without its secrets, and otherwise as it was. A text that is no YAML is looked at line by line."""
    config = tokens.redact(config)
    try:
        root = yaml.compose(config, Loader=_LOADER)
        places = sorted(_secrets(root), key=lambda node: node.start_mark.index, reverse=True) if root else []
    except (yaml.YAMLError, RecursionError, ValueError):
        return _USERINFO.sub(rf"\1:{REDACTED}", _LINE.sub(_line, config))
    for node in places:
        start, end = node.start_mark.index, node.end_mark.index
        found = config[start:end]
        tail = found[len(found.rstrip()) :]  # a block scalar goes on to the next line
        config = config[:start] + f'"{REDACTED}"' + tail + config[end:]
    return _USERINFO.sub(rf"\1:{REDACTED}", config)


def masked(config: str) -> list[tuple[int, int]]:
    """Line and column, from 1, of each value of a YAML text that has a mask in place of a secret.

    The mask in a longer text is none, such as in a statement that masks what passes through the collector.
    """
    if not _MASKED.search(config):
        return []
    found: list[tuple[int, int]] = []
    for token in yaml.scan(config, Loader=_LOADER):
        if not isinstance(token, yaml.ScalarToken):
            continue
        is_all = token.value.strip() == REDACTED
        for match in _MASKED.finditer(config, token.start_mark.index, token.end_mark.index):
            if is_all or match[0] != REDACTED:
                found.append(_place(config, match.start()))
    return found


def issued(config: str) -> list[tuple[int, int]]:
    """Line and column, from 1, of each token of FlowGate's own in a text, wherever it stands."""
    return [_place(config, begin) for begin in tokens.issued(config)]


def _place(text: str, begin: int) -> tuple[int, int]:
    return text.count("\n", 0, begin) + 1, begin - text.rfind("\n", 0, begin)


def is_secret(key: str) -> bool:
    """Whether a value under this key is a secret."""
    return _SEPARATORS.sub("", key.lower()).endswith(_SECRET_ENDS)


def _secrets(root: yaml.Node) -> Iterator[yaml.ScalarNode]:
    seen: set[int] = set()  # nodes that an alias names occur more than once
    waiting: list[tuple[yaml.Node, bool]] = [(root, False)]
    while waiting:
        node, is_hidden = waiting.pop()
        if isinstance(node, yaml.ScalarNode):
            if (is_hidden or _CREDENTIALS.match(node.value)) and _tells_something(node) and id(node) not in seen:
                seen.add(id(node))
                yield node
            continue
        if id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            waiting += [(item, is_hidden) for item in node.value]
        elif isinstance(node, yaml.MappingNode):
            waiting += [(value, hides) for value, hides in _values(node)]


def _values(node: yaml.MappingNode) -> Iterator[tuple[yaml.Node, bool]]:
    """Values of a mapping and whether they are secrets. Headers also come as pairs of `name` and `value`."""
    named = {key.value: value for key, value in node.value if isinstance(key, yaml.ScalarNode)}
    name = named.get("name", named.get("key"))
    is_pair = isinstance(name, yaml.ScalarNode) and is_secret(name.value)
    for key, value in node.value:
        own = key.value if isinstance(key, yaml.ScalarNode) else ""
        yield value, is_secret(own) or (own == "value" and is_pair)


def _tells_something(node: yaml.ScalarNode) -> bool:
    if node.tag in ("tag:yaml.org,2002:null", "tag:yaml.org,2002:bool"):
        return False
    return bool(node.value) and node.value != REDACTED and not _REFERENCE.fullmatch(node.value)


def _line(found: re.Match[str]) -> str:
    start, key, value = found.groups()
    bare = value.strip().strip("\"',")
    if not (is_secret(key) or _CREDENTIALS.match(bare)) or bare in ("", REDACTED, "|", ">", "[", "{"):
        return found[0]
    return f'{start}"{REDACTED}"'
