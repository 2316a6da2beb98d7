"""`flowgate agents diagnose`: why an agent does not do well."""

from typing import Any

from rich.console import Console
from rich.text import Text

from flowgate_cli import connection as connections
from flowgate_cli import output
from flowgate_cli.api import Api
from flowgate_cli.options import AgentArgument, ConnectionOption, DataDirOption, FormatOption
from flowgate_cli.output import Format


def diagnose(
    agent: AgentArgument,
    format: FormatOption = Format.TABLE,
    connection: ConnectionOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """Explain how an agent does: what is wrong, the probable cause first, with what says so and what to do."""
    with Api(connections.find(connection, data_dir)) as api:
        told = api.call("GET", f"/gateways/{api.find(agent)['gateway_id']}/diagnosis")
    if format is Format.TABLE:
        print_diagnosis(output.console(), told)
    else:
        output.show(told, format)


def print_diagnosis(terminal: Console, told: dict[str, Any]) -> None:
    """The explanation as a page of text."""
    colours = {"ok": "green", "attention": "yellow", "failing": "red", "gone": "dim"}
    terminal.print(Text.assemble((told["state"], colours.get(told["state"], "")), "  ", output.text(told["name"])))
    if not told["findings"]:
        terminal.print(output.text(told["summary"]))
    for number, one in enumerate(told["findings"], 1):
        terminal.print()
        terminal.print(Text.assemble((f"{number}. ", "bold"), output.text(one["statement"])))
        place = [
            f"{title} {one[key]}" for title, key in (("component", "component"), ("key", "config_key")) if one[key]
        ]
        if place:
            terminal.print(output.text("   " + ", ".join(place)))
        terminal.print(output.text(f"   → {one['what_to_do']}"))
        for evidence in one["evidence"]:
            at = (evidence["timestamp"] or "-")[:19]
            terminal.print(output.text(f"   {at}  {evidence['source']}: {evidence['text']}"), style="dim")
    if told["changes_before"]:
        terminal.print()
        terminal.print(Text("before", style="bold"))
        for change in told["changes_before"]:
            terminal.print(output.text(f"   {change['timestamp'][:19]}  {change['text']}"))
    for name in told["partial"]:
        terminal.print(output.text(f"{name} did not answer; what it knows is missing"), style="yellow")
