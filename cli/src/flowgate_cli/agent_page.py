"""One agent on the terminal."""

from typing import Any

from rich.console import Console
from rich.tree import Tree

from flowgate_cli import output
from flowgate_cli.api import Json

SHOWN_RECORDS = 10


def print_agent(terminal: Console, known: Json) -> None:
    """Print what the API knows of an agent: `gateway`, `health`, `version`, `config`, maybe `supervisor`, `logs`."""
    gateway, health, version = known["gateway"], known["health"], known["version"]
    facts = output.table(("", ""), headers=False)
    rows: list[tuple[str, Any]] = [
        ("name", output.text(gateway["name"])),
        ("mode", gateway["management_mode"]),
        ("status", output.word(gateway["status"])),
        ("instance id", gateway["instance_id"]),
        ("gateway id", gateway["gateway_id"]),
        ("labels", output.text(output.labels(gateway["labels"]))),
        ("agent", output.text(f"{version['agent_type'] or '?'} {version['version'] or ''}".strip())),
        ("host", output.text(_host(version))),
        ("connection", output.text(f"{gateway['transport'] or '?'} from {gateway['remote_address'] or '?'}")),
        ("last seen", output.ago(gateway["last_seen_at"])),
        ("started", output.ago(health["started_at"])),
        ("health", output.word(health["state"])),
    ]
    if health["last_error"]:
        rows.append(("last error", output.text(health["last_error"])))
    if supervisor := known.get("supervisor"):
        rows.append(("collector", output.text(supervisor.get("collector_state"))))
        rows.append(("starts seen", str(supervisor.get("collector_starts", "-"))))
    if config := known["config"]:
        rows.append(("configuration", output.word(config["state"] or "none pushed")))
        if config["error"]:
            rows.append(("its error", output.text(config["error"])))
    rows.append(("capabilities", output.text(", ".join(gateway["capabilities"]))))
    for row in rows:
        facts.add_row(*row)
    terminal.print(facts)
    if components := (health["components"] or (health["last_known"] or {}).get("components")):
        tree = Tree("components" if health["components"] else "components, when it was last seen")
        _grow(tree, components)
        terminal.print(tree)
    for record in reversed((known.get("logs") or [])[:SHOWN_RECORDS]):
        terminal.print(
            output.text(f"{record['timestamp']} {record['severity']:5} {record['source']}: {record['body']}")
        )
    for name in known["partial"]:
        terminal.print(f"{name} did not answer; its part is missing", style="yellow")


def _host(version: Json) -> str:
    parts = [version["host_name"], version["os_description"] or version["os_type"], version["host_arch"]]
    return ", ".join(part for part in parts if part)


def _grow(tree: Tree, components: Json) -> None:
    for name, part in components.items():
        line = output.text(name)
        line.append("  ").append_text(output.word("healthy" if part["healthy"] else "unhealthy"))
        if part["last_error"]:
            line.append("  ").append_text(output.text(part["last_error"]))
        _grow(tree.add(line), part["components"])
