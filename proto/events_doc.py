"""Write docs/events.md from the contracts in proto/: `python proto/events_doc.py`, or with another file as argument."""

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import grpc_tools
from google.protobuf import descriptor_pb2
from google.protobuf.descriptor_pb2 import DescriptorProto, EnumDescriptorProto, FieldDescriptorProto
from grpc_tools import protoc

from flowgate.options.v1 import options_pb2

PROTO = Path(__file__).resolve().parent
DOCUMENT = PROTO.parent / "docs" / "events.md"
DOMAINS = ("agent", "config", "supervisor")

# Numbers of the fields in descriptor.proto that make up the path of a comment.
FILE_MESSAGE, FILE_ENUM, MESSAGE_FIELD, ENUM_VALUE = 4, 5, 2, 2

HEAD = """\
# Events

<!-- Made from proto/ by `make proto`; change the comments there. -->

Facts about the fleet, for other systems. FlowGate publishes them on NATS JetStream; whoever may read them subscribes.
An event is a fact in the past tense that one service has established and stored. Within a stream, facts about one
agent come in the order in which they happened.

## Connect

`flowgate up` writes `events_nats_url` into `connection.json`: credentials of a user `events` that can read
`flowgate.evt.>` and nothing else. It hears events live by a plain subscription, and reads stored ones by JetStream's
direct get (`$JS.API.DIRECT.GET.<stream>`), one or many at a time, from a time or a sequence on. It can make no
consumers: a consumer delivers where its maker says, which would let a reader send events to FlowGate's services.

After an interruption, subscribe first, then read what was stored since the last `ce-time`, and leave out what came
with the same id before.

`flowgate events tail` shows the decoded facts on a terminal, `-o json` for scripts, `--since 1h` from further back.

## Subscribe

The payload is the bare protobuf message that belongs to the subject. Fifteen lines of Python (`pip install nats-py`
and this repository's `proto/`):

```python
{subscriber}```

Headers follow CloudEvents in binary mode:

| header | holds |
|---|---|
| `ce-id`, `Nats-Msg-Id` | the event's id; the same id is the same event, should it ever come twice |
| `ce-type` | full name of the message, such as `flowgate.agent.v1.AgentConnected` |
| `ce-source` | the service that established it, such as `/flowgate/agent-registry` |
| `ce-subject` | the agent's instance_uid |
| `ce-time` | when it was established; `occurred_at` in the message says when it happened |

A new field may appear in a message at any time, a new fact in a stream as well: ignore what you do not know. What is
here keeps its meaning; another meaning gets another version, `v2`, in the subject.
"""

SUBSCRIBER = """\
import asyncio, json, pathlib, sys
import nats
from flowgate.agent.v1 import events_pb2 as agent

async def main(connection_json: str) -> None:
    url = json.loads(pathlib.Path(connection_json).read_text())["events_nats_url"]
    client = await nats.connect(url)
    events = await client.subscribe("flowgate.evt.agent.v1.health-changed.*")
    async for message in events.messages:
        fact = agent.AgentHealthChanged.FromString(message.data)
        state = "healthy" if fact.healthy else f"unhealthy: {fact.last_error}"
        print(message.headers["ce-time"], fact.instance_uid, state, flush=True)

asyncio.run(main(sys.argv[1]))
"""


def render() -> str:
    """The document."""
    with tempfile.TemporaryDirectory() as folder:
        files = list(_files(Path(folder) / "descriptors"))
    return HEAD.format(subscriber=SUBSCRIBER) + "".join(_file_section(file) for file in files)


def _files(out: Path) -> Iterator[descriptor_pb2.FileDescriptorProto]:
    """Descriptors of the event files, with their comments."""
    names = [f"flowgate/{domain}/v1/events.proto" for domain in DOMAINS]
    well_known = Path(grpc_tools.__file__).parent / "_proto"
    arguments = ["protoc", f"-I{PROTO}", f"-I{well_known}", f"--descriptor_set_out={out}", "--include_source_info"]
    if protoc.main([*arguments, *names]) != 0:
        raise SystemExit("protoc failed, see above")
    found = {file.name: file for file in descriptor_pb2.FileDescriptorSet.FromString(out.read_bytes()).file}
    return (found[name] for name in names)


def _file_section(file: descriptor_pb2.FileDescriptorProto) -> str:
    stream = file.options.Extensions[options_pb2.stream]
    comments = {tuple(place.path): _plain(place.leading_comments) for place in file.source_code_info.location}
    days = stream.max_age_seconds // 86400
    lines = [
        f"\n## Stream `{stream.name}`\n\n{stream.description}.\n\n",
        f"Subjects {_code(stream.subjects)}; kept for {days} days, {stream.max_bytes >> 30} GiB at most; a repeated\n",
        f"`Nats-Msg-Id` is dropped within {stream.duplicate_window_seconds // 60} minutes. ",
        f"Contract: `proto/{file.name}`.\n",
        "\n| event | subject |\n|---|---|\n",
    ]
    events = [(n, one) for n, one in enumerate(file.message_type) if one.options.Extensions[options_pb2.subject]]
    lines += [f"| [{one.name}](#{one.name.lower()}) | `{_subject(one)}` |\n" for _, one in events]
    lines += [_message(one, (FILE_MESSAGE, n), comments) for n, one in events]
    lines += [_enum(one, (FILE_ENUM, n), comments) for n, one in enumerate(file.enum_type)]
    return "".join(lines)


def _message(message: DescriptorProto, path: tuple[int, ...], comments: dict[tuple[int, ...], str]) -> str:
    rows = "".join(
        f"| {field.number} | `{field.name}` | {_type(message, field)} | "
        f"{_cell(comments[(*path, MESSAGE_FIELD, n)])} |\n"
        for n, field in enumerate(message.field)
    )
    return (
        f"\n### {message.name}\n\n{comments[path]} `{_subject(message)}`\n\n"
        f"| # | field | type | meaning |\n|---|---|---|---|\n{rows}"
    )


def _enum(enum: EnumDescriptorProto, path: tuple[int, ...], comments: dict[tuple[int, ...], str]) -> str:
    rows = "".join(
        f"| {value.number} | `{value.name}` | {_cell(comments[(*path, ENUM_VALUE, n)])} |\n"
        for n, value in enumerate(enum.value)
    )
    return f"\n### {enum.name}\n\n{comments[path]}\n\n| # | value | meaning |\n|---|---|---|\n{rows}"


def _type(message: DescriptorProto, field: FieldDescriptorProto) -> str:
    name = field.type_name.rpartition(".")[2] or FieldDescriptorProto.Type.Name(field.type)[5:].lower()
    entry = next((one for one in message.nested_type if one.name == name and one.options.map_entry), None)
    if entry is not None:
        key, value = (_type(message, part) for part in entry.field)
        return f"map of {key} to {value}"
    if field.type == FieldDescriptorProto.TYPE_ENUM:
        name = f"[{name}](#{name.lower()})"
    return f"list of {name}" if field.label == FieldDescriptorProto.LABEL_REPEATED else name


def _subject(message: DescriptorProto) -> str:
    return str(message.options.Extensions[options_pb2.subject])


def _plain(comment: str) -> str:
    return " ".join(comment.split())


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _code(texts: object) -> str:
    return ", ".join(f"`{text}`" for text in texts)  # type: ignore[attr-defined]


def main() -> None:
    """Write the document."""
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else DOCUMENT
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(render())


if __name__ == "__main__":
    main()
