"""Changes to many agents and to what all of them are offered, walked as people make them, in light and dark."""

import asyncio
import re
import sys
import tarfile
from pathlib import Path

import pytest
from browser_steps import SOON, ready, write
from browser_visit import Visit
from interop_agents import Supervisor
from interop_configs import UNSTARTABLE, good
from interop_flowgate import FlowGate
from playwright.async_api import expect

from flowkit.testing import eventually

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

REACHABLE = "ws://flowgate.example.com:4320/v1/opamp"


async def test_what_runs_is_told_from_what_was_refused(
    visit: Visit, flowgate: FlowGate, supervisor: Supervisor
) -> None:
    """Authored and assigned are the refused one, running is the one before; any two are compared."""
    instance_id = await ready(flowgate, supervisor)
    async with flowgate.api() as api:
        await api.delivery(await api.push(instance_id, good(f"runs_{visit.scheme}")), "applied", 60)
        await api.delivery(await api.push(instance_id, UNSTARTABLE), "failed", 60)
    page = visit.page
    await visit.go(f"/agents/{instance_id}/config")
    rows = page.get_by_role("table", name="Configurations of this agent").get_by_role("row")
    for name in ("Authored", "Assigned"):
        await expect(rows.filter(has_text=name).get_by_text("failed")).to_be_visible()
    await expect(rows.filter(has_text="Running").get_by_text("applied", exact=True)).to_be_visible()
    await page.get_by_text("Compare", exact=True).click()
    await page.get_by_role("combobox", name="On the right").select_option("running")
    difference = page.get_by_role("region", name=re.compile("^Assigned, as it was sent beside Running"))
    await expect(difference).to_contain_text("no_such_exporter")
    await expect(difference).to_contain_text(f"debug/runs_{visit.scheme}")
    await visit.look("agent-config-compare")
    async with flowgate.api() as api:
        await api.delivery(await api.push(instance_id, good(f"again_{visit.scheme}")), "applied", 60)


async def test_a_refusal_of_the_server_is_at_its_line(visit: Visit, flowgate: FlowGate, supervisor: Supervisor) -> None:
    """What only the server sees is shown where it is, nothing is lost, and it goes with the next change."""
    instance_id = await ready(flowgate, supervisor)
    visit.expected.append("422")
    page = visit.page
    await visit.go(f"/agents/{instance_id}/edit")
    twice = good("refused").replace("  debug/refused:\n", '  debug/refused:\n    1: a\n    "1": b\n')
    line = twice.splitlines().index('    "1": b') + 1
    editor = await write(visit, twice)
    send = page.get_by_role("button", name="Save and Send to Agent")
    await expect(send).to_be_enabled()
    await send.click()
    await expect(page.get_by_text("Not sent; what you wrote is still here")).to_be_visible()
    problem = page.get_by_role("list", name="Problems").get_by_role("button").filter(has_text="is there twice")
    await expect(problem).to_contain_text(f"line {line}")
    await expect(page.locator(".squiggly-error")).not_to_have_count(0)
    await visit.look("editor-refused")
    await problem.click()
    await expect(editor).to_be_focused()
    await page.keyboard.press("Control+Shift+K")  # takes the line away
    await expect(problem).to_have_count(0)


async def test_bulk_push(visit: Visit, flowgate: FlowGate, supervisor: Supervisor) -> None:
    """Who cannot run it is told before it is sent and left out; the outcome of each is seen; it can be stopped."""
    instance_id = await ready(flowgate, supervisor)
    page = visit.page
    await visit.go("/supervisors")
    search = page.get_by_role("combobox", name="Search agents")
    for wanted, found in (("sim-supervisor", r"^\d\d+ agents match"), (instance_id, "^1 agent matches")):
        await search.fill(wanted)
        await expect(page.get_by_text(re.compile(found))).to_be_visible()
        await page.get_by_role("checkbox", name="Select all loaded agents").click()
    await page.get_by_role("button", name=re.compile(r"Send a configuration to \d+ agents…")).click()
    dialog = page.get_by_role("dialog")
    send = dialog.get_by_role("button", name=re.compile(r"^Send to \d+ agents$"))
    await expect(send).to_have_attribute("aria-disabled", "true")  # there is no configuration yet
    everybody = int(re.findall(r"\d+", await send.inner_text())[0])
    name = f"bulk_{visit.scheme}"
    text = good(name).replace("exporters:\n", "exporters:\n  kafka:\n", 1)
    await write(visit, text.replace(f"[debug/{name}]", f"[debug/{name}, kafka]"))
    missing = dialog.get_by_role("list", name="Missing components")
    await expect(missing).to_contain_text(f"1 agent of {everybody}")
    await expect(dialog.get_by_role("list", name="Problems")).to_contain_text("no exporter “kafka”")
    await expect(send).to_have_attribute("aria-disabled", "true")  # until it is said what becomes of that one
    await dialog.get_by_label("Leave the 1 agent out").check()
    await visit.look("bulk-push")
    await dialog.get_by_role("button", name=f"Send to {everybody - 1} agents").click()
    await expect(page).to_have_url(re.compile("/operations/"))
    operation = page.get_by_role("region", name="Operation")
    outcomes = operation.get_by_role("table", name="Agents of the operation")
    await expect(outcomes.get_by_text("succeeded").first).to_be_visible(timeout=SOON)
    await expect(outcomes.locator(f"a[href$='{instance_id}']")).to_have_count(0)
    await visit.look("bulk-push-operation")
    await operation.get_by_role("button", name="Stop").click()
    await page.get_by_role("button", name=re.compile(r"^Stop, leave \d+ out")).click()
    await expect(operation.get_by_text("cancelled", exact=True)).to_be_visible()
    await expect(outcomes.get_by_text("left out").first).to_be_visible()


async def test_policies(visit: Visit, flowgate: FlowGate, supervisor: Supervisor) -> None:
    """What a change would restart is told before; what was only looked at changes nothing."""
    instance_id = await ready(flowgate, supervisor)
    name = f"walk-{visit.scheme}"
    async with flowgate.api() as api:
        await api.label(instance_id, walk=visit.scheme)

        async def is_known() -> bool:
            body = {"selector": {"walk": visit.scheme}}
            told = await api.client.put("/supervisor/policies/asked", json=body, params={"dry_run": True})
            matching: int = told.json()["effect"]["matching"]
            return matching == 1

        await eventually(is_known, seconds=30)
    page = visit.page
    await visit.go("/settings")
    table = page.get_by_role("table", name="Policies")
    await page.get_by_role("button", name="New policy").click()
    dialog = page.get_by_role("dialog")
    await dialog.get_by_role("textbox", name="Name").fill(name)
    labels = dialog.get_by_label("For agents with all of these labels").and_(page.locator("input"))
    await labels.fill(f"walk={visit.scheme}")
    await labels.press("Enter")
    told = dialog.get_by_role("status", name="What it does")
    await expect(told).to_contain_text("Restarts no collector")
    await dialog.get_by_role("radiogroup", name="Own metrics").get_by_text("Off").click()
    await expect(told).to_contain_text("Restarts 1 collector")
    await expect(dialog.get_by_role("button", name="Save, restart 1 collector")).to_be_enabled()
    await visit.look("policy")
    await dialog.get_by_role("radiogroup", name="Own metrics").get_by_text("Says nothing").click()
    await expect(told).to_contain_text("Restarts no collector")
    await dialog.get_by_role("button", name=re.compile("^Save")).click()
    await expect(dialog).to_be_hidden()
    row = table.get_by_role("row").filter(has_text=name)
    await expect(row).to_contain_text(f"walk={visit.scheme}")
    await row.get_by_role("button", name=f"Change {name}").click()
    await dialog.get_by_role("textbox", name="Heartbeat interval in seconds").fill("45")
    await dialog.get_by_role("button", name=re.compile("^Save")).click()
    await expect(row).to_contain_text("45 s")
    await row.get_by_role("button", name=f"Delete {name}").click()
    await expect(told).to_contain_text("1 agent in all has the labels")
    await visit.look("policy-delete")
    await dialog.get_by_role("button", name=re.compile("^Delete")).click()
    await expect(row).to_have_count(0)
    await expect(page.get_by_role("button", name="Delete default")).to_have_attribute("aria-disabled", "true")


async def test_the_ready_folder(visit: Visit, flowgate: FlowGate, tmp_path: Path) -> None:
    """What is downloaded is what `flowgate gateway bundle` makes, byte by byte, the permissions included."""
    page = visit.page
    await visit.go("/onboarding")
    await page.get_by_text("Docker", exact=True).click()
    await page.get_by_role("button", name=re.compile("^Make the commands")).click()
    download = page.get_by_role("button", name=re.compile("^Download"))
    await expect(download).to_have_attribute("aria-disabled", "true")  # a container does not reach this address
    await page.get_by_label("FlowGate's address, as the agent reaches it").fill(REACHABLE)
    await page.get_by_label("Host name of the container").fill("edge-7")
    await visit.look("onboarding-folder")
    async with page.expect_download() as started:
        await download.click()
    packed = await started.value
    assert packed.suggested_filename == "flowgate-edge-7.tar.gz"
    await packed.save_as(tmp_path / "packed")
    with tarfile.open(tmp_path / "packed") as archive:
        archive.extractall(tmp_path, filter="data")
    folder, made = tmp_path / "flowgate-edge-7", tmp_path / "made"
    token = re.search(r"FLOWGATE_ENROLLMENT_TOKEN=(fge_[\w-]+)", (folder / ".env").read_text())
    assert token
    command = ["gateway", "bundle", str(made), "--endpoint", REACHABLE, "--token", token[1], "--name", "edge-7"]
    cli = await asyncio.create_subprocess_exec(sys.executable, "-m", "flowgate_cli", *command)
    assert await cli.wait() == 0
    downloaded, expected = (
        {one.name: (one.read_bytes(), one.stat().st_mode & 0o777) for one in place.iterdir()}
        for place in (folder, made)
    )
    assert downloaded == expected
