"""What people do in the UI, walked as they would, in light and dark, under the real Content-Security-Policy."""

import os
import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import kubernetes_validate
import pytest
import yaml
from browser_steps import SOON, ready, write
from browser_visit import Visit
from interop_agents import Extension, Supervisor
from interop_configs import UNSTARTABLE, good, listening_at
from interop_flowgate import FlowGate
from playwright.async_api import expect

from flowkit.testing import eventually

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]


async def test_sign_in(visit: Visit, flowgate: FlowGate) -> None:
    """The admin token opens it, an enrollment token does not; signing out closes it."""
    page = visit.page
    visit.expected.append("401")
    await page.context.clear_cookies()
    await visit.go("/agents")
    field = page.get_by_label("Admin token")
    await field.fill(flowgate.connection["enrollment_token"])
    await page.get_by_role("button", name="Sign in").click()
    await expect(page.get_by_text("This is not the admin token")).to_be_visible()
    await visit.look("sign-in")
    await field.fill(flowgate.connection["admin_token"])
    await page.get_by_role("button", name="Sign in").click()
    await expect(page.get_by_role("table", name="Agents")).to_be_visible()
    cookie = next(one for one in await page.context.cookies() if one["name"] == "flowgate_session")
    assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Strict")
    await page.get_by_role("button", name="Sign out").click()
    await expect(field).to_be_visible()


async def test_overview(visit: Visit, flowgate: FlowGate, supervisor: Supervisor, extension: Extension) -> None:
    """Who needs somebody and why, what is under way, what changed lately; counts lead to the agents that they count."""
    await ready(flowgate, supervisor)
    page = visit.page
    async with flowgate.api() as api:
        restarts = {"management_mode": "supervisor", "status": ["online"]}
        begun = await api.client.post("/supervisor/operations", json={"action": "restart", "selector": restarts})
    await visit.go("/")
    await expect(page.get_by_text("Live", exact=True)).to_be_visible()
    mode = page.get_by_role("region", name="Mode")
    await expect(mode.get_by_role("link", name=re.compile("extension"))).to_be_visible()
    attention = page.get_by_role("region", name="Needs attention")
    for reason in ("The collector crashes again and again", "It refused its configuration", "Not connected"):
        await expect(attention.get_by_text(reason).first).to_be_visible(timeout=SOON)
    operations = page.get_by_role("region", name="Operations")
    await expect(operations.get_by_text("running", exact=True).first).to_be_visible()
    done = operations.get_by_role("progressbar").first
    await expect(done).not_to_have_attribute("aria-valuenow", "0")
    lately = page.get_by_role("region", name="The last hour")
    named = re.compile(r"^otelcol-contrib@sim-supervisor-\d+$")
    await expect(lately.get_by_role("listitem").filter(has_text="restart").get_by_text(named).first).to_be_visible()
    await visit.look("overview")
    async with flowgate.api() as api:
        await api.client.post(f"/supervisor/operations/{begun.json()['operation_id']}/cancel")
    await attention.get_by_role("link", name="1 collector crashes again and again").click()
    row = page.get_by_role("table", name="Agents").get_by_role("row").nth(1)
    await expect(row.get_by_text("crash loop")).to_be_visible()
    await expect(page.get_by_text("1 agent matches")).to_be_visible()
    await page.go_back()
    await mode.get_by_role("link", name=re.compile("extension")).click()
    await expect(page).to_have_url(re.compile(r"/agents\?mode=extension$"))
    await expect(page.get_by_role("table", name="Agents").get_by_text("Extension").first).to_be_visible()


async def test_agents(visit: Visit, supervisor: Supervisor, extension: Extension) -> None:
    """Search, filters, order and columns are in the address; a selection survives them; rows are followed by keys."""
    page = visit.page
    await visit.go("/agents")
    table = page.get_by_role("table", name="Agents")
    await expect(page.get_by_text(re.compile(r"^2[01]\d agents"))).to_be_visible()
    await visit.look("agents")
    rows = table.get_by_role("row")
    assert await rows.count() < 80  # of two hundred: only those in sight are drawn
    await table.get_by_role("checkbox").nth(1).check()
    await expect(page.get_by_text("1 selected")).to_be_visible()
    await page.keyboard.press("/")
    await page.keyboard.type("extension")
    await expect(page).to_have_url(re.compile("q=extension"))
    await expect(page.get_by_text("1 selected")).to_be_visible()
    await page.get_by_role("button", name=re.compile(r"Select all \d+ matching")).click()
    await expect(page.get_by_role("button", name=re.compile(r"Restart \d{2} agents"))).to_be_visible()
    await page.get_by_role("button", name="Clear filters").click()
    await page.get_by_role("button", name="Last seen").click()
    await expect(page).to_have_url(re.compile("sort=last_seen_at"))
    await page.get_by_text("Columns", exact=True).click()
    await page.get_by_role("checkbox", name="Host", exact=True).check()
    await expect(table.get_by_role("columnheader", name="Host")).to_be_visible()
    await visit.look("agents-columns")
    await page.reload()
    await expect(table.get_by_role("columnheader", name="Host")).to_be_visible()
    await table.locator("[data-row-link]").first.focus()
    await page.keyboard.press("ArrowDown")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("dialog")).to_be_visible()
    await page.keyboard.press("Escape")
    await expect(page.get_by_role("dialog")).to_be_hidden()
    await expect(page).to_have_url(re.compile("sort=last_seen_at"))


async def test_an_agent_under_a_supervisor(visit: Visit, flowgate: FlowGate, supervisor: Supervisor) -> None:
    """Every tab of a real one: health, configuration, pipelines, logs, metrics, events, diagnosis, components."""
    instance_id = await ready(flowgate, supervisor)
    page = visit.page
    await visit.go(f"/agents/{instance_id}")
    dialog = page.get_by_role("dialog")
    await expect(
        dialog.get_by_role("region", name="Supervisor and collector").get_by_text("running", exact=True)
    ).to_be_visible()
    await expect(dialog.get_by_text("pipeline:", exact=False).first).to_be_visible()
    await visit.look("agent-overview")
    async with flowgate.api() as api:
        summary: str = (await api.get(f"/gateways/{instance_id}/diagnosis"))["summary"]
    for tab, seen in (
        ("Configuration", dialog.get_by_role("region", name="Effective, as the agent reports it")),
        ("Pipelines", dialog.locator(".react-flow__node").first),
        ("Logs", dialog.get_by_role("log")),
        ("Metrics", dialog.get_by_role("img", name=re.compile("^Memory in MiB"))),
        ("Events", dialog.get_by_role("list", name="Events").get_by_text("connected").first),
        ("Diagnosis", dialog.get_by_text(summary)),
        ("Version & components", dialog.get_by_role("table", name="Components")),
    ):
        await dialog.get_by_role("tab", name=tab).click()
        await expect(seen).to_be_visible(timeout=SOON)
        await visit.look(f"agent-{tab.split(' ')[0].lower()}")
    await dialog.get_by_role("tab", name="Overview").click()
    own = dialog.get_by_role("region", name="Description")
    await expect(own.get_by_text("service.instance.id")).to_be_visible()
    await expect(own.get_by_text(instance_id)).to_be_visible()
    await expect(dialog.get_by_role("button", name="Remove…")).to_have_attribute("aria-disabled", "true")


async def test_restart(visit: Visit, flowgate: FlowGate, supervisor: Supervisor) -> None:
    """It is asked first; the outcome is that of the real collector."""
    instance_id = await ready(flowgate, supervisor)
    before = await supervisor.collector()
    page = visit.page
    await visit.go(f"/supervisors/{instance_id}")
    await page.get_by_role("button", name="Restart via Supervisor").click()
    await expect(page.get_by_text("stops this one collector")).to_be_visible()
    await visit.look("restart")
    await page.get_by_role("button", name="Restart 1 collector").click()
    await expect(page.get_by_role("status").get_by_text("Restart completed")).to_be_visible(timeout=SOON)
    assert await supervisor.collector() != before


async def test_an_agent_with_the_extension(visit: Visit, flowgate: FlowGate, extension: Extension) -> None:
    """What cannot be done says why and how it could be."""
    async with flowgate.api() as api:
        found = await api.on_host(extension.host, 60)
    page = visit.page
    await visit.go(f"/agents/{found['instance_id']}")
    button = page.get_by_role("button", name="Restart via Supervisor")
    await expect(button).to_have_attribute("aria-disabled", "true")
    await button.hover()
    await expect(page.get_by_role("tooltip")).to_contain_text("Run the collector under opampsupervisor")
    await page.get_by_text("How to move it").click()
    await expect(page.get_by_text("flowgate gateway bundle")).to_be_visible()
    await visit.look("agent-extension")
    await page.get_by_role("link", name="Make the commands, or a ready folder for a container").click()
    await expect(page.get_by_role("heading", name="Move an agent to another mode")).to_be_visible()
    await expect(page.get_by_text("It stays the same gateway")).to_be_visible()
    await visit.look("move")


async def test_bulk_restart(visit: Visit, supervisor: Supervisor) -> None:
    """Many are chosen by a query; the button says how many; progress shows the outcome of each; it can be stopped."""
    page = visit.page
    await visit.go("/supervisors")
    await expect(page.get_by_role("table", name="Supervisor-managed agents")).to_be_visible()
    await visit.look("supervisors")
    await page.get_by_role("combobox", name="Search agents").fill("sim-supervisor")
    await expect(page).to_have_url(re.compile("q=sim-supervisor"))
    await expect(page.get_by_text(re.compile(r"agents match"))).to_be_visible()
    await page.get_by_role("checkbox", name="Select all loaded agents").click()
    await page.get_by_role("button", name=re.compile(r"Restart \d+ agents…")).click()
    dialog = page.get_by_role("dialog")
    await expect(dialog.get_by_role("button", name=re.compile(r"^Restart \d+ agents$"))).to_be_enabled()
    await visit.look("bulk-restart")
    await dialog.get_by_role("button", name=re.compile(r"^Restart \d+ agents$")).click()
    await expect(page).to_have_url(re.compile("/operations/"))
    operation = page.get_by_role("region", name="Operation")
    await expect(operation.get_by_role("table").get_by_text("succeeded").first).to_be_visible(timeout=SOON)
    await visit.look("operation")
    await operation.get_by_role("button", name="Stop").click()
    await page.get_by_role("button", name=re.compile(r"^Stop, leave \d+ out")).click()
    await expect(operation.get_by_text("cancelled", exact=True)).to_be_visible()


async def test_editor(visit: Visit, flowgate: FlowGate, supervisor: Supervisor) -> None:
    """Mistakes are told as one types, a refusal comes in the collector's words, and nothing typed is lost."""
    instance_id = await ready(flowgate, supervisor)
    page = visit.page
    await visit.go(f"/agents/{instance_id}/edit")
    problems = page.get_by_role("list", name="Problems")
    await write(visit, UNSTARTABLE)
    await expect(problems.get_by_text("no_such_exporter")).to_contain_text("was not built with it")
    await visit.look("editor-problems")
    send = page.get_by_role("button", name="Save and Send to Agent")
    await expect(send).to_have_attribute("aria-disabled", "true")

    await page.get_by_role("link", name="Events").click()
    await expect(page.get_by_role("heading", name="Events")).to_be_visible()
    await page.go_back()
    await expect(problems.get_by_text("no_such_exporter")).to_be_visible()

    await page.get_by_label("Send it all the same").check()
    await send.click()
    delivery = page.get_by_role("status", name="Delivery")
    await expect(delivery).to_contain_text("failed", timeout=SOON)
    await expect(delivery).to_contain_text("no_such_exporter")
    await visit.look("editor-failed")
    await visit.go(f"/agents/{instance_id}/diagnosis")
    cause = page.get_by_role("region").filter(has_text="probable cause").filter(has_text="no_such_exporter")
    await expect(cause.first).to_be_visible()
    await visit.go(f"/agents/{instance_id}/edit")

    # A collector that crashes: its supervisor knows no more than an exit code, its own logs say why.
    address = urlsplit(flowgate.connection["api_url"]).netloc
    await write(visit, listening_at(address))
    await send.click()
    await expect(delivery).to_contain_text("exit code", timeout=SOON)
    await expect(delivery).to_contain_text(f"listen tcp {address}: bind: address already in use", timeout=SOON)
    await expect(delivery).to_contain_text("push a good one")
    await expect(problems.get_by_text("address already in use")).to_be_visible()
    await visit.look("editor-crashed")
    await delivery.get_by_role("link", name="Everything that is known of it").click()
    await expect(page.get_by_role("region", name="is in use by another process").first).to_be_visible()
    await visit.go(f"/agents/{instance_id}/config")
    await expect(page.get_by_text("◀ here")).to_be_visible()
    await visit.look("configuration-crashed")
    await visit.go(f"/agents/{instance_id}/edit")

    name = f"walk_{visit.scheme}"
    await write(visit, good(name))
    await expect(page.get_by_text("no problems found")).to_be_visible()
    await page.get_by_text("Compare with effective").click()
    await expect(page.locator(".monaco-diff-editor")).to_be_visible()
    await visit.look("editor-compare")
    await send.click()
    await expect(delivery).to_contain_text("applied", timeout=SOON)
    async with flowgate.api() as api:
        assert f"debug/{name}" in (await api.effective(instance_id))["exporters"]


async def test_an_earlier_configuration(visit: Visit, flowgate: FlowGate, supervisor: Supervisor) -> None:
    """It is compared with the one of now and sent again; the real collector runs with it."""
    instance_id = await ready(flowgate, supervisor)
    async with flowgate.api() as api:
        for name in ("earlier", "later"):
            await api.delivery(await api.push(instance_id, good(f"{name}_{visit.scheme}")), "applied")
    page = visit.page
    await visit.go(f"/agents/{instance_id}/config")
    history = page.get_by_role("table", name="Deliveries")
    await history.get_by_role("button", name="Compare, send again").nth(1).click()
    await expect(page.get_by_role("region", name="Assigned now beside This version")).to_contain_text("earlier_")
    await visit.look("earlier-configuration")
    await page.get_by_role("button", name="Send this version again to 1 agent").click()
    async with flowgate.api() as api:

        async def runs_with_it() -> bool:
            return f"debug/earlier_{visit.scheme}" in (await api.effective(instance_id))["exporters"]

        await eventually(runs_with_it, seconds=60)
    await expect(history.get_by_role("row").nth(1).get_by_text("applied")).to_be_visible()


async def test_completion(visit: Visit, flowgate: FlowGate, supervisor: Supervisor) -> None:
    """The agent's own components are offered."""
    instance_id = await ready(flowgate, supervisor)
    page = visit.page
    await visit.go(f"/agents/{instance_id}/edit")
    await write(visit, "exporters:\n  ")
    await page.keyboard.type("de")
    await page.keyboard.press("Control+Space")
    await expect(page.locator(".suggest-widget").get_by_text("debug").first).to_be_visible()


@contextmanager
def typed(script: str, binaries: Path, folder: Path) -> Iterator[None]:
    """What the page says is typed on a host, with its folders below `folder`, by somebody who may sudo."""
    programs = folder / "bin"
    programs.mkdir(parents=True)
    (programs / "sudo").write_text('#!/bin/sh\nexec "$@"\n')
    (programs / "sudo").chmod(0o755)
    (programs / "opampsupervisor").symlink_to(binaries / "opampsupervisor")
    script = script.replace("/etc/", f"{folder}/etc/").replace("/var/", f"{folder}/var/")
    script = script.replace("/usr/bin/otelcol-contrib", str(binaries / "fgcol"))
    environment = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}"}
    with (folder / "host.log").open("wb") as log:
        host = subprocess.Popen(
            ["bash", "-ec", script], stdout=log, stderr=log, env=environment, start_new_session=True
        )
    try:
        yield
    finally:
        os.killpg(host.pid, signal.SIGINT)
        host.wait(30)


async def test_onboarding(visit: Visit, flowgate: FlowGate, binaries: Path, tmp_path: Path) -> None:
    """Commands with a fresh token, typed as they are; the agent that they bring is seen to arrive."""
    page = visit.page
    await visit.go("/onboarding")
    await page.get_by_role("button", name=re.compile("^Make the commands")).click()
    write_it = page.get_by_label("Write the supervisor's configuration, which only root may read", exact=True)
    run_it = page.get_by_label("Run the supervisor", exact=True)
    script = await write_it.inner_text() + "\n" + await run_it.inner_text()
    assert flowgate.connection["opamp_url"] in script and "Bearer fge_" in script
    await expect(page.get_by_text("Waiting for its first connection")).to_be_in_viewport()
    await visit.look("onboarding")
    with typed(script, binaries, tmp_path):
        await expect(page.get_by_text("has connected")).to_be_visible(timeout=SOON)
        await visit.look("onboarding-arrived")
        await page.get_by_role("link", name="Look at it").click()
        await expect(page.get_by_role("button", name="Restart via Supervisor")).to_be_enabled(timeout=SOON)
    assert (tmp_path / "etc/opampsupervisor/config.yaml").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("mode", ["Manage it", "Watch it"])
async def test_onboarding_in_kubernetes(visit: Visit, mode: str) -> None:
    """What is applied is valid, and what is added to a configuration is YAML."""
    page = visit.page
    await visit.go("/onboarding")
    await page.get_by_text(mode).click()
    await page.get_by_text("Kubernetes", exact=True).click()
    await page.get_by_role("button", name=re.compile("^Make the commands")).click()
    first = page.get_by_role("region", name="Run this there").locator("pre").first
    await expect(first).to_be_visible()
    blocks = await page.get_by_role("region", name="Run this there").locator("pre").all_inner_texts()
    if mode == "Watch it":
        assert yaml.safe_load(blocks[0])["service"] == {"extensions": ["opamp"]}
        return
    assert re.search(r"--from-literal=token=fge_[\w-]+", blocks[0])
    manifest = yaml.safe_load(blocks[1].partition("<<'EOF'\n")[2].partition("\nEOF")[0])
    kubernetes_validate.validate(manifest, kubernetes_validate.latest_version(), strict=True)
    await visit.look("onboarding-kubernetes")


async def test_enrollment_tokens(visit: Visit) -> None:
    """A token is shown once; revoking says whom it cuts off."""
    page = visit.page
    await visit.go("/enrollment")
    await page.get_by_role("button", name="New token").click()
    await page.get_by_label("Name").fill(f"walk {visit.scheme}")
    await page.get_by_role("button", name="Make the token").click()
    await expect(page.get_by_label("enrollment token", exact=True)).to_contain_text("fge_")
    await visit.look("token")
    await page.get_by_role("button", name="Close").click()
    await page.get_by_role("button", name=f"Revoke walk {visit.scheme}").click()
    await page.get_by_role("button", name="Revoke, cut off 0").click()
    row = page.get_by_role("row", name=re.compile(f"walk {visit.scheme}"))
    await expect(row.get_by_text("revoked", exact=True)).to_be_visible()
    await visit.look("tokens")


async def test_events_and_settings(visit: Visit, flowgate: FlowGate) -> None:
    """Events come as they happen; settings hold the colours."""
    page = visit.page
    await visit.go("/events")
    events = page.get_by_role("list", name="Events")
    await expect(events.get_by_role("listitem").first).to_be_visible()
    await expect(page.get_by_text("Live", exact=True)).to_be_visible()
    async with flowgate.api() as api:
        one = (await api.gateways(q="extension"))[0]
        renamed = f"renamed {visit.scheme}"
        await api.client.patch(f"/gateways/{one['gateway_id']}", json={"name": renamed})
    await expect(events.get_by_text(renamed).first).to_be_visible()
    await visit.look("events")
    await visit.go("/settings")
    await expect(page.get_by_role("table", name="Policies")).to_be_visible()
    await visit.look("settings")
    await page.keyboard.press("?")
    await expect(page.get_by_text("Row by row, Enter opens")).to_be_visible()
    await page.keyboard.press("Escape")
    await page.get_by_text("Dark", exact=True).click()
    await expect(page.locator("html")).to_have_attribute("data-mantine-color-scheme", "dark")


async def test_first_load_is_small(visit: Visit) -> None:
    """At most 200 KB of script, compressed, until the agents are there; the editor and the graphs come later."""
    sizes: dict[str, int] = {}

    async def measure(page_url: str) -> None:
        visit.page.on(
            "response",
            lambda answer: (
                sizes.update({answer.url: int(answer.headers.get("content-length", "0"))})
                if answer.request.resource_type == "script"
                else None
            ),
        )
        await visit.go(page_url)

    await measure("/agents")
    await expect(visit.page.get_by_role("table", name="Agents")).to_be_visible()
    assert 50_000 < sum(sizes.values()) <= 200 * 1024, sizes


async def test_a_page_that_does_not_exist(visit: Visit) -> None:
    """Below a page of the UI, the UI says so."""
    await visit.go("/settings/nothing")
    await expect(visit.page.get_by_text("There is no such page")).to_be_visible()


async def test_the_policy_holds(visit: Visit) -> None:
    """A script that somebody put into the page does not run."""
    visit.expected.append("Content Security Policy")
    await visit.go("/settings")
    ran = await visit.page.evaluate(
        """() => { const s = document.createElement('script'); s.textContent = 'window.ran = true'
                   document.body.append(s); return window.ran === true }"""
    )
    assert ran is False
