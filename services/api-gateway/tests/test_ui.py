"""The built UI: its pages and files, how long browsers keep them, and under which policy they run."""

import gzip
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from httpx2 import ASGITransport, AsyncClient, Response

from api_gateway.app import create_app
from api_gateway.live import Hub
from api_gateway.settings import ApiGatewaySettings
from api_gateway.testing import MemoryOwners


@pytest.fixture
def built(tmp_path: Path) -> Path:
    """A small built UI, in a folder with a neighbour that is no part of it."""
    (tmp_path / "secret.txt").write_text("out of reach")
    dist = tmp_path / "dist"
    (dist / "assets").mkdir(parents=True)
    (dist / "index.html").write_text("<!doctype html><title>FlowGate</title>")
    (dist / "assets" / "index-abc.js").write_text("let a = 1;" * 200)
    (dist / "assets" / "index-abc.js.gz").write_bytes(gzip.compress(b"let a = 1;" * 200))
    return dist


@pytest.fixture
async def browser(
    built: Path, owners: MemoryOwners, hub: Hub, settings: ApiGatewaySettings
) -> AsyncIterator[AsyncClient]:
    """A client without a credential of an application with that UI."""
    app = create_app(owners, hub, settings.model_copy(update={"ui_dir": built}))
    async with AsyncClient(transport=ASGITransport(app), base_url="http://flowgate") as client:
        yield client


@pytest.mark.parametrize("path", ["/", "/agents", "/agents/0198e4b0-7c1d-7a3e-9f00-0000000000a7/logs", "/supervisors"])
async def test_pages_are_the_ui(browser: AsyncClient, path: str) -> None:
    """Each is the same document, asked for anew every time, without a credential: it holds nothing of the fleet."""
    response = await browser.get(path)
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/html")
    assert response.headers["cache-control"] == "no-cache"
    again = await browser.get(path, headers={"If-None-Match": response.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["cache-control"] == "no-cache"


async def test_files_are_kept_for_a_year(browser: AsyncClient) -> None:
    """Their names change with their content; they come compressed to those that take it."""
    response = await browser.get("/assets/index-abc.js")
    assert response.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert response.headers["content-type"].startswith("text/javascript")
    assert response.headers["content-encoding"] == "gzip"
    assert response.text == "let a = 1;" * 200
    plain = await browser.get("/assets/index-abc.js", headers={"Accept-Encoding": "identity"})
    assert "content-encoding" not in plain.headers
    assert plain.text == response.text
    assert plain.headers["vary"] == response.headers["vary"] == "Accept-Encoding"
    head = await browser.head("/assets/index-abc.js")
    assert (head.status_code, head.content) == (200, b"")


async def test_the_policy_is_strict(browser: AsyncClient) -> None:
    """No script but from here, no frame around it, no guessing of types; on pages and files."""
    for path in ("/", "/assets/index-abc.js"):
        headers = (await browser.get(path)).headers
        policy = dict(part.split(" ", 1) for part in headers["content-security-policy"].split("; "))
        assert policy["default-src"] == "'none'"
        assert policy["script-src"] == "'self'"
        assert policy["frame-ancestors"] == "'none'"
        assert headers["x-content-type-options"] == "nosniff"


def is_refused(response: Response, status: int) -> bool:
    """Whether this is a problem document."""
    return response.status_code == status and response.headers["content-type"] == "application/problem+json"


async def test_the_api_stays_the_api(browser: AsyncClient, token: str) -> None:
    """Neither its unknown paths nor other methods are answered with a page."""
    bearer = {"Authorization": f"Bearer {token}"}
    assert is_refused(await browser.get("/api/v1/nothing"), 401)
    assert is_refused(await browser.get("/api/v1/nothing", headers=bearer), 404)
    assert is_refused(await browser.get("/nothing", headers=bearer), 404)
    assert is_refused(await browser.get("/assets/nothing.js"), 404)
    assert is_refused(await browser.post("/agents"), 404)


@pytest.mark.parametrize(
    "path", ["/assets/../../secret.txt", "/assets/%2e%2e/%2e%2e/secret.txt", "/assets//etc/passwd"]
)
async def test_nothing_outside_the_folder_is_given(browser: AsyncClient, path: str) -> None:
    """However the way is written."""
    response = await browser.get(path)
    assert "out of reach" not in response.text
    assert response.status_code in (401, 404)


async def test_a_ui_that_is_not_built_says_so(browser: AsyncClient, built: Path) -> None:
    """The page says how to build it, and there is no need to start anything again."""
    index = built / "index.html"
    text = index.read_text()
    index.unlink()
    response = await browser.get("/agents")
    assert response.status_code == 503
    assert "make ui" in response.text
    index.write_text(text)
    assert (await browser.get("/agents")).status_code == 200


async def test_about_tells_where_agents_connect(client: AsyncClient) -> None:
    """For the commands that the UI shows; null where nobody set it."""
    assert (await client.get("/api/v1/about")).json()["opamp_url"] is None
