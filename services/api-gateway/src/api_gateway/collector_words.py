"""What collectors and supervisors say when something is wrong, understood: which component, which key, what to do.

The patterns are made from the words of a collector v0.149.0 and opampsupervisor v0.149.0 as recorded; words that none
of them knows are passed on as they are.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches

_SECTIONS = ("receivers", "processors", "exporters", "extensions", "connectors", "service")
_LONGEST = 600  # characters of a quotation


@dataclass(frozen=True)
class Cause:
    """Why something does not work.

    Attributes:
        statement: the same in a sentence.
        component: such as `exporter:otlp_http`; None when no component is named.
        config_key: where in the configuration, with dots; None when no key is named.
        what_to_do: for people.
        is_config: the configuration itself is wrong, so that no collector would start with it.
    """

    statement: str
    what_to_do: str
    component: str | None = None
    config_key: str | None = None
    is_config: bool = False


def explain(text: str, attributes: Mapping[str, str] | None = None) -> Cause | None:
    """What a text says of the cause; None when it says nothing that is understood.

    Args:
        text: an error message or a log record's body.
        attributes: of the log record: collectors put the component and the error there.
    """
    said = attributes or {}
    words = "\n".join(filter(None, [text, said.get("error", "")]))
    for pattern, make in _CONFIG:
        if found := pattern.search(words):
            return make(found, words)
    component = _component(said, words)
    for pattern, statement, what_to_do in _RUNNING:
        if found := pattern.search(words):
            groups = {name: quote(text) for name, text in found.groupdict().items()}
            cause = Cause(statement.format(**groups), what_to_do.format(**groups))
            return cause if component is None else _with(cause, component)
    if component is not None and said.get("error"):
        return _with(
            Cause(f"{component} fails: {quote(said['error'])}", "See its documentation for this error."), component
        )
    return None


def is_harmless(text: str, attributes: Mapping[str, str]) -> bool:
    """Whether an error means nothing, since it is told whenever something ordinary happens."""
    return any(words in text and error in attributes.get("error", "") for words, error in _HARMLESS)


# opampsupervisor v0.149 tells the outcome of a configuration that came from nobody: after an offer of own telemetry, as
# long as there is no remote configuration. And its server for the collector beside it (opamp-go) tells when that one
# stops; what its client tells of the connection to FlowGate has other words. Nor does it wait for the last words of a
# collector that it has stopped.
_HARMLESS = (
    ("Error reading agent std", "file already closed"),
    ("Could not report OpAMP remote config status", "LastRemoteConfigHash is nil"),
    ("Cannot read a message from WebSocket: ", ""),
)


def quote(text: str) -> str:
    """A text in one line, not too long."""
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST else line[:_LONGEST] + "…"


def _with(cause: Cause, component: str) -> Cause:
    kind, _, name = component.partition(":")
    key = cause.config_key or f"{kind}s.{name}"
    statement = cause.statement if component in cause.statement else f"{component}: {cause.statement}"
    return Cause(statement, cause.what_to_do, component, key, cause.is_config)


def _component(attributes: Mapping[str, str], words: str) -> str | None:
    if name := attributes.get("otelcol.component.id"):
        return f"{attributes.get('otelcol.component.kind', 'component').lower()}:{name}"
    if "error" in attributes and (name := attributes.get("id")) and (kind := attributes.get("type")):
        return f"{kind.lower()}:{name}"
    if found := re.search(r'failed to start "([^"]+)" (\w+)', words):
        return f"{found[2].lower()}:{found[1]}"
    return None


# --- the configuration is wrong: what `validate` says too


def _unknown_type(found: re.Match[str], words: str) -> Cause:
    section, kind, name, valid = found[1], found[2], found[3], (found[4] or "").split()
    near = get_close_matches(kind, valid, 1)
    fix = f'Did you mean "{near[0]}"? ' if near else ""
    return Cause(
        f'The collector was built without {_a(section.removesuffix("s"))} of type "{kind}".',
        f"{fix}Use a type that this build has, or a collector that was built with it; the agent's components are under"
        " its version.",
        f"{section.removesuffix('s')}:{name}",
        f"{section}.{name}",
        True,
    )


def _a(noun: str) -> str:
    return f"an {noun}" if noun[0] in "aeiou" else f"a {noun}"


def _path(words: str, until: int) -> tuple[str | None, list[str]]:
    """Component and keys that a decoding error has named before its end, outermost first."""
    keys: list[str] = []
    component = None
    for found in re.finditer(
        r"'([^'\n]*)' (error reading configuration for \"([^\"]+)\"|decoding failed)", words[:until]
    ):
        if found[3]:
            keys = [found[1], found[3]]
            component = f"{found[1].removesuffix('s')}:{found[3]}"
        elif found[1] and not re.search(r"[A-Z]", found[1]):  # a Go type tells nothing
            keys.append(found[1])
    return component, keys


def _invalid_keys(found: re.Match[str], words: str) -> Cause:
    names = found[2].strip()
    component, keys = _path(words, found.start())
    first = names.split(",")[0].strip()
    near = get_close_matches(first, _SECTIONS, 1) if not keys else []
    fix = f'Did you mean "{near[0]}"? ' if near else ""
    where = ".".join(keys)
    return Cause(
        f"The collector knows no key {names}{f' in {where}' if where else ' at the top of its configuration'}.",
        f"{fix}Correct the key or take it away; it may also belong to another version of the component.",
        component,
        ".".join([*keys, first]),
        True,
    )


def _wrong_value(found: re.Match[str], words: str) -> Cause:
    component, keys = _path(words, found.start())
    return Cause(
        f"The value of {'.'.join([*keys, found[1]])} cannot be used: {quote(found[2])}.",
        "Give it a value of the kind that the component wants.",
        component,
        ".".join([*keys, found[1]]),
        True,
    )


def _reference(found: re.Match[str], words: str) -> Cause:
    place, kind, name = found[1].replace("::", "."), found[2], found[3]
    key = place if place.endswith("extensions") else f"{place}.{kind}s"
    return Cause(
        f'{place} names the {kind} "{name}", which the configuration does not have.',
        f"Add it under {kind}s, or take it out of {key}.",
        f"{kind}:{name}",
        key,
        True,
    )


def _signal(found: re.Match[str], words: str) -> Cause:
    near = get_close_matches(found[1], ("traces", "metrics", "logs", "profiles"), 1)
    fix = f'Did you mean "{near[0]}"?' if near else "Signals are traces, metrics, logs and profiles."
    return Cause(f'There is no signal "{found[1]}" for a pipeline.', fix, None, f"service.pipelines.{found[1]}", True)


def _service(found: re.Match[str], words: str) -> Cause:
    place = found[1].replace("::", ".")
    return Cause(f"{place}: {quote(found[2])}.", f"Complete {place}.", None, place, True)


def _component_setting(found: re.Match[str], words: str) -> Cause:
    section, name, rest, problem = found[1], found[2], found[3] or "", quote(found[4])
    keys = [section, name, *filter(None, rest.split("::"))]
    if quoted := re.match(r"'([a-z_]+)' ", problem):
        keys.append(quoted[1])
    elif "endpoint" in problem:
        keys.append("endpoint")
    return Cause(
        f"{section.removesuffix('s')}:{name} is not set up right: {problem}.",
        f"Correct {'.'.join(keys)}. A value from an environment variable that is not set counts as empty.",
        f"{section.removesuffix('s')}:{name}",
        ".".join(keys),
        True,
    )


def _yaml(found: re.Match[str], words: str) -> Cause:
    return Cause(
        f"The configuration is no YAML: line {found[1]}: {quote(found[2])}.",
        "Correct the text near that line; quotes, brackets and indentation are the usual reasons.",
        None,
        f"line {found[1]}",
        True,
    )


_Maker = Callable[[re.Match[str], str], Cause]
_CONFIG: tuple[tuple[re.Pattern[str], _Maker], ...] = (
    (
        re.compile(r"'(\w+)' unknown type: \"([^\"]+)\" for id: \"([^\"]+)\"(?: \(valid values: \[([^\]]*)\]\))?"),
        _unknown_type,
    ),
    (re.compile(r"'([^'\n]*)' has invalid keys: ([^\n]+)"), _invalid_keys),
    (re.compile(r"unknown pipeline signal: \"([^\"]+)\""), _signal),
    (re.compile(r"(?m)^'([\w.:\[\]]+)' ((?:time: |expected |cannot |invalid |strconv|parsing )[^\n]+)"), _wrong_value),
    (re.compile(r"(service::[\w:/]+?): references (\w+) \"([^\"]+)\" which is not configured"), _reference),
    (re.compile(r"(service::[\w:/]+?): ([^\n]+)"), _service),
    (
        re.compile(r"\b(receivers|processors|exporters|extensions|connectors)::([\w./-]+)((?:::[\w]+)*): ([^\n]+)"),
        _component_setting,
    ),
    (re.compile(r"yaml: line (\d+): ([^\n]+)"), _yaml),
)


# --- the configuration is right, but the collector does not come up or does not get through: pattern, statement and
# what to do, with the groups of the pattern in braces

_NOT_BOUND = r"listen (?:tcp|udp)\w* (?P<address>(?P<host>\S*):(?P<port>\w+)): bind: "
_RUNNING: tuple[tuple[re.Pattern[str], str, str], ...] = (
    (
        re.compile(_NOT_BOUND + "address already in use"),
        "{address} is in use by another process.",
        "Find it on the host with `ss -lntup 'sport = :{port}'`. It may be an orphaned collector of a supervisor that"
        " was killed (SIGTERM leaves one); stop it, or give the component another endpoint.",
    ),
    (
        re.compile(_NOT_BOUND + "cannot assign requested address"),
        "The host has no address {host} to listen on.",
        "Use an address of the host, such as 0.0.0.0 for all or 127.0.0.1 for the host itself.",
    ),
    (
        re.compile(_NOT_BOUND + "permission denied"),
        "The collector may not listen on {address}.",
        "Ports below 1024 need root or the capability CAP_NET_BIND_SERVICE; use another port.",
    ),
    (
        re.compile(r"open (?P<path>\S+): no such file or directory"),
        "The file {path} does not exist on the host.",
        "Put it there, or correct the path.",
    ),
    (
        re.compile(r"open (?P<path>\S+): permission denied"),
        "The file {path} may not be read by the collector on the host.",
        "Give the collector's user the right to read it.",
    ),
    (
        re.compile(r"dial \w+ (?P<address>\S+): connect: connection refused"),
        "Nothing takes connections at {address}.",
        "Check that the receiving side runs and that endpoint and port are right.",
    ),
    (
        re.compile(r"lookup (?P<name>\S+?):? (?:on \S+: )?no such host"),
        "The name {name} is not known to DNS.",
        "Check the endpoint's host name and the host's DNS.",
    ),
    (
        re.compile(r"(?P<error>(?:x509|tls): [^\n\"]+)"),
        "TLS fails: {error}.",
        "Check tls.ca_file, the certificate's names and dates, and the host's clock.",
    ),
    (
        re.compile(r"first record does not look like a TLS handshake|server gave HTTP response to HTTPS client"),
        "TLS is spoken with a side that does not, or the other way round.",
        "Set tls.insecure: true for an endpoint without TLS, or use the port with TLS.",
    ),
    (
        re.compile(r"(?i)\bUnauthenticated\b|\bPermissionDenied\b|status code 40[13]\b|HTTP Status Code 40[13]\b"),
        "The receiving side refuses the credential.",
        "Check the headers or the authenticator of the exporter, and whether the token is still good.",
    ),
    (
        re.compile(r"(?i)sending queue is full"),
        "The sending queue is full: data is dropped.",
        "Look at why the exporter does not get rid of it; then at sending_queue.queue_size.",
    ),
    (
        re.compile(r"(?i)data refused due to high memory usage|memory usage is above"),
        "The collector refuses data because its memory is full.",
        "Give it more memory, or less to do; see the limits of memory_limiter.",
    ),
    (
        re.compile(r"(?i)context deadline exceeded|i/o timeout|DeadlineExceeded"),
        "The receiving side does not answer in time.",
        "Check the network on the way (firewall, proxy) and the load of the receiving side.",
    ),
    (
        re.compile(r"Config apply timeout exceeded"),
        "The collector started with the configuration and was not healthy in time.",
        "Look at its components and its logs; agent.config_apply_timeout of the supervisor is the time that it has.",
    ),
    (
        re.compile(r"(?m)^panic: "),
        "The collector panicked.",
        "Report it to the component's project with the stack in its log.",
    ),
    (
        re.compile(r"exit code[= ](?:-1|137)\b"),
        "The collector was killed by a signal.",
        "Look for the kernel's OOM killer on the host (`dmesg | grep -i oom`) and for what else stops processes.",
    ),
)
