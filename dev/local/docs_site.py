"""The documentation as the local API serves it, beside the endpoint."""

import json
from importlib.metadata import distribution
from pathlib import Path

from dev.local import demo
from dev.local.events import Request
from dev.local.gateway import Response
from dev.local.ports import HOST
from dev.local.template import ROOT

DOCS = ROOT / "docs" / "reference"
LOCAL = "http://127.0.0.1:3000"
# The package that contains Scalar's script as a file. It is never imported.
_PACKAGE = "flask-openapi-scalar"
_SCRIPT = "flask_openapi_scalar/templates/scalar/js/scalar.standalone.js"
_TYPES = {
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".md": "text/markdown; charset=utf-8",
    ".txt": "text/plain; charset=utf-8",
}
_MOVED = {"/": "/docs", "/docs/": "/docs", "/docs.md": "/docs/llms-full.txt"}
# The script must not fetch anything from other hosts.
_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; font-src 'self' data:"
)
_CONFIGURATION = {
    "url": "/openapi.json",
    # Requests to a deployment would fail, because it does not send CORS headers.
    "servers": [{"url": LOCAL, "description": "The local API with demo data"}],
    "authentication": {
        "preferredSecurityScheme": "apiKey",
        "securitySchemes": {"apiKey": {"value": demo.KEYS[0].key}},
    },
    "agent": {"disabled": True},
    "mcp": {"disabled": True},
    "telemetry": False,
    "withDefaultFonts": False,
    "hideClientButton": True,
    "hideModels": True,
    "orderRequiredPropertiesFirst": False,
    "orderSchemaPropertiesBy": "preserve",
    "showDeveloperTools": "never",
    "defaultHttpClient": {"targetKey": "shell", "clientKey": "curl"},
}
_PAGE = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Conversations API</title>
<link rel="icon" href="data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' \
viewBox='0 0 16 16'%3E%3Cpath fill='%230d9488' d='M1 2h14v10H8l-4 3v-3H1z'/%3E%3C/svg%3E">
<style>
/* Without it the scrollbars stay white on the dark page. */
:root:has(body.dark-mode) { color-scheme: dark }
/* Hide the tag's title, because its operation has one too. */
#reference .tag-section-container > .section { display: none }
/* The headers first, since one of them is required. */
.operation-details { display: flex; flex-direction: column }
.operation-details > :has(.parameter-item .property-required) { order: -1 }
</style>
</head>
<body>
<div id="reference"></div>
<script src="/docs/scalar.js"></script>
<script>Scalar.createApiReference("#reference", CONFIGURATION)</script>
</body>
</html>
"""


def answer(request: Request) -> Response | None:
    """The documentation at the request's path, or `None`."""
    if request.method not in ("GET", "HEAD"):
        return None
    # Point the first server and the examples at this server as the client addresses it: the page's
    # policy lets it send requests nowhere else.
    here = f"http://{request.host or f'{HOST}:{request.port}'}".encode()
    if request.path == "/docs":
        page = _PAGE.replace("CONFIGURATION", json.dumps(_CONFIGURATION)).encode()
        return _response("text/html; charset=utf-8", page.replace(LOCAL.encode(), here), _POLICY)
    if request.path in _MOVED:
        return Response(302, (("Location", _MOVED[request.path]),), b"")
    file = _file(request.path)
    if file is None:
        return None
    content = file.read_bytes()
    if file.suffix != ".js":
        content = content.replace(LOCAL.encode(), here)
    return _response(_TYPES[file.suffix], content)


def _file(path: str) -> Path | None:
    if path == "/docs/scalar.js":
        return Path(str(distribution(_PACKAGE).locate_file(_SCRIPT)))
    folder, _, name = path.rpartition("/")
    published = {file.name: file for file in DOCS.iterdir() if file.suffix in _TYPES}
    if folder == "/docs":
        return published.get(name) or published.get(f"{name}.md")
    # Links in a page are relative; on /docs and in /llms.txt they start at the root.
    return published.get(name) if folder == "" else None


def _response(kind: str, body: bytes, policy: str | None = None) -> Response:
    headers = (("Content-Type", kind), ("Cache-Control", "no-cache"))
    return Response(200, headers + ((("Content-Security-Policy", policy),) if policy else ()), body)
