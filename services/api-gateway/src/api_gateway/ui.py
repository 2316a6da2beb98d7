"""The built UI: its pages, its files, and what browsers are told about them."""

from pathlib import Path
from typing import Final

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

# First parts of the paths that are pages of the UI: it decides itself what it shows there.
PAGES: Final = frozenset({"", "agents", "supervisors", "events", "operations", "enrollment", "onboarding", "settings"})
_ASSETS = "/assets/"  # names hold a hash of the content
_LONG = "public, max-age=31536000, immutable"
_ALWAYS_ASK = "no-cache"

# Scripts come from here alone. Styles: Mantine and Monaco set them on elements and make style sheets at run time.
CONTENT_SECURITY_POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "worker-src 'self'",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data:",
        "font-src 'self' data:",
        "connect-src 'self'",
        "manifest-src 'self'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    )
)
HEADERS: Final = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
_TYPES = {
    ".js": "text/javascript",
    ".css": "text/css",
    ".svg": "image/svg+xml",
    ".ttf": "font/ttf",
    ".woff2": "font/woff2",
    ".html": "text/html",
    ".json": "application/json",
}

NOT_BUILT: Final = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>FlowGate</title>
<style>body{font:16px/1.5 system-ui,sans-serif;max-width:40rem;margin:4rem auto;padding:0 1rem}</style></head>
<body><h1>FlowGate is running, its UI is not built</h1>
<p>The API answers under <code>/api/v1</code>. Build the UI with <code>make ui</code> in the repository and load this
page again; nothing needs a restart.</p></body></html>
"""


def default_dir() -> Path:
    """Where the built UI lies: beside this package where it is installed with it, else in the repository."""
    packaged = Path(__file__).with_name("static")
    repository = Path(__file__).parents[4] / "frontend" / "dist"
    return packaged if packaged.is_dir() else repository


class BuiltUi:
    """Answers for pages and files of the UI; every other path goes on to the API.

    Only `GET` and `HEAD` are taken. A folder that is not there yet may appear later.
    """

    def __init__(self, app: ASGIApp, directory: Path) -> None:
        self._app = app
        self._directory = directory

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] in ("GET", "HEAD") and is_ui(scope["path"]):
            response = await run_in_threadpool(self._answer, Request(scope))
            if response is not None:
                await response(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _answer(self, request: Request) -> Response | None:
        path = request.url.path
        if not _is_file(path):
            return self._page(request)
        return self._file(request, path[1:], _LONG if path.startswith(_ASSETS) else _ALWAYS_ASK)

    def _page(self, request: Request) -> Response:
        built = self._file(request, "index.html", _ALWAYS_ASK)
        return built or HTMLResponse(NOT_BUILT, 503, {**HEADERS, "Cache-Control": "no-store"})

    def _file(self, request: Request, name: str, caching: str) -> Response | None:
        """The file, its compressed neighbour where the browser takes that; None when there is none of the name."""
        root = self._directory.resolve()
        path = (root / name).resolve()
        if not path.is_relative_to(root) or not path.is_file():
            return None
        headers = {**HEADERS, "Cache-Control": caching}
        packed = path.with_name(path.name + ".gz")
        if packed.is_file():
            headers["Vary"] = "Accept-Encoding"
            if "gzip" in request.headers.get("accept-encoding", ""):
                headers["Content-Encoding"] = "gzip"
                path, kind = packed, path.suffix
                return _with_etag(request, FileResponse(path, 200, headers, _TYPES.get(kind)))
        return _with_etag(request, FileResponse(path, 200, headers, _TYPES.get(path.suffix)))


def _with_etag(request: Request, response: FileResponse) -> Response:
    """304 where the browser has it already."""
    stat = Path(response.path).stat()
    etag = f'"{stat.st_mtime_ns:x}-{stat.st_size:x}"'
    if request.headers.get("if-none-match") == etag:
        keep = {name: value for name, value in response.headers.items() if name.lower() in ("cache-control", "vary")}
        return Response(status_code=304, headers={**keep, "ETag": etag})
    response.headers["ETag"] = etag
    return response


def _is_file(path: str) -> bool:
    return path.startswith(_ASSETS) or path in ("/favicon.svg", "/robots.txt")


def is_ui(path: str) -> bool:
    """Whether a path is the UI's: it holds nothing of the fleet and is open to everybody."""
    return _is_file(path) or path[1:].partition("/")[0] in PAGES
