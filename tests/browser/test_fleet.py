"""The list of agents and what of it is away, walked as people do: filters, counts, logs, warnings, removal."""

import re
from pathlib import Path

import pytest
from browser_steps import SOON, Strays, ready
from browser_visit import Visit
from interop_agents import Extension, Supervisor
from interop_configs import good
from interop_flowgate import FlowGate
from playwright.async_api import Page, expect

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

once = pytest.mark.parametrize("visit", ["light"], indirect=True)  # what looks the same in the dark


async def matching(page: Page, count: int) -> None:
    """So many agents are found."""
    await expect(page.get_by_text(re.compile(rf"^{count:,} agents? match"))).to_be_visible()


@once
async def test_filters(visit: Visit, flowgate: FlowGate, supervisor: Supervisor, strays: Strays) -> None:
    """Each finds what it says, with suggestions of the whole fleet; a row shows the state of its collector."""
    real = await ready(flowgate, supervisor)
    async with flowgate.api() as api:
        await api.label(strays.flowing, walk="filters")
    page = visit.page
    await visit.go("/agents")
    table = page.get_by_role("table", name="Agents")
    bar = page.get_by_role("search", name="Filter agents")

    async def only(count: int, *hosts: str) -> None:
        await matching(page, count)
        for host in hosts:
            await expect(table.get_by_role("row", name=re.compile(host)).first).to_be_visible()
        await bar.get_by_role("button", name="Clear filters").click()

    search = bar.get_by_role("combobox", name="Search agents")
    await search.fill("calm-sup")
    await expect(page.locator("datalist option[value='calm-supervisor-2']")).to_have_count(1)
    await only(2, "calm-supervisor-1", "calm-supervisor-2")
    label = bar.get_by_role("combobox", name="Label")
    await label.fill("walk")
    await expect(page.locator("datalist option[value='walk=filters']")).to_have_count(1)
    await label.fill("walk=filters")
    await label.press("Enter")
    await only(1, "calm-supervisor-2")
    await bar.get_by_role("button", name="offline").click()
    await search.fill("gone-supervisor")
    await only(len(strays.gone), "gone-supervisor")
    await bar.get_by_role("combobox", name="Health").select_option("Unhealthy")
    await search.fill("loop-")
    await only(1, "loop-supervisor-1")
    await bar.get_by_role("combobox", name="Configuration").select_option("failed")
    await search.fill("calm")
    await only(1, "calm-supervisor-1")
    await bar.get_by_role("combobox", name="Mode").select_option("Extension")
    await search.fill("supervisor-")
    await expect(page.get_by_text("No agent fits the filters")).to_be_visible()
    await bar.get_by_role("button", name="Clear filters").click()
    version = bar.get_by_role("combobox", name="Version")
    await version.select_option(index=1)
    await expect(page).to_have_url(re.compile("version="))
    await expect(page.get_by_text(re.compile("agents? match"))).to_be_visible()
    await visit.go(f"/agents?q={real}")
    await expect(table.get_by_role("row").nth(1).get_by_text("running", exact=True)).to_be_visible()


@once
async def test_counts_lead_to_what_they_count(visit: Visit, strays: Strays) -> None:
    """Every part of every bar; that of the modes is walked with the overview."""
    page = visit.page
    for title in ("Status", "Health", "Version", "Latest configuration"):
        await visit.go("/")
        bar = page.get_by_role("region", name=title, exact=True)
        await expect(bar.get_by_role("link").first).to_be_visible()
        for name in await bar.get_by_role("link").all_inner_texts():
            link = bar.get_by_role("link").filter(has_text=re.sub(r"\s*[\d,]+$", "", name.strip()).strip()).first
            count = int(re.findall(r"[\d,]+", await link.inner_text())[-1].replace(",", ""))
            await link.click()
            await matching(page, count)
            await page.go_back()


@once
async def test_logs(visit: Visit, flowgate: FlowGate, supervisor: Supervisor, tmp_path: Path) -> None:
    """They are filtered, searched, followed, held while one reads, and downloaded."""
    instance_id = await ready(flowgate, supervisor)
    page = visit.page
    await visit.go(f"/agents/{instance_id}/logs")
    dialog = page.get_by_role("dialog")
    log = dialog.get_by_role("log")
    await expect(log.get_by_text("flowgate", exact=True).first).to_be_visible()

    await dialog.get_by_role("combobox", name="Source").click()
    await page.get_by_role("option", name="collector").click()
    await expect(log.get_by_text("flowgate", exact=True)).to_have_count(0)
    await expect(log.get_by_text("collector", exact=True).first).to_be_visible()
    await dialog.get_by_role("textbox", name="Search logs").fill("EVERYTHING IS READY")
    lines = log.locator("[data-index]")
    await expect(lines.filter(has_not_text="Everything is ready")).to_have_count(0)
    await expect(lines.first).to_be_visible()
    async with page.expect_download() as started:
        await dialog.get_by_role("button", name=re.compile("^Download")).click()
    await (await started.value).save_as(tmp_path / "log")
    downloaded = (tmp_path / "log").read_text().splitlines()
    assert downloaded and all("collector Everything is ready" in line for line in downloaded)
    await dialog.get_by_role("textbox", name="Search logs").fill("")
    await dialog.get_by_role("combobox", name="Severity").click()
    await page.get_by_role("option", name="ERROR and above").click()
    await expect(log.get_by_text("INFO", exact=True)).to_have_count(0)

    await visit.go(f"/agents/{instance_id}/logs")
    await expect(log.get_by_text("flowgate", exact=True).first).to_be_visible()
    async with flowgate.api() as api:
        followed = await api.push(instance_id, good("followed"))
        line = log.get_by_text(f"delivery_id={followed}").filter(has_text="state=applied")
        await expect(line).to_be_in_viewport(timeout=SOON)
        await dialog.get_by_role("switch", name="Follow").click()
        held = await api.push(instance_id, good("held"))
        await api.delivery(held, "applied", 60)
    more = dialog.get_by_role("button", name=re.compile(r"^[\d,]+ new: follow them"))
    await expect(more).to_be_visible()
    await expect(log.get_by_text(f"delivery_id={held}")).to_have_count(0)
    await more.click()
    await expect(log.get_by_text(f"delivery_id={held}").filter(has_text="state=applied")).to_be_in_viewport(
        timeout=SOON
    )


async def test_orders_for_nobody_and_for_everybody(visit: Visit, extension: Extension) -> None:
    """Both are told before anything is done, however the agents were selected."""
    page = visit.page
    dialog = page.get_by_role("dialog")
    await visit.go("/agents?mode=extension")
    await page.get_by_role("table", name="Agents").get_by_role("checkbox").nth(1).check()
    await page.get_by_role("button", name="Restart 1 agent…").click()
    await expect(dialog.get_by_text("⚠ 0 agents can take part")).to_be_visible()
    await expect(dialog.get_by_role("button", name="Restart 0 agents")).to_have_attribute("aria-disabled", "true")
    await visit.look("bulk-nobody")
    await page.keyboard.press("Escape")
    await visit.go("/agents?mode=supervisor")
    await page.get_by_role("table", name="Agents").get_by_role("checkbox").nth(1).check()
    await page.get_by_role("button", name=re.compile(r"Select all \d+ matching")).click()
    await page.get_by_role("button", name=re.compile(r"Restart \d\d+ agents…")).click()
    await expect(dialog.get_by_text("These are all of them")).to_be_visible()
    await expect(dialog.get_by_role("button", name=re.compile(r"^Restart \d\d+ agents$"))).to_be_enabled()
    await visit.look("bulk-everybody")


async def test_an_agent_that_is_gone(visit: Visit, flowgate: FlowGate, strays: Strays) -> None:
    """What was known of it last is there; it is taken out of the fleet after a question."""
    number = 1 + ("light", "dark").index(visit.scheme)
    page = visit.page
    await visit.go(f"/agents?q=gone-supervisor-{number}")
    table = page.get_by_role("table", name="Agents")
    await expect(table.get_by_role("row").nth(1).get_by_text("offline", exact=True)).to_be_visible()
    await table.get_by_role("link", name=re.compile("gone-supervisor")).click()
    dialog = page.get_by_role("dialog")
    await expect(dialog.get_by_text("It is not connected. This is what it reported last")).to_be_visible()
    await expect(dialog.get_by_role("region", name="Identity").get_by_text("away since")).to_be_visible()
    await visit.look("agent-gone")
    await dialog.get_by_role("button", name="Remove…").click()
    await expect(page.get_by_text("leaves the fleet with its name")).to_be_visible()
    await visit.look("agent-remove")
    await page.get_by_role("button", name="Remove 1 agent").click()
    await expect(page.get_by_text("No agent fits the filters")).to_be_visible()
    async with flowgate.api() as api:
        assert (await api.client.get(f"/gateways/{strays.gone[number - 1]}")).status_code == 404


@once
async def test_without_flowgate(visit: Visit) -> None:
    """What is there stays and says as of when it is; it goes on by itself."""
    visit.expected.append("net::ERR")
    page = visit.page
    await visit.go("/agents")
    table = page.get_by_role("table", name="Agents")
    await expect(table.get_by_role("row").nth(1)).to_be_visible()
    await expect(page.get_by_text("Live", exact=True)).to_be_visible()
    await page.context.set_offline(True)
    banner = page.get_by_role("alert").filter(has_text="FlowGate cannot be reached")
    await expect(banner).to_contain_text("What is shown is from")
    await expect(table.get_by_role("row").nth(1)).to_be_visible()
    await page.context.set_offline(False)
    await expect(banner).to_be_hidden()
    await expect(page.get_by_text("Live", exact=True)).to_be_visible()


@once
async def test_rates_are_on_the_edges(visit: Visit, strays: Strays) -> None:
    """As the agent's own metrics tell them."""
    page = visit.page
    await visit.go(f"/agents/{strays.flowing}/pipelines")
    edges = page.locator(".react-flow__edge-text")
    await expect(edges.filter(has_text=re.compile(r"^[\d.]+ /s$")).first).to_be_visible(timeout=SOON)
    await page.get_by_role("tab", name="Metrics").click()
    for chart in ("Accepted in items/s", "Sent in items/s"):
        await expect(page.get_by_role("img", name=f"{chart}. Latest: otlp")).to_be_visible()
