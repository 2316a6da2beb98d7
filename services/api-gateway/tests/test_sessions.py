"""Signing in at the UI: the cookie, what it opens, and what a page of another site cannot do with it."""

import time
from hashlib import sha256

import pytest
from fastapi import FastAPI
from httpx2 import ASGITransport, AsyncClient

from api_gateway.app import create_app
from api_gateway.live import Hub
from api_gateway.sessions import Session, Sessions
from api_gateway.settings import ApiGatewaySettings
from api_gateway.testing import MemoryOwners, make_gateway

SESSION = "/api/v1/session"
GATEWAY = f"/api/v1/gateways/{make_gateway(1).gateway.gateway_id}"
HASH = sha256(b"admin").hexdigest()


async def sign_in(client: AsyncClient, token: str) -> str:
    """Sign in; gives the CSRF token."""
    response = await client.post(SESSION, json={"token": token})
    assert response.status_code == 200, response.text
    csrf: str = response.json()["csrf_token"]
    return csrf


async def test_the_admin_token_begins_a_session(anonymous: AsyncClient, token: str) -> None:
    """The cookie is out of reach for scripts and other sites, and opens the API."""
    response = await anonymous.post(SESSION, json={"token": token})
    cookie = response.headers["set-cookie"].lower()
    assert cookie.startswith("flowgate_session=")
    assert {"httponly", "samesite=strict", "path=/"} <= {part.strip() for part in cookie.split(";")}
    assert token not in response.text + cookie
    assert (await anonymous.get(GATEWAY)).status_code == 200
    told = (await anonymous.get(SESSION)).json()
    assert told["signed_in"]
    assert told["csrf_token"] == response.json()["csrf_token"]


async def test_over_https_the_cookie_is_secure(app: FastAPI, token: str) -> None:
    """And bound to the site by its name; the cookie of plain HTTP does not count there."""
    async with AsyncClient(transport=ASGITransport(app), base_url="https://flowgate") as client:
        cookie = (await client.post(SESSION, json={"token": token})).headers["set-cookie"]
        assert cookie.startswith("__Host-flowgate_session=")
        assert "; secure" in cookie.lower()
        assert (await client.get(GATEWAY)).status_code == 200
        value = cookie.partition("=")[2].partition(";")[0]
        client.cookies.clear()
        response = await client.get(GATEWAY, headers={"Cookie": f"flowgate_session={value}"})
        assert response.status_code == 401


@pytest.mark.parametrize("credential", ["fge_" + "a" * 43, "", "wrong", "caf\u00e9 \u2603"])
async def test_nothing_else_begins_one(anonymous: AsyncClient, credential: str) -> None:
    """Agents' enrollment tokens least of all; the answer does not repeat what was sent."""
    response = await anonymous.post(SESSION, json={"token": credential})
    assert response.status_code == (401 if credential else 422)
    assert "set-cookie" not in response.headers
    assert not credential or credential not in response.text
    assert not (await anonymous.get(SESSION)).json()["signed_in"]


async def test_a_change_needs_the_csrf_token(anonymous: AsyncClient, token: str) -> None:
    """The cookie comes with requests that another site began; the header does not."""
    csrf = await sign_in(anonymous, token)
    for shown in ({}, {"X-CSRF-Token": "wrong"}, {"X-CSRF-Token": "caf\u00e9".encode("latin-1")}):
        response = await anonymous.patch(GATEWAY, json={"name": "taken"}, headers=shown)
        assert response.status_code == 403
        assert response.headers["content-type"] == "application/problem+json"
    response = await anonymous.patch(GATEWAY, json={"name": "edge"}, headers={"X-CSRF-Token": csrf})
    assert response.json()["name"] == "edge"


async def test_another_site_cannot_sign_a_browser_in(anonymous: AsyncClient, token: str) -> None:
    """Browsers say where a request comes from."""
    for site in ("cross-site", "same-site"):
        response = await anonymous.post(SESSION, json={"token": token}, headers={"Sec-Fetch-Site": site})
        assert response.status_code == 403
        assert "set-cookie" not in response.headers


async def test_signing_out_takes_the_cookie_back(anonymous: AsyncClient, token: str) -> None:
    """Also one that is no good any more."""
    await sign_in(anonymous, token)
    assert (await anonymous.delete(SESSION)).status_code == 204
    assert (await anonymous.get(GATEWAY)).status_code == 401
    assert (await anonymous.delete(SESSION)).status_code == 204


async def test_a_session_is_good_on_every_replica(
    anonymous: AsyncClient, token: str, owners: MemoryOwners, hub: Hub, settings: ApiGatewaySettings
) -> None:
    """No replica keeps it."""
    await sign_in(anonymous, token)
    other = create_app(owners, hub, settings)
    async with AsyncClient(transport=ASGITransport(other), base_url="http://flowgate") as client:
        client.cookies.update(anonymous.cookies)
        assert (await client.get(GATEWAY)).status_code == 200


async def test_a_wrong_bearer_is_not_helped_by_a_cookie(anonymous: AsyncClient, token: str) -> None:
    """Who shows a credential is judged by it."""
    await sign_in(anonymous, token)
    assert (await anonymous.get(GATEWAY, headers={"Authorization": "Bearer wrong"})).status_code == 401


def test_a_cookie_ends() -> None:
    """At the time that it names, and never later than a session lasts."""
    sessions = Sessions([HASH], "", 3600)
    cookie, session = sessions.begin(0, 1000.0)
    assert session == sessions.read(cookie, 1001.0) == Session(4600, cookie.split(".")[2], session.csrf_token)
    assert sessions.read(cookie, 4600.0) is None
    assert Sessions([HASH], "", 60).read(cookie, 1001.0) is None


def test_a_changed_cookie_is_none() -> None:
    """Any byte of it."""
    sessions = Sessions([HASH], "", 3600)
    cookie, _ = sessions.begin(0, time.time())
    for place in range(len(cookie)):
        for letter in "0a.":
            changed = cookie[:place] + letter + cookie[place + 1 :]
            assert changed == cookie or sessions.read(changed, time.time()) is None
    for damaged in ("", ".", "1...", cookie + "0", cookie[1:], "é" * 90):
        assert sessions.read(damaged, time.time()) is None


def test_keys_end_sessions() -> None:
    """A session ends with the admin token that began it, and with the session key."""
    old, new = HASH, sha256(b"new").hexdigest()
    both = Sessions([old, new], "", 3600)
    of_old, of_new = (both.begin(which, 0.0)[0] for which in (0, 1))
    assert both.read(of_old, 1.0)
    assert Sessions([new], "", 3600).read(of_old, 1.0) is None
    assert Sessions([new], "", 3600).read(of_new, 1.0)
    assert Sessions([old, new], "key", 3600).read(of_new, 1.0) is None
